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

func TestConformance(t *testing.T) { plugintest.Run(t, senml(), "examples/*.yaml") }

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{"name":"value"}`: "value: is value, and so is name",
		`{"bn":"x"}`:       "bn: unknown field",
	} {
		if _, err := senml().Open([]byte(config), sdk.Node{ID: "n", Lanes: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

func decode(t testing.TB, payload string) node.Result {
	t.Helper()
	tr, err := senml().Open(nil, sdk.Node{ID: "n", Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := &event.Event{RootID: "m", Ingested: 1_700_000_000_000, Payload: []byte(payload)}
	results, err := tr.Process(t.Context(), &node.Batch{Events: []*event.Event{e}})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func TestTimes(t *testing.T) {
	for record, want := range map[string]int64{
		`{"n":"x","v":1,"t":268435456}`:             268435456000, // 2^28: the first absolute time
		`{"n":"x","v":1,"t":268435455}`:             1_700_000_000_000 + 268435455000,
		`{"bt":268435456,"n":"x","v":1,"t":-1}`:     1_700_000_000_000 + 268435455000, // what counts is the sum
		`{"n":"x","v":1,"t":1700000000.0005}`:       1_700_000_000_001,
		`{"n":"x","v":1,"t":-0.25}`:                 1_699_999_999_750,
		`{"bt":1700000000,"n":"x","v":1,"t":0.001}`: 1_700_000_000_001,
	} {
		r := decode(t, "["+record+"]")
		if len(r.Outputs) != 1 || r.Outputs[0].Time != want {
			t.Errorf("%s: %v, %v; want %d", record, r.Outputs, r.Rejects, want)
		}
	}
	for _, record := range []string{`{"n":"x","v":1,"t":1e300}`, `{"n":"x","v":1,"t":1e999}`, `{"bv":1e308,"n":"x","v":1e308}`} {
		if r := decode(t, "["+record+"]"); len(r.Rejects) != 1 || r.Rejects[0].Code != "bad_record" {
			t.Errorf("%s: %+v", record, r)
		}
	}
}

// TestRejectedRecordsKeepTheirOrdinals: mending one record of a pack changes no id
// of the others.
func TestRejectedRecordsKeepTheirOrdinals(t *testing.T) {
	bad, good := decode(t, `[{"n":"x","v":null},{"n":"x","v":1}]`), decode(t, `[{"n":"x","v":0},{"n":"x","v":1}]`)
	if len(bad.Outputs) != 1 || len(good.Outputs) != 2 || bad.Outputs[0].ID != good.Outputs[1].ID {
		t.Errorf("%+v\n%+v", bad, good)
	}
}

func TestPacksThatAreNone(t *testing.T) {
	for _, payload := range []string{"", "1", `{"n":"x"}`, "[", "[1]", `[{"n":"x","v":1}`, "[{}" + strings.Repeat(",{}", maxRecords) + "]", "[{}]]"} {
		if r := decode(t, payload); len(r.Rejects) != 1 || r.Rejects[0].Code != "bad_pack" || r.Rejects[0].Record != -1 {
			t.Errorf("%.20s: %+v", payload, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`[{"bn":"a:","bt":1.276020076001e+09,"bu":"A","n":"v","u":"V","v":120.1},{"n":"c","t":-5,"v":1.2}]`,
		`[{"n":"x","vs":"é"},{"n":"y","vb":false},{"n":"z","vd":"AQI"},{"n":"s","s":1e308,"bs":1e308}]`,
		`[{"bver":10,"n":"x","v":1,"t":-1e300}]`, `[null]`, `[[]]`, `[{"n":"x","v":1}`, "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		r := decode(t, payload)
		if len(r.Outputs)+len(r.Rejects) == 0 && !strings.Contains(payload, "b") {
			t.Error("nothing came of it")
		}
		for _, out := range r.Outputs {
			for _, field := range out.Record.Fields {
				if f, ok := field.Value.AsFloat(); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
					t.Errorf("%s is %v", field.Name, f)
				}
			}
			if name, _ := out.Record.Get("name"); checkName(name.Text()) != nil {
				t.Errorf("name %q", name.Text())
			}
		}
	})
}
