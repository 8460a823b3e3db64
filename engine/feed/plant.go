// Package feed brings data sets to the beginning of an event's way: it turns rows
// of real measurements into the messages that plants send, and publishes them to
// RabbitMQ with confirms or into the embedded queues. It is for demonstrations,
// tests and load; it consumes nothing and knows nothing of pipelines.
package feed

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/testdata/plants"
)

// Plant is one of the built-in data sets with the way its plant sends readings.
type Plant struct {
	Name  string // "plant1" .. "plant4"
	Queue string // "master.plant1" .. "master.plant4"
	rows  []row
	span  time.Duration // of one replay: added to the times of each further one
	shape func(p *Plant, id string, at time.Time, r row) []node.Message
}

// row is what was measured at one moment.
type row struct {
	at       time.Time
	readings []reading
}

type reading struct {
	device, metric, unit string
	value                string // a JSON number, with the digits of the data set
}

// column maps a data set's column to a metric.
type column struct{ name, metric, unit string }

// table describes one CSV file of the built-in data.
type table struct {
	file    string
	device  string
	times   []string // columns that hold the time, joined by one blank
	layout  string
	columns []column
}

var tables = map[string][]table{
	"plant1": {
		{"nab-plant/machine_temperature.csv", "machine-1", []string{"timestamp"}, time.DateTime, []column{{"value", "temperature", "F"}}},
		{"nab-plant/ambient_temperature.csv", "room-1", []string{"timestamp"}, time.DateTime, []column{{"value", "temperature", "F"}}},
	},
	"plant2": {{"steel-energy/steel_energy.csv", "furnace-1", []string{"date"}, "02-01-2006 15:04", []column{
		{"Usage_kWh", "energy", "kWh"}, {"Lagging_Current_Reactive.Power_kVarh", "reactive_power", "kVarh"},
		{"Lagging_Current_Power_Factor", "power_factor", "%"},
	}}},
	"plant3": {{"occupancy/occupancy.csv", "office-1", []string{"date"}, time.DateTime, []column{
		{"Temperature", "temperature", "C"}, {"Humidity", "humidity", "%"}, {"Light", "light", "lux"}, {"CO2", "co2", "ppm"},
	}}},
	"plant4": {{"beijing-dongsi/dongsi.csv", "dongsi", []string{"year", "month", "day", "hour"}, "2006 1 2 15", []column{
		{"TEMP", "temperature", "C"}, {"PM2.5", "pm25", "ug/m3"}, {"NO2", "no2", "ug/m3"}, {"O3", "o3", "ug/m3"},
		{"CO", "co", "ug/m3"}, {"PRES", "pressure", "hPa"}, {"WSPM", "wind_speed", "m/s"},
	}}},
}

var shapes = map[string]func(p *Plant, id string, at time.Time, r row) []node.Message{
	"plant1": jsonReadings, "plant2": csvRows, "plant3": mqttTopics, "plant4": jsonArray,
}

// PlantNames returns "plant1" .. "plant4".
func PlantNames() []string { return []string{"plant1", "plant2", "plant3", "plant4"} }

// EmbeddedQueues returns the queues of the built-in plants.
func EmbeddedQueues() []string {
	var out []string
	for _, name := range PlantNames() {
		out = append(out, queueOf(name))
	}
	return out
}

func queueOf(plant string) string { return "master." + plant }

// LoadPlant reads a built-in data set into memory (a few MB).
func LoadPlant(name string) (*Plant, error) {
	files, ok := tables[name]
	if !ok {
		return nil, fmt.Errorf("no built-in plant %q; there are %s", name, strings.Join(PlantNames(), ", "))
	}
	p := &Plant{Name: name, Queue: queueOf(name), shape: shapes[name]}
	var parts [][]row
	for _, t := range files {
		rows, err := t.read()
		if err != nil {
			return nil, fmt.Errorf("built-in data %s: %w", t.file, err)
		}
		parts = append(parts, rows)
	}
	p.rows = interleave(parts)
	first, last := bounds(p.rows)
	p.span = last.Sub(first) + time.Hour
	return p, nil
}

// interleave takes one row of each part in turn.
func interleave(parts [][]row) []row {
	var out []row
	for i := 0; ; i++ {
		n := len(out)
		for _, rows := range parts {
			if i < len(rows) {
				out = append(out, rows[i])
			}
		}
		if len(out) == n {
			return out
		}
	}
}

