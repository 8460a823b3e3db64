package plugintest_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

type total struct{ Sum float64 }

type config struct{ Limit float64 }

var sum = sdk.Stateful("sum", "1.0.0", sdk.JSON[total]("1"), func(c *config) (sdk.StateFunc[total], error) {
	return func(e *sdk.Event, s *total) error {
		v, ok := e.Float("value")
		if !ok {
			return errors.New("no number")
		}
		if s.Sum += v; s.Sum > c.Limit {
			*s = total{}
		}
		return e.SetFloat("sum", s.Sum)
	}, nil
})

func TestEventsInResultsOutAndTheStateBetween(t *testing.T) {
	n := plugintest.Open(t, sum, config{Limit: 10})
	at := time.UnixMilli(5000)
	results := n.Send(n.Event("a", at, "value", 3), n.Event("b", at, "value", 1.5), n.Event("a", time.Time{}, "value", 4.0))
	if got, _ := results[2].Outputs[0].Record.Get("sum"); got != event.Float(7) || results[0].Outputs[0].Time != 5000 {
		t.Errorf("sum %v, time %d", got.Any(), results[0].Outputs[0].Time)
	}
	if version, value := n.State("a"); version != "1" || string(value) != `{"Sum":7}` {
		t.Errorf("state of a: %s %s", version, value)
	}
	if _, err := n.Try(n.Event("b", at, "value", 1), n.Event("b", at, "value", "much")); err == nil {
		t.Error("a unit that has to fail passes")
	}
	if _, value := n.State("b"); string(value) != `{"Sum":1.5}` {
		t.Errorf("state of b after a unit that failed: %s", value)
	}
	n.SetState("c", "1", []byte(`{"Sum":10}`))
	n.SetState("b", "", nil)
	n.Send(n.Event("c", at, "value", 1))
	if got := n.Keys(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("keys with state %q, want a alone", got)
	}
	if version, value := n.State("c"); version != "" || value != nil {
		t.Errorf("state of c: %s %s", version, value)
	}
}
