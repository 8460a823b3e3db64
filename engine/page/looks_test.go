package page

import "github.com/millrace/millrace/engine/sink/chart"

// looks are charts that scenarios draw otherwise than as lines, by their metric.
var looks = map[string]chart.One{
	"stair": {Look: chart.Look{Draw: chart.Step}},
	"kwh":   {Look: chart.Look{Draw: chart.Bar}},
	"tank":  {Look: chart.Look{Draw: chart.Area}},
	"rows":  {Look: chart.Look{Draw: chart.Table, Thresholds: limits}},
	"gauge": {Title: "Boiler", Look: chart.Look{Draw: chart.Value, Thresholds: limits}},
	"mode": {Look: chart.Look{Draw: chart.State, Bands: []chart.Band{
		{From: 0, To: 1, Label: "idle", Severity: chart.Fine},
		{From: 1, To: 2, Label: "running", Severity: chart.Fine},
		{From: 2, To: 3, Label: "fault", Severity: chart.Alarm},
	}}},
	"oven": {Look: chart.Look{Thresholds: limits, Bands: []chart.Band{
		{From: 40, To: 60, Label: "normal", Severity: chart.Fine},
		{From: 10, To: 20, Label: "cold", Severity: chart.Warn},
	}}},
}

var limits = []chart.Threshold{
	{At: 80, Label: "warm", Severity: chart.Warn},
	{At: 90, Label: "too hot", Severity: chart.Alarm},
}