func bounds(rows []row) (first, last time.Time) {
	byTime := func(a, b row) int { return a.at.Compare(b.at) }
	return slices.MinFunc(rows, byTime).at, slices.MaxFunc(rows, byTime).at
}

// Rows returns the number of rows of one replay.
func (p *Plant) Rows() int { return len(p.rows) }

// Broker returns the queue as a real broker needs it.
func (p *Plant) Broker() link.Queue {
	q := link.Queue{Name: p.Queue, Create: true, Durable: true}
	if p.Name == "plant3" {
		q.Bind = []link.Binding{{Exchange: mqttExchange, Key: p.Name + ".#"}}
	}
	return q
}

func (t table) read() ([]row, error) {
	f, err := plants.Files.Open(t.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	header, err := in.Read()
	if err != nil {
		return nil, err
	}
	place := map[string]int{}
	for i, name := range header {
		place[name] = i
	}
	var out []row
	for {
		cells, err := in.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		r, err := t.row(cells, place)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
}

func (t table) row(cells []string, place map[string]int) (row, error) {
	var when []string
	for _, name := range t.times {
		when = append(when, cells[place[name]])
	}
	at, err := time.Parse(t.layout, strings.Join(when, " "))
	if err != nil {
		return row{}, err
	}
	out := row{at: at}
	for _, c := range t.columns {
		cell := cells[place[c.name]]
		if cell == "NA" {
			continue
		}
		if _, err := strconv.ParseFloat(cell, 64); err != nil || !json.Valid([]byte(cell)) {
			return row{}, fmt.Errorf("%s: %q is not a number", c.name, cell)
		}
		out.readings = append(out.readings, reading{t.device, c.metric, c.unit, cell})
	}
	return out, nil
}

const (
	timeFormat   = "2006-01-02T15:04:05.000Z07:00"
	mqttExchange = "amq.topic"
)

func (p *Plant) message(id string, at time.Time, contentType string, body []byte) node.Message {
	return node.Message{MessageID: id, ContentType: contentType, RoutingKey: p.Queue, Queue: p.Queue, Timestamp: at, Body: body}
}

// appendReading writes {"id":..,"device":..,"metric":..,"ts":..,"value":..,"unit":..}.
func appendReading(dst []byte, id, ts string, r reading) []byte {
	dst = fmt.Appendf(dst, `{"id":%q,"device":%q,"metric":%q,"ts":%s,"value":%s,"unit":%q}`, id, r.device, r.metric, ts, r.value, r.unit)
	return dst
}

func jsonReadings(p *Plant, id string, at time.Time, r row) []node.Message {
	body := appendReading(nil, id, strconv.Quote(at.Format(timeFormat)), r.readings[0])
	return []node.Message{p.message(id, at, "application/json", body)}
}

func csvRows(p *Plant, id string, at time.Time, r row) []node.Message {
	var body []byte
	for _, v := range r.readings {
		body = fmt.Appendf(body, "%s,%s,%s,%s,%s\n", v.device, v.metric, at.Format(timeFormat), v.value, v.unit)
	}
	return []node.Message{p.message(id, at, "text/csv", body)}
}

// mqttTopics sends what RabbitMQ's MQTT plugin makes of a device's publications:
// neither message id nor content type nor timestamp.
func mqttTopics(p *Plant, _ string, at time.Time, r row) []node.Message {
	var out []node.Message
	for _, v := range r.readings {
		out = append(out, node.Message{
			Exchange: mqttExchange, RoutingKey: p.Name + "." + v.device + "." + v.metric, Queue: p.Queue,
			Headers: []event.Header{{Name: "x-mqtt-publish-qos", Value: event.Int(1)}, {Name: "x-mqtt-dup", Value: event.Bool(false)}},
			Body:    fmt.Appendf(nil, `{"ts":%q,"value":%s,"unit":%q}`, at.Format(timeFormat), v.value, v.unit),
		})
	}
	return out
}

func jsonArray(p *Plant, id string, at time.Time, r row) []node.Message {
	ts := strconv.FormatInt(at.UnixMilli(), 10)
	body := []byte{'['}
	for i, v := range r.readings {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendReading(body, id+"."+strconv.Itoa(i), ts, v)
	}
	return []node.Message{p.message(id, at, "application/json", append(body, ']'))}
}
