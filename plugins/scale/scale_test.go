package main

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func start(config string) (node.Transform, error) {
	return scale.Open([]byte(config), sdk.Node{ID: "celsius", Lanes: 1})
}

func reading(fields ...event.Field) *event.Event {
	return &event.Event{RootID: "m", Time: 5, Record: &event.Record{Fields: fields}}
}

func field(name string, v event.Value) event.Field { return event.Field{Name: name, Value: v} }

// one returns what becomes of one event.
func one(t *testing.T, config string, in *event.Event) node.Result {
	t.Helper()
	tr, err := start(config)
	if err != nil {
		t.Fatal(err)
	}
	results, err := tr.Process(t.Context(), &node.Batch{Events: []*event.Event{in}})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func TestConversion(t *testing.T) {
	f := event.Float
	for name, c := range map[string]struct {
		config     string
		value      event.Value
		unit       string
		want       event.Value
		wantedUnit string
	}{
		"a rule":                          {`{"rules":[{"from":"F","to":"C","factor":0.5,"offset":1}]}`, f(10), "F", f(6), "C"},
		"a rule without factor":           {`{"rules":[{"from":"K","to":"C","offset":-1}]}`, f(10), "K", f(9), "C"},
		"a rule without unit":             {`{"rules":[{"from":"x","factor":2}]}`, f(10), "x", f(20), "x"},
		"a factor of zero is a factor":    {`{"rules":[{"from":"x","factor":0}]}`, f(10), "x", f(0), "x"},
		"an int":                          {`{"convert":["F->C"]}`, event.Int(212), "F", f(100), "C"},
		"a decimal":                       {`{"convert":["Wh->kWh"]}`, event.Decimal("1500"), "Wh", f(1.5), "kWh"},
		"another unit stays as it is":     {`{"convert":["F->C"]}`, event.Decimal("1.10"), "kWh", event.Decimal("1.10"), "kWh"},
		"null keeps null, with its unit":  {`{"convert":["F->C"]}`, event.Null, "F", event.Null, "C"},
		"below zero":                      {`{"convert":["F->C"]}`, f(-40), "F", f(-40), "C"},
		"other fields are for other runs": {`{"field":"value","unit_field":"unit","convert":["C->F"]}`, f(100), "C", f(212), "F"},
	} {
		t.Run(name, func(t *testing.T) {
			in := reading(field("device", event.String("pump")), field("value", c.value), field("unit", event.String(c.unit)))
			r := one(t, c.config, in)
			if len(r.Outputs) != 1 || len(r.Rejects) != 0 {
				t.Fatalf("result %+v", r)
			}
			value, _ := r.Outputs[0].Record.Get("value")
			unit, _ := r.Outputs[0].Record.Get("unit")
			if !near(value, c.want) || unit.Text() != c.wantedUnit {
				t.Errorf("%v %v, want %v %v", value, unit, c.want, c.wantedUnit)
			}
			if was, _ := in.Record.Get("unit"); was.Text() != c.unit {
				t.Error("the input was changed")
			}
		})
	}
}

func near(got, want event.Value) bool {
	g, ok := got.AsFloat()
	w, _ := want.AsFloat()
	return got.Kind() == want.Kind() && (!ok || math.Abs(g-w) < 1e-9)
}

func TestBadReadings(t *testing.T) {
	unit := field("unit", event.String("F"))
	for code, in := range map[string]*event.Event{
		"bad_number":   reading(field("value", event.String("warm")), unit),
		"no_field":     reading(unit),
		"out_of_range": reading(field("value", event.Float(math.Inf(1))), unit),
		"unknown_unit": reading(field("value", event.Float(1)), field("unit", event.String("furlong"))),
	} {
		r := one(t, `{"convert":["F->C"],"unknown":"reject"}`, in)
		if len(r.Rejects) != 1 || r.Rejects[0].Code != code || len(r.Outputs) != 0 {
			t.Errorf("%s: %+v", code, r)
		}
	}
	if r := one(t, `{"convert":["F->C"],"unknown":"drop"}`, reading(field("unit", event.String("m")))); len(r.Outputs)+len(r.Rejects) != 0 {
		t.Errorf("drop: %+v", r)
	}
}

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                       "rules: none given",
		`{"convert":["F->X"]}`:     "convert[0]: \"F->X\": unknown unit \"X\"",
		`{"convert":["F"]}`:        "convert[0]: \"F\": unknown unit \"\"",
		`{"convert":["bar->C"]}`:   "bar is a unit of pressure, C of temperature",
		`{"convert":["C/s->K/s"]}`: "unknown unit \"C/s\"",
		`{"to":["bar","C","kPa"]}`: "to[2]: bar and kPa are both units of pressure",
		`{"to":["furlong"]}`:       "to[0]: unknown unit \"furlong\"",
		`{"convert":["F->C"],"rules":[{"from":"F"}]}`:              "convert[0]: a second rule for unit \"F\"",
		`{"rules":[{"from":"F"},{"from":"F"}],"unknown":"ignore"}`: "unknown: \"ignore\"",
		`{"rules":[{"form":"F"}]}`:                                 "form: unknown field",
	} {
		if _, err := start(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

// TestConformance runs the README's examples; the same ones go through a process
// in engine/pluginhost.
func TestConformance(t *testing.T) { plugintest.Run(t, scale, "examples/*.yaml") }
