package live_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// pastPoint is a point of one line.
type pastPoint struct {
	line string // chart|series
	t    int64
	v    float64
}

func byTime(a, b pastPoint) int {
	return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.t, b.t), cmp.Compare(a.v, b.v))
}

// past asks hub about a stretch and returns the answer with its points, which must be
// in order of time in each line.
func past(t interface{ Fatalf(string, ...any) }, hub *live.Hub, query url.Values) (live.Past, []pastPoint) {
	w := httptest.NewRecorder()
	hub.ServeCharts(w, httptest.NewRequest("GET", "/api/v1/charts?"+query.Encode(), nil))
	var out live.Past
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
		t.Fatalf("%v: %d %s", query, w.Code, w.Body)
	}
	var points []pastPoint
	for _, c := range out.Charts {
		for _, s := range c.Series {
			if !slices.IsSorted(s.T) || len(s.T) != len(s.V) || len(s.T) == 0 {
				t.Fatalf("%s|%s: times %v, %d values", c.Key, s.Key, s.T, len(s.V))
			}
			for i := range s.T {
				points = append(points, pastPoint{c.Key + "|" + s.Key, s.T[i], s.V[i]})
			}
		}
	}
	return out, points
}

func between(from, to int64, more ...string) url.Values {
	q := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

// stored is what the test appended, with when.
type stored struct {
	pastPoint
	at int64
}

// fill appends readings at random times, some of them late, each value once.
func fill(rt *rapid.T, log *livetest.Log, lanes int) (all []stored) {
	for i := range rapid.IntRange(0, 150).Draw(rt, "entries") {
		metric, device := rapid.SampledFrom([]string{"temp", "flow"}).Draw(rt, "metric"), fmt.Sprintf("d%d", i%3)
		event := time.Now().UnixMilli() - int64(rapid.SampledFrom([]int{0, 0, 0, 7, 5000, -2000}).Draw(rt, "late"))
		at := log.Append(readings, rapid.IntRange(0, lanes-1).Draw(rt, "lane"), livetest.Reading(metric, device, event, float64(i*7919%1009), "C"))
		all = append(all, stored{pastPoint{metric + "|" + device, event, float64(i * 7919 % 1009)}, int64(at.Ms)})
		time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 20, 700}).Draw(rt, "pause")) * time.Millisecond)
	}
	return all
}

// m4 is the first, least, greatest and last point of each column, by hand.
func m4(points []pastPoint, px, span int64) (out []pastPoint) {
	type columnOf struct {
		line string
		n    int64
	}
	columns := map[columnOf][]pastPoint{}
	for _, p := range points { // in order of time
		c := columnOf{p.line, p.t * px / span}
		columns[c] = append(columns[c], p)
	}
	value := func(a, b pastPoint) int { return cmp.Compare(a.v, b.v) }
	for _, list := range columns {
		four := []pastPoint{list[0], slices.MinFunc(list, value), slices.MaxFunc(list, value), list[len(list)-1]}
		slices.SortFunc(four, byTime)
		out = append(out, slices.Compact(four)...)
	}
	slices.SortFunc(out, byTime)
	return out
}

// TestPastIsWhatTheLogHas: a range answers the points of the entries appended in it,
// each once and in order of time; reduced, the M4 of those.
func TestPastIsWhatTheLogHas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			lanes := rapid.IntRange(1, 3).Draw(rt, "lanes")
			log := livetest.NewLog(3, lanes)
			hub, stop := start(t, config(t, log))
			defer stop()
			begun := time.Now().UnixMilli()
			all := fill(rt, log, lanes)
			took := time.Now().UnixMilli() - begun
			from := begun + rapid.Int64Range(-10, took+10).Draw(rt, "from")
			to := from + rapid.Int64Range(1, took+20).Draw(rt, "length")
			var want []pastPoint
			for _, s := range all {
				if s.at >= from && s.at < to {
					want = append(want, s.pastPoint)
				}
			}
			slices.SortFunc(want, byTime)
			out, got := past(rt, hub, between(from, to))
			inTime := slices.Clone(got)
			slices.SortFunc(got, byTime)
			if !slices.Equal(got, want) || out.Cut != "" || out.From != from || out.To != to {
				rt.Fatalf("%d..%d %q: %v\nwant %v", out.From, out.To, out.Cut, got, want)
			}
			px := rapid.Int64Range(1, 300).Draw(rt, "px")
			_, got = past(rt, hub, between(from, to, "px", fmt.Sprint(px)))
			slices.SortFunc(got, byTime)
			if reduced := m4(inTime, px, to-from); !slices.Equal(got, reduced) {
				rt.Fatalf("px %d: %v\nwant %v\nof %v", px, got, reduced, inTime)
			}
		})
	})
}

// TestPastIsCutAndGoesOn: an answer that meets its bound says so, and asking from where
// it ends gives the rest, nothing twice.
func TestPastIsCutAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(3, 2)
		hub, _ := start(t, config(t, log))
		const entries = 20_500
		from := time.Now().UnixMilli()
		for i := range entries {
			log.Append(readings, i%2, reading("a", float64(i)))
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		to := time.Now().UnixMilli() + 1
		first, points := past(t, hub, between(from, to))
		rest, more := past(t, hub, between(first.To, to))
		if first.Cut != "entries" || rest.Cut != "" || rest.To != to {
			t.Fatalf("cut %q at %d, then %q", first.Cut, first.To, rest.Cut)
		}
		if points = append(points, more...); len(points) != entries {
			t.Fatalf("%d points; want %d", len(points), entries)
		}
		slices.SortFunc(points, func(a, b pastPoint) int { return cmp.Compare(a.v, b.v) })
		for i, p := range points {
			if p.v != float64(i) {
				t.Fatalf("value %d is %v: lost or doubled", i, p.v)
			}
		}
	})
}

