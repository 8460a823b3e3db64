package tap

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/redact"
)

const secret = "hunter2-0451"

// guarded returns taps of log that hide what is named token.
func guarded(t *testing.T, log Log) *Taps {
	t.Helper()
	rules, err := redact.Parse([]string{"token"})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Log: log, Plan: mill(), Redact: func() *redact.Rules { return rules }})
}

// secretive returns event n with the secret in its record.
func secretive(n int) *event.Event {
	e := reading(n)
	e.Record = e.Record.With("token", event.String(secret))
	return e
}

func TestTapsHideWhatIsRedacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		log.add(out, 0, secretive(0))
		csv := message(1, "plant1")
		csv.Payload = []byte("token;" + secret)
		log.add("journal", 0, csv)
		time.Sleep(time.Second)
		for node, want := range map[string]string{out: redact.Marker, "plant1": redact.Withheld} {
			w := httptest.NewRecorder()
			serve(guarded(t, log)).ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/tap/"+node+"?from=earliest&to=0s", nil))
			if body := w.Body.String(); strings.Contains(body, secret) || !strings.Contains(body, want) {
				t.Errorf("%s: %s", node, body)
			}
		}
	})
}

// TestExpressionsDoNotTellWhatIsHidden: whoever may tap could guess a value letter by letter.
func TestExpressionsDoNotTellWhatIsHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		log.add(out, 0, secretive(0))
		time.Sleep(time.Second)
		for where, want := range map[string]int{`token startsWith "h"`: 0, `n == 0`: 1, `token + 1 > 2`: 0} {
			w := httptest.NewRecorder()
			serve(guarded(t, log)).ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/tap/"+out+"?from=earliest&to=0s&where="+url.QueryEscape(where), nil))
			if got := strings.Count(w.Body.String(), `"root_id":"m0"`); got != want || strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: %s", where, w.Body)
			}
		}
	})
}

func TestSamplesHideWhatIsRedacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		s, err := guarded(t, log).Sampler(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		log.add(out, 0, secretive(0))
		got, err := s.Next(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil || strings.Contains(string(text), secret) || !strings.Contains(string(text), redact.Marker) {
			t.Errorf("%s, %v", text, err)
		}
	})
}
