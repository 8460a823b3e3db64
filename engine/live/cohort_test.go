package live_test

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// TestViewersBeyondOneCohort: more viewers of one query than a class takes count as one
// way of looking, get every point once, and have their frames built once for each class.
func TestViewersBeyondOneCohort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, cohorts, rounds, each = 600, 3, 5, 3
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log, func(c *live.Config) { c.MaxClasses = 1 }))
		all := views(hub, many, "hz=4&from=latest")
		for range rounds {
			log.Append(readings, 0, stamped("temp", each)...)
			time.Sleep(time.Second)
		}
		if v := view(hub, "hz=2"); !ended(v) || v.code != 503 {
			t.Errorf("another query: code %d, want 503", v.code)
		}
		for i, v := range all {
			v.close()
			got := newReceived()
			if err := got.take(v.events()); err != nil || v.code != 200 || got.count() != rounds*each {
				t.Fatalf("viewer %d: code %d, %d points of %d, %v", i, v.code, got.count(), rounds*each, err)
			}
		}
		if built := hub.Stats().Messages; built != cohorts*rounds {
			t.Errorf("%d frames were built in %d rounds, want one for each of %d cohorts", built, rounds, cohorts)
		}
		v := view(hub, "hz=2")
		if ended(v) {
			t.Errorf("another query once all have left: code %d", v.code)
		}
		v.close()
	})
}

// TestViewersOfReducedLinesAreOneClass: what such a class keeps is large, so it is kept once.
func TestViewersOfReducedLinesAreOneClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		all := views(hub, 600, "px=10&hz=4")
		log.Append(readings, 0, stamped("temp", 3)...)
		time.Sleep(time.Second)
		for _, v := range all {
			v.close()
		}
		if built := hub.Stats().Messages; built != 1 {
			t.Errorf("one frame was built %d times", built)
		}
	})
}

// TestManyViewersGetWhatIsNewWhenTheirTurnComes: while others write, a class with many
// viewers builds nothing, and then one frame of all that has come. The control has few
// viewers: they wait for nobody.
func TestManyViewersGetWhatIsNewWhenTheirTurnComes(t *testing.T) {
	for _, c := range []struct {
		name         string
		viewers      int
		early, total uint64 // frames built while others write, and in the end
	}{{"many", 200, 0, 1}, {"control: few", 20, 2, 2}} {
		t.Run(c.name, func(t *testing.T) {
			log := livetest.NewLog(1, 1)
			hub, stop := start(t, config(t, log))
			server := httptest.NewServer(hub)
			defer server.Close()
			defer stop()
			for range c.viewers {
				dial(t, server, "from=latest", false)
			}
			eventually(t, "its class writes to each", func() bool { return hub.Direct() == c.viewers })
			release := hub.HoldFloor()
			for n := range uint64(2) {
				log.Append(readings, 0, stamped("temp", 1)...)
				eventually(t, "the point has come", func() bool {
					s := hub.Stats()
					return s.Points == n+1 && s.Messages >= min(c.early, n+1)
				})
			}
			if built := hub.Stats().Messages; built != c.early {
				t.Errorf("%d frames were built while others write, want %d", built, c.early)
			}
			release()
			eventually(t, "everyone has all", func() bool { return hub.Stats().Written == c.total*uint64(c.viewers) })
			if built := hub.Stats().Messages; built != c.total {
				t.Errorf("%d frames were built, want %d", built, c.total)
			}
		})
	}
}

// views are n viewers that have begun.
func views(hub *live.Hub, n int, query string) []*viewer {
	all := make([]*viewer, n)
	for i := range all {
		all[i] = view(hub, query)
	}
	synctest.Wait()
	return all
}

func ended(v *viewer) bool {
	synctest.Wait()
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}
