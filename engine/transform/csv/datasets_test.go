package csvtransform_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
	exprtransform "github.com/millrace/millrace/engine/transform/expr"
)

// sharedData is where the whole data sets may be kept, beside the repository.
// What the repository holds of them is read in any case.
const sharedData = "../../../../shared/data"

// dataFiles returns the contents of the files of a data set, nil if there are none.
func dataFiles(t testing.TB, pattern string) []*event.Event {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var events []*event.Event
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, payload(string(text)))
	}
	return events
}

// dataSet is the options that read one data set as it is, and what they give of
// its files beside the repository and of the part that the repository holds.
type dataSet struct {
	opts       options
	whole, cut expected
}

type expected struct {
	pattern     string
	readings    int
	first, last string // event times; "" where the order of files is not that of time
}

var dataSets = map[string]dataSet{
	"skab, mixed line ends": {
		opts: options{Header: true, Delimiter: ";", Time: "datetime", Melt: &csvtransform.Melt{
			Columns: []string{"Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage", "Volume Flow RateRMS"}}},
		whole: expected{pattern: "skab-valve1/*.csv", readings: 145_280},
	},
	"steel energy, mark and day-first dates": {
		opts: options{Header: true, Time: "date", TimeFormats: []string{"%d-%m-%Y %H:%M"}, Zone: "Asia/Seoul", Required: []string{"CO2(tCO2)"},
			Melt: &csvtransform.Melt{ID: []string{"NSM", "WeekStatus", "Day_of_week", "Load_Type"}}},
		whole: expected{"steel-energy/*.csv", 210_240, "2017-12-31T15:15:00Z", "2018-12-30T15:00:00Z"},
		cut:   expected{"steel-energy.csv", 1200, "2017-12-31T15:15:00Z", "2018-01-02T17:00:00Z"},
	},
	"etth1, sixteen digits": {
		opts:  options{Header: true, Time: "date", Melt: &csvtransform.Melt{}},
		whole: expected{"etth1/*.csv", 121_940, "2016-07-01T00:00:00Z", "2018-06-26T19:00:00Z"},
	},
	"occupancy, rows longer than the header": {
		opts:  options{Header: true, RowName: "row", Time: "date", Melt: &csvtransform.Melt{ID: []string{"row", "Occupancy"}}},
		whole: expected{"occupancy/*.txt", 40_715, "2015-02-04T17:51:00Z", "2015-02-10T09:33:00Z"},
		cut:   expected{"occupancy.csv", 500, "2015-02-04T17:51:00Z", "2015-02-04T19:30:00Z"},
	},
	"beijing, time in four columns": {
		opts: options{Header: true, Nulls: []string{"NA"}, Time: "ts", TimeFrom: []string{"year", "month", "day", "hour"}, TimeFormats: []string{"%Y %m %d %H"},
			Zone: "Asia/Shanghai", Melt: &csvtransform.Melt{ID: []string{"No", "wd", "station"}}},
		whole: expected{"beijing-dongsi/*.csv", 378_182, "2013-02-28T16:00:00Z", "2017-02-28T15:00:00Z"},
		cut:   expected{"beijing-dongsi.csv", 3282, "2013-02-28T16:00:00Z", "2013-03-13T03:00:00Z"},
	},
	"nab, plain": {
		opts:  options{Header: true, Time: "timestamp", Types: map[string]string{"value": "number"}},
		whole: expected{pattern: "nab-plant/*_temperature_*.csv", readings: 29_962},
		cut:   expected{"nab-machine.csv", 200, "2013-12-02T21:15:00Z", "2013-12-03T13:50:00Z"},
	},
}

func TestRealDataSetsAreReadWhole(t *testing.T) {
	for name, set := range dataSets {
		t.Run(name, func(t *testing.T) {
			if set.cut.pattern != "" && !set.read(t, "testdata/cuts", set.cut) {
				t.Errorf("testdata/cuts/%s is missing", set.cut.pattern)
			}
			if testing.Short() || !set.read(t, sharedData, set.whole) {
				t.Logf("%s: read only what the repository holds", name)
			}
		})
	}
}

// read reports whether there was something to read.
func (s dataSet) read(t *testing.T, dir string, want expected) bool {
	t.Helper()
	files := dataFiles(t, filepath.Join(dir, want.pattern))
	if files == nil {
		return false
	}
	var outputs []*event.Event
	for _, r := range process(t, s.opts, files...) {
		if len(r.Rejects) > 0 {
			t.Fatalf("%s: %d rejects, first %v", want.pattern, len(r.Rejects), r.Rejects[0])
		}
		outputs = append(outputs, r.Outputs...)
	}
	if len(outputs) != want.readings {
		t.Fatalf("%s: %d readings; want %d", want.pattern, len(outputs), want.readings)
	}
	checkEnds(t, outputs, want.first, want.last)
	checkIDs(t, outputs)
	return true
}

func checkEnds(t *testing.T, outputs []*event.Event, first, last string) {
	t.Helper()
	if first == "" {
		return
	}
	const layout = "2006-01-02T15:04:05Z07:00"
	if got := outputs[0].ID.Time().Format(layout); got != first {
		t.Errorf("first reading at %s; want %s", got, first)
	}
	if got := outputs[len(outputs)-1].ID.Time().Format(layout); got != last {
		t.Errorf("last reading at %s; want %s", got, last)
	}
}

