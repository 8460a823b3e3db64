package tap

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/stream/embedded"
)

// TestPastThenLiveHasNoGapAndNoRepeat appends at random moments of a tap's reading,
// over random lanes of both streams of a chart, and wants every event once and those
// of a lane in order.
func TestPastThenLiveHasNoGapAndNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) { // without the deadline that a bubble has not
			log := newMemory(rapid.IntRange(1, 4).Draw(t, "lanes"))
			total, count := 0, rapid.IntRange(0, 5)
			place := map[string]string{} // of each event
			grow := func(frames int) {
				for range frames {
					lane, events := rapid.IntRange(0, log.Lanes()-1).Draw(t, "lane"), rapid.IntRange(1, 3).Draw(t, "events")
					name := rapid.SampledFrom([]string{out, stream.Journal}).Draw(t, "stream")
					var list []*event.Event
					for range events {
						list = append(list, message(total, "plant2"))
						place[fmt.Sprintf("m%d", total)] = stream.TopicOf(name, lane)
						total++
					}
					log.add(name, lane, list...)
					time.Sleep(time.Duration(rapid.IntRange(0, 2).Draw(t, "ms")) * time.Millisecond)
				}
			}
			grow(3 * count.Draw(t, "past"))
			past := total
			query := rapid.SampledFrom([]string{"from=earliest", ""}).Draw(t, "query")
			rounds := 0
			ctx, end := context.WithCancel(t.Context())
			defer end()
			log.reading = func() {
				rounds++
				switch {
				case rounds < 40:
					grow(count.Draw(t, "live"))
				case rounds == 200: // all are read by then, several times
					end()
				}
			}
			w := httptest.NewRecorder()
			serve(New(Config{Log: log, Plan: mill()})).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/v1/tap/live?"+query, nil))
			got := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
			checkComplete(t, got[:len(got)-1], place, past, total, query != "")
		})
	})
}

// checkComplete looks at the lines of a tap of total events, of which past were there
// before it.
func checkComplete(t *rapid.T, lines []string, place map[string]string, past, total int, fromPast bool) {
	first := past
	if fromPast {
		first = 0
	}
	var got []int
	newest := map[string]int{}
	for i, line := range lines {
		var n int
		_, after, _ := strings.Cut(line, `"root_id":"m`)
		if _, err := fmt.Sscanf(after, "%d", &n); err != nil {
			t.Fatalf("line %d: %s", i, line)
		}
		lane := place[fmt.Sprintf("m%d", n)]
		if old, ok := newest[lane]; ok && n <= old {
			t.Errorf("event %d after %d of %s", n, old, lane)
		}
		newest[lane] = n
		got = append(got, n)
	}
	slices.Sort(got)
	for i, n := range got {
		if n != first+i {
			t.Fatalf("event %d in the place of %d: a gap or a repeat", n, first+i)
		}
	}
	if len(got) != total-first {
		t.Errorf("%d events; want %d", len(got), total-first)
	}
}

// openLog returns an embedded log with two lanes, and what appends event n to it.
func openLog(t *testing.T) (*stream.Log, func(n int)) {
	t.Helper()
	server, err := embedded.Start(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	log, err := stream.Open(t.Context(), stream.Config{URL: server.URL(), Pipeline: "mill", EngineID: "one", Lanes: 2, OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	if err := log.EnsureStreams(t.Context(), []string{stream.Journal, out}); err != nil {
		t.Fatal(err)
	}
	lease, err := log.Acquire(t.Context(), "stage:decode")
	if err != nil {
		t.Fatal(err)
	}
	return log, func(n int) {
		frame, err := (&event.Frame{Events: []*event.Event{reading(n)}}).Encode(nil, event.None)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), lease, stream.AppendRequest{Stream: out, Lane: n % 2, Frame: frame, Events: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryMomentBetweenPastAndLive asks an engine's own log over HTTP: for every k,
// k events are there before, the others come once these are seen.
func TestEveryMomentBetweenPastAndLive(t *testing.T) {
	const total = 6
	client := &http.Client{Timeout: time.Minute} // a gap would be waited for in vain
	defer client.CloseIdleConnections()
	for k := range total + 1 {
		log, add := openLog(t)
		for n := range k {
			add(n)
		}
		server := httptest.NewServer(serve(New(Config{Log: log, Plan: mill()})))
		t.Cleanup(server.Close)
		for _, query := range []string{"?from=earliest&limit=6", "?limit=6"} {
			first := 0
			if query == "?limit=6" {
				first = total // of what came before it sees nothing
			}
			resp, err := client.Get(server.URL + "/api/v1/tap/" + out + query)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := bufio.NewReader(resp.Body)
			seen := lines(t, body, max(k-first, 0))
			for n := first + max(k-first, 0); n < first+total; n++ {
				add(n)
			}
			seen += lines(t, body, total-max(k-first, 0))
			got := roots(t, seen)
			slices.Sort(got)
			var want []string
			for n := range total {
				want = append(want, fmt.Sprintf("m%d", first+n))
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d before %s: %v; want %v", k, total, query, got, want)
			}
			if rest, err := body.ReadString('\n'); rest != "" || err == nil {
				t.Errorf("behind the limit: %q, %v", rest, err)
			}
		}
	}
}
