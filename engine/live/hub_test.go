package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
)

func mustTake(t *testing.T, r *received, v *viewer) {
	t.Helper()
	if err := r.take(v.events()); err != nil {
		t.Fatal(err)
	}
}

func names(events []sse) string {
	var out []string
	for _, e := range events {
		out = append(out, e.name)
	}
	return strings.Join(out, " ")
}

func TestHistoryThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(7, 2)
		log.Append(readings, 0, reading("a", 1), reading("b", 2))
		log.Append(readings, 1, reading("c", 3))
		hub, stop := start(t, config(t, log))
		synctest.Wait()
		v := view(hub, "")
		synctest.Wait()
		if got := names(v.events()); got != "hello schema frame" {
			t.Fatalf("first events are %q", got)
		}
		log.Append(readings, 1, reading("c", 4))
		time.Sleep(300 * time.Millisecond) // the follower's idle pause ends with the viewer
		synctest.Wait()
		r := newReceived()
		mustTake(t, r, v)
		if got := fmt.Sprint(r.values); got != "map[temp|a:[1] temp|b:[2] temp|c:[3 4]]" {
			t.Fatalf("received %s", got)
		}
		if !strings.HasPrefix(r.lastID, "7.") {
			t.Fatalf("last id is %q, want epoch 7", r.lastID)
		}
		stop()
		<-v.done
		if got := names(v.events()); !strings.HasSuffix(got, " bye") {
			t.Fatalf("a stopped hub does not say bye: %q", got)
		}
	})
}

func TestLoneEventGoesOutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		v := view(hub, "")
		time.Sleep(time.Second)
		log.Append(readings, 0, reading("a", 1))
		synctest.Wait() // no time passes
		r := newReceived()
		mustTake(t, r, v)
		if r.count() != 1 {
			t.Fatalf("after no time %d points are there, want 1", r.count())
		}
		v.close()
	})
}

func TestFramesAreSpacedByFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.Flush = 20 * time.Millisecond }))
		v, slow := view(hub, ""), view(hub, "hz=4")
		synctest.Wait()
		for i := range 1000 {
			log.Append(readings, 0, reading("a", float64(i)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		r, s := newReceived(), newReceived()
		mustTake(t, r, v)
		mustTake(t, s, slow)
		if r.count() != 1000 || r.frames < 40 || r.frames > 60 {
			t.Errorf("%d points in %d frames; want 1000 in about 50", r.count(), r.frames)
		}
		if s.count() != 1000 || s.frames > 8 {
			t.Errorf("hz=4: %d points in %d frames; want 1000 in about 6", s.count(), s.frames)
		}
		v.close()
		slow.close()
	})
}

func TestFramesAreBuiltOncePerClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		var all []*viewer
		for range 50 {
			all = append(all, view(hub, ""))
		}
		synctest.Wait()
		for i := range 10 {
			log.Append(readings, 0, reading("a", float64(i)))
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		if s := hub.Stats(); s.Messages != 10 || s.Written != 500 {
			t.Errorf("%d messages built, %d written; want 10 and 500", s.Messages, s.Written)
		}
		for _, v := range all {
			v.close()
		}
		if s := hub.Stats(); s.Clients != 0 {
			t.Errorf("%d viewers left", s.Clients)
		}
	})
}

func TestResumeFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 2)
		hub, _ := start(t, config(t, log))
		r := newReceived()
		for i := range 20 {
			v := view(hub, "", "Last-Event-ID", r.lastID)
			synctest.Wait()
			log.Append(readings, i%2, reading("a", float64(3*i)))
			time.Sleep(30 * time.Millisecond)
			synctest.Wait()
			v.close()
			mustTake(t, r, v)
			log.Append(readings, i%2, reading("a", float64(3*i+1)), reading("a", float64(3*i+2)))
			time.Sleep(time.Second)
		}
		v := view(hub, from(r.lastID))
		synctest.Wait()
		v.close()
		mustTake(t, r, v)
		checkEach(t, r.values["temp|a"], 60)
		if s := hub.Stats(); s.Resumed != 20 || s.Resets != 0 {
			t.Errorf("resumed %d, resets %d; want 20 and 0", s.Resumed, s.Resets)
		}
	})
}

// checkEach wants the values 0..n-1, each once.
func checkEach(t *testing.T, values []float64, n int) {
	t.Helper()
	got := slices.Clone(values)
	slices.Sort(got)
	for i, v := range got {
		if v != float64(i) {
			t.Fatalf("value %d of %d is %v: missing or doubled (%v)", i, len(got), v, values)
		}
	}
	if len(got) != n {
		t.Fatalf("%d values, want %d", len(got), n)
	}
}

func TestResumeAcrossRestartReadsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 2)
		hub, stop := start(t, config(t, log))
		v := view(hub, "")
		synctest.Wait()
		log.Append(readings, 0, reading("a", 0))
		time.Sleep(time.Second)
		stop()
		<-v.done
		r := newReceived()
		mustTake(t, r, v)
		for i := 1; i < 5000; i++ {
			log.Append(readings, i%2, reading("a", float64(i)))
		}
		hub, _ = start(t, config(t, log))
		v = view(hub, "", "Last-Event-ID", r.lastID)
		time.Sleep(time.Second)
		log.Append(readings, 1, reading("a", 5000))
		time.Sleep(time.Second)
		v.close()
		mustTake(t, r, v)
		checkEach(t, r.values["temp|a"], 5001)
		if len(r.resets) > 0 {
			t.Errorf("resets: %v", r.resets)
		}
	})
}

func TestResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, other := livetest.NewLog(1, 2), livetest.NewLog(2, 2)
		wide, ahead := livetest.NewLog(1, 3), livetest.NewLog(1, 2)
		for _, l := range []*livetest.Log{log, other, wide} {
			l.Append(readings, 0, reading("a", 1))
			l.Append(readings, 1, reading("a", 2))
		}
		idOf := func(l *livetest.Log) string {
			hub, stop := start(t, config(t, l))
			defer stop()
			synctest.Wait() // or the viewer comes before all lanes are read
			v := view(hub, "")
			synctest.Wait()
			v.close()
			r := newReceived()
			mustTake(t, r, v)
			return r.lastID
		}
		old := idOf(log)
		for i := range 100 {
			log.Append(readings, i%2, reading("a", 3))
		}
		time.Sleep(time.Second)
		ahead.Append(readings, 0, reading("a", 1))
		ahead.Append(readings, 1, reading("a", 1))
		hub, _ := start(t, config(t, log))
		synctest.Wait()
		log.Trim(readings, 0, 10)
		for _, c := range []struct{ name, id, reason string }{
			{"another epoch", idOf(other), "cursor of another log"},
			{"other lanes", idOf(wide), "cursor of other streams or lanes"},
			{"beyond the end", idOf(ahead), "cursor beyond the end of the log"},
			{"trimmed", old, "cursor older than what the log keeps"},
			{"no dot", "nonsense", "malformed cursor"},
			{"no base64", "1.%%%", "malformed cursor"},
			{"cut", old[:len(old)-2], "malformed cursor"},
			{"empty cursor", "1.", "malformed cursor"},
		} {
			v := view(hub, "", "Last-Event-ID", c.id)
			synctest.Wait()
			v.close()
			r := newReceived()
			mustTake(t, r, v)
			if v.code != 200 || len(r.resets) != 1 || !strings.Contains(r.resets[0], c.reason) {
				t.Errorf("%s: code %d, resets %v; want one for %q", c.name, v.code, r.resets, c.reason)
			}
			if r.count() != 102 {
				t.Errorf("%s: %d points after the reset, want the window's 102", c.name, r.count())
			}
		}
	})
}

func TestSlowViewerMissesWithAGapAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.Recent, c.WriteTimeout = 100, time.Minute }))
		slow, good := view(hub, ""), view(hub, "")
		synctest.Wait()
		release := slow.stall()
		for i := range 3000 {
			log.Append(readings, 0, reading("a", float64(i)))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		r := newReceived()
		mustTake(t, r, good)
		checkEach(t, r.values["temp|a"], 3000)
		release()
		time.Sleep(time.Second)
		log.Append(readings, 0, reading("a", 3000))
		time.Sleep(time.Second)
		s := newReceived()
		mustTake(t, s, slow)
		values := s.values["temp|a"]
		if s.gaps == 0 || uint64(len(values))+s.gaps != 3001 {
			t.Fatalf("slow viewer: %d values and a gap of %d; want 3001 together", len(values), s.gaps)
		}
		if values[len(values)-1] != 3000 || hub.Stats().Dropped != s.gaps {
			t.Errorf("last value %v, dropped %d, told %d", values[len(values)-1], hub.Stats().Dropped, s.gaps)
		}
		slow.close()
		good.close()
	})
}

func TestSlowViewerIsMergedWhileTheHubKeepsTheTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.WriteTimeout = time.Minute }))
		slow := view(hub, "")
		synctest.Wait()
		release := slow.stall()
		for i := range 3000 {
			log.Append(readings, 0, reading("a", float64(i)))
			time.Sleep(10 * time.Millisecond)
		}
		release()
		time.Sleep(time.Second)
		r := newReceived()
		mustTake(t, r, slow)
		checkEach(t, r.values["temp|a"], 3000)
		if s := hub.Stats(); s.Merged == 0 || r.gaps != 0 {
			t.Errorf("merged %d, gap of %d; want merged and no gap", s.Merged, r.gaps)
		}
		slow.close()
	})
}

func TestStalledViewerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		v, control := view(hub, ""), view(hub, "")
		synctest.Wait()
		v.stall()
		begun := time.Now()
		log.Append(readings, 0, reading("a", 1))
		<-v.done
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("cut off after %s, want 5s", took)
		}
		select {
		case <-control.done:
			t.Error("the viewer that reads was cut off too")
		default:
		}
		if s := hub.Stats(); s.CutOff != 1 || s.Clients != 1 {
			t.Errorf("cut off %d, clients %d; want 1 and 1", s.CutOff, s.Clients)
		}
		control.close()
	})
}

func TestLatePointsAndNonFiniteOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		now := time.Now().UnixMilli()
		at := func(ms int64, v float64) *event.Event { return livetest.Reading("temp", "a", now+ms, v, "C") }
		log.Append(readings, 0, at(0, 1), at(100, 3), at(50, 2), at(200, math.NaN()), at(201, math.Inf(1)), at(50, 2.5))
		log.Append(readings, 0, at(3_600_000, 9)) // a wrong clock
		log.AppendFrame(readings, 0, []byte("no frame"))
		log.Append(readings, 0, at(300, 4))
		time.Sleep(time.Second)
		v := view(hub, "")
		synctest.Wait()
		v.close()
		r := newReceived()
		mustTake(t, r, v)
		if got := fmt.Sprint(r.values["temp|a"]); got != "[1 2 2.5 3 4]" {
			t.Errorf("window %s; want the points in order of time", got)
		}
		s := hub.Stats()
		if s.Late != 2 || s.NonFinite != 2 || s.Future != 1 || s.BadFrames != 1 {
			t.Errorf("late %d, non-finite %d, future %d, bad frames %d; want 2 2 1 1", s.Late, s.NonFinite, s.Future, s.BadFrames)
		}
	})
}

func TestJournalEdgeMeansItsOwnSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) {
			c.Charts[0].Edges = []plan.Edge{{Node: "plant1", Stream: "journal"}}
		}))
		mine, other := reading("a", 1), reading("b", 2)
		mine.Source.Node, other.Source.Node = "plant1", "plant2"
		log.Append("journal", 0, mine, other)
		time.Sleep(time.Second)
		if s := hub.Snapshot(); len(s.Charts) != 1 || len(s.Charts[0].Series) != 1 || s.Charts[0].Series[0].Key != "a" {
			t.Errorf("snapshot %+v; want the one series of plant1", s)
		}
	})
}

func TestCSV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		ms := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		log.Append(readings, 0, livetest.Reading("a,b", "=x", ms, 1.25, `"C"`), livetest.Reading("t", "p\nq", ms, 1e-7, ""))
		time.Sleep(time.Second)
		want := "\"a,b\",'=x,2000-01-01T00:00:00.000Z,1.25,\"\"\"C\"\"\"\nt,p q,2000-01-01T00:00:00.000Z,1e-07,"
		v := view(hub, "format=csv")
		synctest.Wait()
		v.close()
		events := v.events()
		if events[2].data != want || !strings.Contains(events[1].data, `"csv":"chart,series,time,value,unit"`) {
			t.Errorf("csv frame %q\nwant      %q", events[2].data, want)
		}
		v = view(hub, "", "Accept", "text/csv")
		<-v.done
		if got := string(v.bytes()); got != "chart,series,time,value,unit\n"+want+"\n" {
			t.Errorf("csv snapshot %q", got)
		}
	})
}

func TestSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		a, b := view(hub, "sub=chart:temp"), view(hub, "sub=chart:live/flow,chart:level")
		synctest.Wait()
		for i, metric := range []string{"temp", "flow", "level", "other"} {
			log.Append(readings, 0, livetest.Reading(metric, "d", time.Now().UnixMilli(), float64(i), ""))
			time.Sleep(time.Second)
		}
		for _, c := range []struct {
			v    *viewer
			want string
		}{{a, "map[temp|d:[0]]"}, {b, "map[flow|d:[1] level|d:[2]]"}} {
			r := newReceived()
			mustTake(t, r, c.v)
			if got := fmt.Sprint(r.values); got != c.want {
				t.Errorf("received %s, want %s", got, c.want)
			}
			c.v.close()
		}
	})
}

func TestFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 2)
		for i := range 120 { // one point a minute, the window is 10 minutes
			log.Append(readings, i%2, reading("a", float64(i)))
			time.Sleep(time.Minute)
		}
		hub, _ := start(t, config(t, log))
		time.Sleep(time.Second)
		for _, c := range []struct {
			query string
			want  int
		}{{"", 11}, {"from=latest", 0}, {"from=-5m", 4}, {"from=-60m", 59}, {"from=earliest", 120}} {
			v := view(hub, c.query)
			synctest.Wait()
			r := newReceived()
			mustTake(t, r, v)
			if r.count() != c.want || r.lastID == "" {
				t.Errorf("%q: %d points, id %q; want %d", c.query, r.count(), r.lastID, c.want)
			}
			v.close()
		}
	})
}

func TestBadQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _ := start(t, config(t, livetest.NewLog(1, 1)))
		for _, query := range []string{"hz=0", "hz=1000", "hz=x", "format=xml", "sub=graph", "sub=chart:", "from=-x", "from=-0s"} {
			v := view(hub, query)
			<-v.done
			if v.code != 400 {
				t.Errorf("%s: code %d, want 400", query, v.code)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.MaxClients, c.MaxSeries = 1, 2 }))
		v := view(hub, "")
		synctest.Wait()
		w := view(hub, "")
		<-w.done
		if w.code != 503 || w.header.Get("Retry-After") == "" {
			t.Errorf("second viewer: code %d, want 503 with Retry-After", w.code)
		}
		log.Append(readings, 0, reading("a", 1), reading("b", 2), reading("c", 3), reading("a", 4))
		time.Sleep(time.Second)
		r := newReceived()
		mustTake(t, r, v)
		if got := fmt.Sprint(r.values); got != "map[temp|a:[1 4] temp|b:[2]]" || hub.Stats().Overflow != 1 {
			t.Errorf("received %s, overflow %d", got, hub.Stats().Overflow)
		}
		v.close()
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		v := view(hub, "")
		synctest.Wait()
		log.Fail(errors.New("connection refused"))
		time.Sleep(11 * time.Second)
		if s := hub.Status(); s.Ready || !strings.Contains(s.Reason, "connection refused") {
			t.Errorf("status %+v; want not ready with the reason", s)
		}
		log.Fail(nil)
		time.Sleep(10 * time.Second)
		if s := hub.Status(); !s.Ready {
			t.Errorf("status %+v; want ready again", s)
		}
		v.close()
		var logs []string
		for _, e := range v.events() {
			if e.name == "ping" {
				var p struct {
					Time int64
					Log  string
				}
				if err := json.Unmarshal([]byte(e.data), &p); err != nil || p.Time == 0 {
					t.Fatalf("ping %s: %v", e.data, err)
				}
				logs = append(logs, p.Log)
			}
		}
		if got := strings.Join(logs, " "); got != "away away ok ok" {
			t.Errorf("pings say %q; want away away ok ok", got)
		}
	})
}

func TestFatalErrorEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 2)
		hub, err := live.New(config(t, log))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- hub.Run(context.Background()) }()
		v := view(hub, "")
		synctest.Wait()
		foreign := errors.New("foreign log")
		log.Fail(node.AsFatal(foreign))
		if err := <-done; !errors.Is(err, foreign) || node.ClassOf(err) != node.Fatal {
			t.Errorf("Run = %v; want the log's fatal error", err)
		}
		<-v.done
		w := view(hub, "")
		<-w.done
		if w.code != 503 {
			t.Errorf("a stopped hub answers %d, want 503", w.code)
		}
	})
}

func TestIdleFollowerReadsInBatches(t *testing.T) {
	reads := func(watched bool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			log := &countingLog{Log: livetest.NewLog(1, 1)}
			hub, _ := start(t, config(t, log))
			if watched {
				v := view(hub, "")
				defer v.close()
			}
			synctest.Wait()
			for i := range 1000 {
				log.Append(readings, 0, reading("a", float64(i)))
				time.Sleep(10 * time.Millisecond)
			}
			n = int(log.reads.Load())
		})
		return n
	}
	idle, busy := reads(false), reads(true)
	if idle > 60 || busy < 900 {
		t.Errorf("10s of 100 frames/s: %d reads without a viewer, %d with one; want about 50 and 1000", idle, busy)
	}
}

// countingLog counts reads.
type countingLog struct {
	*livetest.Log
	reads atomic.Int64
}

func (l *countingLog) ReadFrames(ctx context.Context, stream string, lane int, after event.Position, n int, block time.Duration) ([]live.Entry, error) {
	l.reads.Add(1)
	return l.Log.ReadFrames(ctx, stream, lane, after, n, block)
}