func checkIDs(t *testing.T, outputs []*event.Event) {
	t.Helper()
	seen := make(map[event.ID]bool, len(outputs))
	for _, e := range outputs {
		if seen[e.ID] {
			t.Fatalf("id %s occurs twice", e.ID)
		}
		seen[e.ID] = true
	}
}

// answerKey says what a correct reader makes of the dirty data set.
type answerKey struct {
	Accepted int
	Records  int
	Sensors  map[string]struct {
		Count         int
		Sum, Min, Max float64
	} `json:"accepted_per_sensor"`
	Defects []struct {
		Record int
		Kind   string
	}
}

// rejected maps the key's kinds to the code each must be rejected with.
var rejected = map[string]string{
	"empty_value": csvtransform.MissingValue, "text_value": csvtransform.BadNumber, "impossible_date": csvtransform.BadTime,
	"too_few_columns": csvtransform.BadWidth, "too_many_columns": csvtransform.BadWidth, "exact_duplicate": csvtransform.RepeatedRow,
	"out_of_range": exprtransform.Requirement,
}

var dirtyCSV = options{
	Header: true, Delimiter: ";", Decimal: "comma", Thousands: ".", Encoding: "iso-8859-1", Comment: "#", Trim: true,
	Time: "Zeitstempel", TimeFormats: []string{"%d.%m.%Y %H:%M:%S"},
	Types: map[string]string{"Messgröße": "number"}, Required: []string{"Messgröße"}, Repeats: "reject",
}

var dirtyExpr = exprtransform.Options{
	Require: `abs(record["Messgröße"]) <= 5000`,
	Set:     map[string]string{"value": `record["Einheit"] == "°C" ? record["Messgröße"] * 1.8 + 32 : record["Messgröße"]`},
}

// TestDirtyDataAgainstItsAnswerKey reads the whole file if it is there and the
// first part of it, which the repository keeps, in any case.
func TestDirtyDataAgainstItsAnswerKey(t *testing.T) {
	for name, dir := range map[string]string{"cut": "testdata/dirty-latin1", "whole": filepath.Join(sharedData, "dirty-latin1")} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, "ofen-sued-latin1.csv"))
			if errors.Is(err, fs.ErrNotExist) && name == "whole" {
				t.Log("dirty-latin1 is not beside the repository: read only what the repository holds")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			key := readKey(t, filepath.Join(dir, "answer-key.json"))
			decoded := process(t, dirtyCSV, payload(string(text)))[0]
			compareWithKey(t, decoded, key)
		})
	}
}

func readKey(t *testing.T, path string) answerKey {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var key answerKey
	if err := json.Unmarshal(raw, &key); err != nil {
		t.Fatal(err)
	}
	return key
}

func compareWithKey(t *testing.T, decoded node.Result, key answerKey) {
	t.Helper()
	want := map[int]string{}
	inRange := len(decoded.Outputs)
	for _, d := range key.Defects {
		if code := rejected[d.Kind]; code == exprtransform.Requirement {
			inRange--
		} else if code != "" {
			want[d.Record-1] = code // the key counts from 1
		}
	}
	for _, bad := range decoded.Rejects {
		if want[bad.Record] != bad.Code {
			t.Errorf("record %d rejected as %s (%s); want %q", bad.Record, bad.Code, bad.Text, want[bad.Record])
		}
		delete(want, bad.Record)
	}
	if len(want) > 0 || len(decoded.Outputs)+len(decoded.Rejects) != key.Records {
		t.Errorf("not rejected: %v; %d records and %d rejects; want %d together", want, len(decoded.Outputs), len(decoded.Rejects), key.Records)
	}
	good := compute(t, decoded.Outputs)
	if len(good) != inRange || len(good) != key.Accepted {
		t.Fatalf("%d accepted; want %d", len(good), key.Accepted)
	}
	compareSensors(t, good, key)
}

func compute(t *testing.T, decoded []*event.Event) []*event.Event {
	t.Helper()
	tr, err := exprtransform.New("fahrenheit", &dirtyExpr)
	if err != nil {
		t.Fatal(err)
	}
	results, err := tr.Process(t.Context(), &node.Batch{Events: decoded})
	if err != nil {
		t.Fatal(err)
	}
	var good []*event.Event
	for _, r := range results {
		good = append(good, r.Outputs...)
		for _, bad := range r.Rejects {
			if bad.Code != exprtransform.Requirement {
				t.Errorf("reject %v", bad)
			}
		}
	}
	return good
}

func compareSensors(t *testing.T, good []*event.Event, key answerKey) {
	t.Helper()
	counts, sums := map[string]int{}, map[string]float64{}
	for _, e := range good {
		sensor, _ := e.Record.Get("Messstelle")
		v, _ := e.Record.Get("value")
		f, ok := v.AsFloat()
		if s := key.Sensors[sensor.Text()]; !ok || f < s.Min-1e-6 || f > s.Max+1e-6 {
			t.Errorf("sensor %q: value %s outside %g..%g", sensor.Text(), v.Format(), s.Min, s.Max)
		}
		counts[sensor.Text()]++
		sums[sensor.Text()] += f
	}
	for name, s := range key.Sensors {
		if counts[name] != s.Count || math.Abs(sums[name]-s.Sum) > 1e-3 {
			t.Errorf("sensor %q: %d values, sum %f; want %d, %f", name, counts[name], sums[name], s.Count, s.Sum)
		}
	}
}
