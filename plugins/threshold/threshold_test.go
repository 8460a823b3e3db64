package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func TestExamples(t *testing.T) { plugintest.Run(t, threshold, "examples/examples.yaml") }

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{}`: "levels: 0 given",
		`{"levels":[{"name":"a","above":1},{"name":"a","below":1}]}`:      `levels[1].name: "a" is empty or a second one`,
		`{"levels":[{"above":1}]}`:                                        `levels[0].name: "" is empty`,
		`{"levels":[{"name":"a"}]}`:                                       "levels[0]: it has above and below, or neither",
		`{"levels":[{"name":"a","above":1,"below":0}]}`:                   "levels[0]: it has above and below, or neither",
		`{"levels":[{"name":"a","above":1,"clear":2}]}`:                   "levels[0].clear: 2 is above the limit 1",
		`{"levels":[{"name":"a","below":1,"clear":0}]}`:                   "levels[0].clear: 0 is below the limit 1",
		`{"levels":[{"name":"a","below":1,"delay":"-1s","severity":-2}]}`: "levels[0].severity: -2 is negative",
		`{"levels":[{"name":"a","below":1}],"delay":"-1s"}`:               "delay: it is negative",
		`{"levels":[{"name":"a","below":1}],"emit":"some"}`:               `emit: "some" is none of`,
		`{"levels":[{"name":"a","over":1}]}`:                              "over: unknown field",
	} {
		if _, err := threshold.Open([]byte(config), sdk.Node{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

var hotAndCold = map[string]any{"delay": "5s", "levels": []map[string]any{
	{"name": "warm", "above": 1, "clear": 0.5}, {"name": "hot", "above": 2, "clear": 1.5, "delay": "0s"}, {"name": "cold", "below": -1},
}}

// TestAlarmsFollowOneAnother sends random readings of a key: each alarm begins where the
// one before has ended, and every reading in between leaves the level alone.
func TestAlarmsFollowOneAnother(t *testing.T) {
	n := plugintest.Open(t, threshold, hotAndCold)
	rnd := rand.New(rand.NewPCG(3, 4))
	value, level, alarms := 0.0, "", map[string]int{}
	for i := range 5000 {
		value = 0.95*value + 0.4*rnd.NormFloat64()
		r := n.Send(n.Event("k", time.UnixMilli(int64(i+1)*1000), "value", value))[0]
		if len(r.Outputs) == 0 {
			continue
		}
		rec := r.Outputs[0].Record
		previous, _ := rec.Get("previous")
		now, _ := rec.Get("level")
		kind, _ := rec.Get("alarm")
		if previous.Text() != level || now.Text() == level {
			t.Fatalf("reading %d: from %q to %q, the level was %q", i, previous.Text(), now.Text(), level)
		}
		level = now.Text()
		alarms[kind.Text()+" "+level]++
	}
	for _, kind := range []string{"raised warm", "raised hot", "raised cold", "lowered warm", "cleared "} {
		if alarms[kind] == 0 {
			t.Errorf("no alarm %q among %v", kind, alarms)
		}
	}
}

func TestAKeyThatIsWellTakesNoRoom(t *testing.T) {
	n := plugintest.Open(t, threshold, hotAndCold)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	n.Send(n.Event("a", at(1), "value", 3), n.Event("b", at(1), "value", 0))
	if keys := n.Keys(); len(keys) != 1 || keys[0] != "a" {
		t.Errorf("keys with state %q, want a alone", keys)
	}
	n.Send(n.Event("a", at(2), "value", 0))
	if keys := n.Keys(); len(keys) != 0 {
		t.Errorf("keys with state %q, want none", keys)
	}
}

func TestLevelsKeepTheirStateByName(t *testing.T) {
	n := plugintest.Open(t, threshold, map[string]any{"levels": []map[string]any{{"name": "new", "above": 50}, {"name": "high", "above": 10}}})
	n.SetState("k", "1", []byte(`{"beyond":[{"level":"high","since":1,"raised":true},{"level":"gone","since":1,"raised":true}]}`))
	results := n.Send(n.Event("k", time.Unix(9, 0), "value", 11), n.Event("k", time.Unix(10, 0), "value", 1))
	if len(results[0].Outputs) != 0 || alarmOf(results[1]) != "cleared" {
		t.Errorf("results %+v", results)
	}
	if _, state := n.State("k"); state != nil {
		t.Errorf("state %s is left", state)
	}
}

func alarmOf(r node.Result) string {
	if len(r.Outputs) != 1 {
		return ""
	}
	v, _ := r.Outputs[0].Record.Get("alarm")
	return v.Text()
}
