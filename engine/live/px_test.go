package live_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// columns is what a viewer of reduced lines has: by line and column, the points.
type columns struct {
	px, window int64
	names      map[int32]string
	points     map[string]map[int64][]float64
	begun      int // histories
}

func follow(t *testing.T, events []sse) *columns {
	t.Helper()
	c := &columns{names: map[int32]string{}, points: map[string]map[int64][]float64{}}
	for _, e := range events {
		switch e.name {
		case "schema":
			c.schema(t, e.data)
		case "snapshot", "frame":
			c.frame(t, e.data)
		}
	}
	return c
}

func (c *columns) schema(t *testing.T, data string) {
	t.Helper()
	var s struct {
		Px     int64
		Window int64 `json:"window_ms"`
	}
	r := newReceived()
	r.names = c.names
	if err := json.Unmarshal([]byte(data), &s); err != nil || r.schema(data) != nil || s.Px == 0 || s.Window == 0 {
		t.Fatalf("schema %s: %v", data, err)
	}
	c.px, c.window = s.Px, s.Window
}

func (c *columns) frame(t *testing.T, data string) {
	t.Helper()
	var f frame
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		t.Fatal(err)
	}
	if f.Begin {
		c.begun++
		clear(c.points)
	}
	for _, s := range f.Series {
		name, fresh := c.names[s.ID], map[int64][]float64{}
		for i, at := range s.T {
			column := at * c.px / c.window
			fresh[column] = append(fresh[column], s.V[i])
		}
		if c.points[name] == nil {
			c.points[name] = map[int64][]float64{}
		}
		for column, values := range fresh {
			c.points[name][column] = values
		}
	}
}

// TestReducedViewersAgree: who was there from the start, who came late, who resumed
// and who was stuck have the same columns in the end, and they are those of the log.
func TestReducedViewersAgree(t *testing.T) {
	for _, window := range []string{"10m", "1h"} { // of the hub's memory, and of the log
		synctest.Test(t, func(t *testing.T) {
			log := livetest.NewLog(1, 2)
			hub, _ := start(t, config(t, log, func(c *live.Config) { c.WriteTimeout, c.Recent = time.Hour, 500 }))
			query := "px=100&hz=10&window=" + window
			early, stuck := view(hub, query), view(hub, query)
			synctest.Wait()
			release := stuck.stall()
			for i := range 3000 {
				late := int64(0)
				if i%10 == 0 {
					late = 20_000
				}
				log.Append(readings, i%2, livetest.Reading("temp", fmt.Sprintf("d%d", i%3), time.Now().UnixMilli()-late, float64(i*7919%1000), "C"))
				time.Sleep(137 * time.Millisecond)
			}
			release()
			fresh := view(hub, query)
			resumed := view(hub, query, "Last-Event-ID", lastID(early.events()))
			reset := view(hub, query, "Last-Event-ID", "9.x")
			time.Sleep(time.Second)
			all := map[string]*viewer{"early": early, "stuck": stuck, "fresh": fresh, "resumed": resumed, "reset": reset}
			want := follow(t, early.events())
			for name, v := range all {
				v.close()
				if got := follow(t, v.events()); fmt.Sprint(got.points) != fmt.Sprint(want.points) {
					t.Errorf("window %s: %s has other columns than the one from the start:\n%v\n%v", window, name, got.points, want.points)
				}
			}
			for line, list := range want.points {
				checkColumns(t, line, list, want.px, want.window)
			}
			if got := names(stuck.events()); !strings.Contains(got, "gap") {
				t.Errorf("the stuck one was not told: %q", got)
			}
			if got := names(reset.events()); !strings.HasPrefix(got, "hello reset schema snapshot") {
				t.Errorf("after an unknown id: %q", got)
			}
		})
	}
}

func lastID(events []sse) (id string) {
	for _, e := range events {
		if e.id != "" {
			id = e.id
		}
	}
	return id
}

// checkColumns holds the columns of a line to the values that the test appended.
func checkColumns(t *testing.T, line string, got map[int64][]float64, px, window int64) {
	t.Helper()
	if len(got) == 0 || len(got) > int(px)+1 {
		t.Errorf("%s has %d columns", line, len(got))
	}
	want := map[int64][]float64{}
	var d int
	fmt.Sscanf(line, "temp|d%d", &d)
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for i := range 3000 {
		at := start + int64(i)*137
		if i%10 == 0 {
			at -= 20_000
		}
		if i%3 == d {
			want[at*px/window] = append(want[at*px/window], float64(i*7919%1000))
		}
	}
	for column, values := range want {
		if g := got[column]; len(g) == 0 || len(g) > 4 || slices.Min(g) != slices.Min(values) || slices.Max(g) != slices.Max(values) {
			t.Errorf("%s: column %d has %v; of %v", line, column, g, values)
		}
	}
}

func TestReducedSnapshotsAndEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		for i := range 100 {
			log.Append(readings, 0, reading("a", float64(i)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		const query = "px=10&window=1s&mode=envelope"
		for _, c := range []struct {
			accept, query, want string
		}{
			{"application/json", query, `"t":[946684800000],"min":[0],"avg":[49.5],"max":[99]`},
			{"text/csv", query, "temp,a,2000-01-01T00:00:00.000Z,0,49.5,99,C\n"},
			{"text/csv", "px=10&window=1s", "chart,series,time,value,unit\ntemp,a,2000-01-01T00:00:00.000Z,0,C\ntemp,a,2000-01-01T00:00:00.099Z,99,C\n"},
			{"text/event-stream", query, `"t":[946684800000],"min":[0],"avg":[49.5],"max":[99]`},
			{"application/x-ndjson", query, `"mode":"envelope"`},
		} {
			v := view(hub, c.query, "Accept", c.accept)
			synctest.Wait()
			v.close()
			if got := string(v.bytes()); !strings.Contains(got, c.want) {
				t.Errorf("%s %s: %s\nwant %s", c.accept, c.query, got, c.want)
			}
		}
		for _, query := range []string{"px=0", "px=4097", "px=x", "px=10&mode=lttb", "mode=m4"} {
			v := view(hub, query)
			<-v.done
			if v.code != 400 {
				t.Errorf("%s: code %d, want 400", query, v.code)
			}
		}
	})
}

func TestTooManyWaysOfLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _ := start(t, config(t, livetest.NewLog(1, 1), func(c *live.Config) { c.MaxReduced, c.MaxClasses = 1, 3 }))
		var all []*viewer
		for _, c := range []struct {
			query string
			code  int
		}{{"px=10", 200}, {"px=10", 200}, {"px=11", 503}, {"", 200}, {"hz=1", 200}, {"hz=2", 503}, {"", 200}} {
			v := view(hub, c.query)
			all = append(all, v)
			synctest.Wait()
			if v.code != c.code {
				t.Errorf("%q: code %d, want %d", c.query, v.code, c.code)
			}
		}
		for _, v := range all {
			v.close()
		}
		if n := hub.Stats().Clients; n != 0 {
			t.Errorf("%d viewers are counted after all have left", n)
		}
	})
}