// TestPastLeavesTheHubAlone: lines and counts of the live charts stay as they are, and
// a chart that was asked for comes alone.
func TestPastLeavesTheHubAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(3, 1)
		from := time.Now().UnixMilli()
		log.Append(readings, 0, livetest.Reading("gone", "x", from, 1, ""), reading("a", 2))
		time.Sleep(time.Hour)
		log.Append(readings, 0, reading("b", 3))
		hub, _ := start(t, config(t, log))
		synctest.Wait()
		before := hub.Stats()
		_, got := past(t, hub, between(from, from+1000, "sub", "chart:gone"))
		if len(got) != 1 || got[0].line != "gone|x" {
			t.Errorf("chart:gone has %v", got)
		}
		if after := hub.Stats(); after != before || before.Series != 1 {
			t.Errorf("stats were %+v and are %+v", before, after)
		}
	})
}

func TestPastTellsWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(3, 2)
		hub, _ := start(t, config(t, log))
		out, _ := past(t, hub, url.Values{"from": {"-10m"}, "to": {"-0s"}})
		if out.Kept != (live.Kept{}) {
			t.Errorf("an empty log keeps %+v", out.Kept)
		}
		begun := time.Now().UnixMilli()
		for i := range 10 {
			log.Append(readings, i%2, reading("a", float64(i)))
			log.Append("journal", 0, reading("a", float64(i)))
			time.Sleep(time.Second)
		}
		out, _ = past(t, hub, between(begun, begun+1, "px", "1"))
		if want := (live.Reach{Oldest: begun, Whole: begun}); out.Kept.Charts != want || out.Kept.Journal != want {
			t.Errorf("before anything is trimmed: %+v", out.Kept)
		}
		log.Trim(readings, 0, 2) // its entries of seconds 6 and 8 stay
		out, _ = past(t, hub, between(begun, begun+1))
		if want := (live.Reach{Oldest: begun + 1000, Whole: begun + 4001}); out.Kept.Charts != want {
			t.Errorf("after trimming: %+v; want %+v", out.Kept.Charts, want)
		}
	})
}

func TestPastRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(3, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.MaxPast = 1 }))
		synctest.Wait()
		code := func(query string) int {
			w := httptest.NewRecorder()
			hub.ServeCharts(w, httptest.NewRequest("GET", "/api/v1/charts?"+query, nil))
			return w.Code
		}
		for query, want := range map[string]int{
			"from=-10m&to=-5m": 200, "from=2000-01-01T00:00:00Z&to=2000-01-02T00:00:00Z&px=4096": 200,
			"to=-5m": 400, "from=x&to=-5m": 400, "from=-5m&to=-10m": 400, "from=-5m&to=-5m": 400, "from=-25h&to=-0s": 400,
			"from=-1m&to=-0s&px=4097": 400, "from=-1m&to=-0s&sub=x": 400, "from=-1m&to=99999999999999999999": 400,
		} {
			if got := code(query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
		log.Fail(errors.New("away"))
		if got := code("from=-1m&to=-0s"); got != 503 {
			t.Errorf("while the log is away: %d", got)
		}
		log.Fail(nil)
	})
}

// TestPastIsReadOneAtATime: who comes while the log is slow waits, and too many are
// refused at once.
func TestPastIsReadOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{Log: livetest.NewLog(3, 1), pause: time.Second}
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.MaxPast = 2 }))
		time.Sleep(10 * time.Second)
		codes := make(chan int, 3)
		for range 3 {
			go func() {
				w := httptest.NewRecorder()
				hub.ServeCharts(w, httptest.NewRequest("GET", "/api/v1/charts?from=-1m&to=-0s", nil))
				codes <- w.Code
			}()
		}
		got := []int{<-codes, <-codes, <-codes}
		if want := []int{503, 200, 200}; !slices.Equal(got, want) || log.most.Load() > 1 {
			t.Errorf("answers %v, want %v; %d readers at a time", got, want, log.most.Load())
		}
	})
}

// slowLog takes its time for reads that do not wait for more.
type slowLog struct {
	*livetest.Log
	pause time.Duration

	now, most atomic.Int64 // readers
}

func (l *slowLog) ReadFrames(ctx context.Context, stream string, lane int, after event.Position, maxFrames int, block time.Duration) ([]live.Entry, error) {
	if block == 0 {
		n := l.now.Add(1)
		defer l.now.Add(-1)
		l.most.Store(max(l.most.Load(), n))
		time.Sleep(l.pause)
	}
	return l.Log.ReadFrames(ctx, stream, lane, after, maxFrames, block)
}

// BenchmarkPast reads 100,000 points of 20 lines, 100 a frame, reduced to 300 columns.
func BenchmarkPast(b *testing.B) {
	log := livetest.NewLog(3, 4)
	begun := time.Now().UnixMilli() - 600_000
	for i := range 1000 {
		var events []*event.Event
		for n := range 100 {
			at := begun + int64(i)*600 + int64(n)
			events = append(events, livetest.Reading("temp", fmt.Sprintf("d%d", n%20), at, float64(i*n%997), "C"))
		}
		log.AppendAt(begun+int64(i)*600, readings, i%4, events...)
	}
	hub, _ := start(b, config(b, log))
	<-hub.Ready()
	query := between(begun, begun+600_000, "px", "300")
	b.ReportAllocs()
	for b.Loop() {
		past(b, hub, query)
	}
}
