package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func TestExamples(t *testing.T) { plugintest.Run(t, deadband, "examples/examples.yaml") }

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{"absolute":-1,"percent":-0.5}`:             "absolute: it is negative",
		`{"percent":-0.5}`:                           "percent: it is negative",
		`{"max_silence":"-1s","min_interval":"-1s"}`: "max_silence: it is negative",
		`{"max_silence":"1s","min_interval":"2s"}`:   "min_interval: it is longer than max_silence",
		`{"max_silence":"long"}`:                     "is no duration",
		`{"max_silence":10}`:                         "is no duration",
		`{"band":1}`:                                 "band: unknown field",
	} {
		if _, err := deadband.Open([]byte(config), sdk.Node{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

// TestWhatIsDroppedIsNearWhatPassed sends random walks of several keys and holds the
// plugin to what a reader of its output relies on: whatever is missing lies within the
// band around the reading of its key that passed last.
func TestWhatIsDroppedIsNearWhatPassed(t *testing.T) {
	const bandwidth, silence = 2.0, 30_000
	n := plugintest.Open(t, deadband, map[string]any{"absolute": bandwidth, "max_silence": "30s"})
	rnd := rand.New(rand.NewPCG(7, 8))
	value, last, at := map[string]float64{}, map[string]float64{}, map[string]int64{}
	dropped := 0
	for unit := range 200 {
		var events []*event.Event
		for range 1 + rnd.IntN(20) {
			key := string(rune('a' + rnd.IntN(3)))
			value[key] += rnd.NormFloat64()
			events = append(events, n.Event(key, time.UnixMilli(int64(1+unit)*3000), "value", value[key]))
		}
		for i, r := range n.Send(events...) {
			v, _ := events[i].Record.Get("value")
			number, _ := v.AsFloat()
			key := events[i].Key
			if len(r.Outputs) == 1 {
				last[key], at[key] = number, events[i].Time
				continue
			}
			dropped++
			if math.Abs(number-last[key]) > bandwidth || events[i].Time-at[key] >= silence {
				t.Fatalf("%v of %s was dropped, %v passed last, %d ms before", number, key, last[key], events[i].Time-at[key])
			}
		}
	}
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
}
