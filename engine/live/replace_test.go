package live_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/sink/chart"
)

// TestReplacedHubHandsItsViewersOver: they stay connected, hear of it, and go on with
// what the other one draws; those who come meanwhile begin there.
func TestReplacedHubHandsItsViewersOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		log.Append(readings, 0, reading("a", 1))
		old, stop := start(t, config(t, log))
		v, csv, coming := view(old, ""), view(old, "hz=4"), view(old, "charts=nosuch")
		synctest.Wait()
		next, end := start(t, config(t, log, func(c *live.Config) {
			second, err := chart.New("second", chart.Options{Chart: "metric", Series: "device", MaxPoints: 100}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Charts = append(c.Charts, live.Chart{Sink: second, Edges: c.Charts[0].Edges})
		}))
		<-next.Ready()
		old.Replace(next)
		stop()
		late := view(old, "")
		synctest.Wait()
		log.Append(readings, 0, reading("a", 2))
		time.Sleep(time.Second)
		synctest.Wait()
		for name, viewer := range map[string]*viewer{"a viewer": v, "a slow one": csv} {
			if got := names(viewer.events()); strings.Contains(got, "bye") || strings.Count(got, "hello") != 1 || strings.Count(got, "reset") != 1 {
				t.Errorf("%s saw %q; want one hello, one reset, no bye", name, got)
			}
			if got := string(viewer.bytes()); !strings.Contains(got, `"second/temp"`) || strings.Count(got, "[2]") < 2 {
				t.Errorf("%s does not see both charts move: %s", name, got)
			}
		}
		coming.close()
		end()
		for _, viewer := range []*viewer{v, csv, late} {
			<-viewer.done
		}
		if got := names(v.events()); !strings.HasSuffix(got, " bye") {
			t.Errorf("the other hub does not say bye: %q", got)
		}
	})
}
