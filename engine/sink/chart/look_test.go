package chart

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestAChartHasItsOwnLookOrTheNodes(t *testing.T) {
	one, two := 1, 2
	hot := []Threshold{{At: 80, Severity: Warn}}
	o := Options{
		Decimals: &one, Look: Look{Draw: Step, Thresholds: hot, Bands: []Band{{From: 0, To: 1, Severity: Fine}}},
		Charts: map[string]One{
			"flow":  {Title: "Flow", Decimals: &two, Look: Look{Draw: Bar, Thresholds: []Threshold{}}},
			"other": {Title: "Other"},
		},
	}
	for key, want := range map[string]One{
		"flow":  {Title: "Flow", Decimals: &two, Look: Look{Bar, []Threshold{}, o.Bands}},
		"other": {Title: "Other", Decimals: &one, Look: Look{Step, hot, o.Bands}},
		"none":  {Decimals: &one, Look: Look{Step, hot, o.Bands}},
	} {
		if got := o.Of(key); !reflect.DeepEqual(got, want) {
			t.Errorf("Of(%q) = %+v, want %+v", key, got, want)
		}
	}
	if got := (&Options{}).Of("x").Draw; got != Line {
		t.Errorf("without any option a chart is drawn as %q", got)
	}
}

func TestCheckNamesEveryBadMemberOfALook(t *testing.T) {
	d, long := 13, strings.Repeat("é", MaxLabel+1)
	bad := Look{
		Draw: "pie", Thresholds: make([]Threshold, MaxThresholds+1), Bands: make([]Band, MaxBands+1),
	}
	bad.Thresholds[0] = Threshold{At: math.NaN(), Label: long, Severity: Fine, Side: "left"}
	bad.Bands[0] = Band{From: 2, To: 2, Label: long, Severity: "bad"}
	o := Options{Look: bad, Charts: map[string]One{"a.b": {Title: long + long, Decimals: &d, Look: bad}}}
	var got []string
	for _, e := range o.Check() {
		got = append(got, e.Field)
	}
	wrong := []string{"draw", "thresholds", "bands", "thresholds[0].at", "thresholds[0].label", "thresholds[0].severity",
		"thresholds[0].side", "bands[0].to", "bands[0].label", "bands[0].severity"}
	want := []string{"charts", "charts.a.b.title", "charts.a.b.decimals"}
	for _, field := range wrong {
		want = append(want, field, "charts.a.b."+field)
	}
	for _, field := range want {
		if !slices.Contains(got, field) {
			t.Errorf("Check does not name %s", field)
		}
	}
	full := Look{State, slices.Repeat([]Threshold{{Severity: Alarm, Side: Below}}, MaxThresholds), slices.Repeat([]Band{{To: 1, Severity: Fine}}, MaxBands)}
	if errs := full.check(""); len(errs) > 0 {
		t.Errorf("the most that is allowed is refused: %v", errs)
	}
}
