package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/status"
)

var update = flag.Bool("update", false, "write golden files")

// looks are two answers of an engine two seconds apart; names and reasons try to
// steer the terminal.
func looks() (before, now *status.Status) {
	look := func(uptime float64, n uint64) *status.Status {
		hours := 51.27
		return &status.Status{
			Pipeline: "charts", Generation: "live", Version: "1.2.3", Uptime: uptime, Started: time.UnixMilli(1).UTC(),
			Reasons: []httpapi.Reason{{Component: "rows", Reason: "database is away"}, {Component: "plant1", Reason: "no broker\x1b[2J\u202eanswers\r\nat all"}},
			Holds:   []metrics.Hold{{Stage: "rows", Stream: "celsius", Lane: 2, Reason: "database is away"}},
			Nodes: []status.Node{
				{ID: "plant1", Kind: "source", Type: "amqp", Totals: &metrics.Totals{In: 3000 * n, Out: 2999 * n}},
				{ID: "celsius", Kind: "plugin", Totals: &metrics.Totals{In: n, Out: n / 2, Rejected: 7, Retries: 1, DeadLetters: 7}},
				{ID: "a_node_with_a_name_that_is_rather_long", Kind: "sink", Totals: &metrics.Totals{In: 123456 * n, Out: 123456 * n}},
				{ID: "live", Kind: "chart"},
			},
			Readers: []status.Reader{
				{Reader: "rows@live", Stream: "celsius", Lanes: []status.Lag{{Lane: 0, Events: 1, Seconds: 0.04}, {Lane: 1}, {Lane: 2, Events: 120_345, Seconds: 3723}, {Lane: 3}}},
				{Reader: "readings@live", Stream: "journal", Lanes: []status.Lag{{Lane: 0}, {Lane: 1}, {Lane: 2}, {Lane: 3}}},
			},
			Log: &status.Log{Bytes: 12_900_000, MaxBytes: 1 << 30, HoursLeft: &hours, DeadLetters: 7},
		}
	}
	return look(3599, 10), look(3601, 30)
}

