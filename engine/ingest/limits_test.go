package ingest

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func TestLimits(t *testing.T) {
	limits := Limits{Message: 100, Headers: 200, Identity: 10, Key: 12}
	header := func(n int) []event.Header {
		return []event.Header{{Name: "h", Value: event.String(strings.Repeat("x", n))}}
	}
	for name, c := range map[string]struct {
		m    node.Message
		code string // "": taken
	}{
		"all at their limits": {node.Message{Body: make([]byte, 100), MessageID: "0123456789", RoutingKey: "0123456789ab", Headers: header(100)}, ""},
		"body":                {node.Message{Body: make([]byte, 101), MessageID: "a"}, "message_too_large"},
		"headers":             {node.Message{MessageID: "a", Headers: header(300)}, "headers_too_large"},
		"identity":            {node.Message{MessageID: "0123456789x"}, "identity_too_long"},
		"key":                 {node.Message{MessageID: "a", RoutingKey: "0123456789abc"}, "key_too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &Ingest{Config: Config{
				Pipeline: "p", Node: "n", Limits: limits,
				Identify: func(m *node.Message) (string, bool, error) { return m.MessageID, true, nil },
				Key:      func(m *node.Message, _ *event.Event) (string, error) { return m.RoutingKey, nil },
			}}
			_, _, err := in.root(&event.Event{}, &c.m, 1)
			r, _ := err.(refusal)
			if r.code != c.code || (err == nil) != (c.code == "") {
				t.Errorf("%v; want %q", err, c.code)
			}
		})
	}
	if err := (Limits{}).message(&node.Message{Body: make([]byte, 1<<20), Headers: header(1 << 20)}); err != nil {
		t.Errorf("no limits: %v", err)
	}
}