func TestTopViewIsDrawnAsGolden(t *testing.T) {
	before, now := looks()
	for _, c := range []struct {
		name          string
		width, height int
	}{{"wide", 80, 60}, {"low", 80, 16}, {"narrow", 40, 60}, {"tiny", 40, 10}} {
		t.Run(c.name, func(t *testing.T) {
			lines := newTopView(before, now).draw(c.width, c.height)
			if len(lines) > c.height {
				t.Errorf("%d lines; want at most %d", len(lines), c.height)
			}
			for _, l := range lines {
				if len([]rune(l)) > c.width || strings.ContainsAny(l, "\x1b\r\n\u202e") {
					t.Errorf("line %q does not fit into %d characters", l, c.width)
				}
			}
			golden(t, "top."+c.name+".txt", strings.Join(lines, "\n")+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v; have\n%s\nwant\n%s", path, err, got, want)
	}
}

// TestTopViewFitsEverywhere draws into every small window.
func TestTopViewFitsEverywhere(t *testing.T) {
	before, now := looks()
	for width := 1; width <= 100; width++ {
		for height := 1; height <= 40; height++ {
			v := newTopView(before, now)
			v.problem = "no engine answers"
			lines := v.draw(width, height)
			if len(lines) > height {
				t.Fatalf("%d lines in a window of %d", len(lines), height)
			}
			for _, l := range lines {
				if len([]rune(l)) > width {
					t.Fatalf("%q in a window of %d", l, width)
				}
			}
		}
	}
}

func TestTopViewWithoutLogAndRates(t *testing.T) {
	v := newTopView(nil, &status.Status{Pipeline: "p", Generation: "g", Ready: true, Nodes: []status.Node{{ID: "a", Totals: &metrics.Totals{}}}})
	got := strings.Join(v.draw(200, 50), "\n")
	if want := "p@g  ready  up 0s  millrace \nlog: not open yet\n\nNODE  KIND"; !strings.HasPrefix(got, want) || !strings.Contains(got, "-      -") {
		t.Errorf("have\n%s", got)
	}
}

func TestNumbersInAFewCharacters(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 12345: "12345", 99999: "99999", 100_000: "100k", 123_456: "123k", 999_400: "999k", 999_600: "1.00M", 12_345_678: "12.3M", 5e9: "5.00G", 7e20: "700000P",
	} {
		if got := compact(n); got != want {
			t.Errorf("compact(%v) = %s; want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 0.04: "0.0", 7.25: "7.2", 99.94: "99.9", 99.96: "100", 1234.5: "1234", 250_000: "250k"} {
		if got := perSecond(n); got != want {
			t.Errorf("perSecond(%v) = %s; want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1 << 20: "1.00 MiB", 5 << 40: "5.00 TiB", 1 << 60: "1048576 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s; want %s", n, got, want)
		}
	}
}

func TestNoTerminalIsSteered(t *testing.T) {
	if got := plain("a\x1b]0;x\x07\tb\u0085c\u202ed\x9be \xff✓"); strings.ContainsAny(got, "\x1b\x07\t\u0085\u202e") || !strings.HasSuffix(got, "✓") {
		t.Errorf("plain = %q", got)
	}
	if got := shorten("äöü", 2); got != "ä…" {
		t.Errorf("shorten = %q", got)
	}
}

// TestKeysThatEnd: q, Ctrl-C, Ctrl-D and the end of input end the view, others do not.
func TestKeysThatEnd(t *testing.T) {
	for keys, left := range map[string]string{"abqx": "x", "Q": "", "\x03y": "y", "\x04": "", "ab": ""} {
		in, ended := strings.NewReader(keys), false
		endAtKey(in, func() { ended = true })
		if rest := make([]byte, 8); !ended {
			t.Errorf("%q does not end", keys)
		} else if n, _ := in.Read(rest); string(rest[:n]) != left {
			t.Errorf("%q: %q is left; want %q", keys, rest[:n], left)
		}
	}
}

// screen is a terminal that ends the view after some frames.
type screen struct {
	text   strings.Builder
	frames int
	end    context.CancelFunc
}

func (s *screen) Write(b []byte) (int, error) {
	s.text.Write(b)
	if strings.HasPrefix(string(b), home) {
		if s.frames--; s.frames == 0 {
			s.end()
		}
	}
	return len(b), nil
}

// TestTopGoesOnWhileTheEngineIsAway: the last view stays, with the reason on top, and
// the terminal is left as it was.
func TestTopGoesOnWhileTheEngineIsAway(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 2 {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"pipeline":"p","generation":"live","uptime_seconds":%d,"ready":true,"nodes":[{"id":"a","in":%d}]}`, asked, 10*asked)
	}))
	defer server.Close()
	ctx, end := context.WithCancel(t.Context())
	tp := &top{client: &client{server: server.URL}, interval: time.Millisecond}
	if err := tp.look(ctx); err != nil {
		t.Fatal(err)
	}
	s := &screen{frames: 3, end: end}
	if err := tp.watch(ctx, end, strings.NewReader(""), s, -1); err != nil {
		t.Fatal(err)
	}
	text := s.text.String()
	frames := strings.Split(text, home)
	if len(frames) != 4 || !strings.HasPrefix(text, screenOn) || !strings.HasSuffix(text, screenOff) {
		t.Fatalf("%d frames in %q", len(frames)-1, text)
	}
	if !strings.HasPrefix(frames[2], "! away") || !strings.Contains(frames[2], "p  ready  up 1s") {
		t.Errorf("while it is away: %q", frames[2])
	}
	if strings.Contains(frames[3], "away") || !strings.Contains(frames[3], "10.0") {
		t.Errorf("afterwards: %q; want the rate of 20 events in 2 s", frames[3])
	}
}

func TestTopEndsWhereNothingCanBeWritten(t *testing.T) {
	tp := &top{client: &client{}, interval: time.Second, now: &status.Status{}}
	if err := tp.watch(t.Context(), func() {}, strings.NewReader(""), brokenWriter{}, -1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("watch = %v", err)
	}
}
