package sdk_test

import (
	"context"
	"fmt"
	"os"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
)

// A whole plugin: main.go of plugins/times.
func Example() {
	type Config struct{ Factor float64 }
	main := func() {
		sdk.Serve(sdk.Map("times", "1.0.0", func(c *Config) (sdk.Func, error) {
			return func(e *sdk.Event) error {
				v, ok := e.Float("value")
				if !ok {
					return sdk.Reject("bad_number", "field value is missing or no number")
				}
				return e.SetFloat("value", v*c.Factor)
			}, nil
		}))
	}
	_ = main // the engine starts it
}

// A whole plugin that remembers: it adds the sum of a key's readings to each of them.
// The node says with key: in the pipeline file what a key is.
func ExampleStateful() {
	type total struct{ Sum float64 }
	sum := sdk.Stateful("sum", "1.0.0", sdk.JSON[total]("1"), func(*struct{}) (sdk.StateFunc[total], error) {
		return func(e *sdk.Event, s *total) error {
			v, ok := e.Float("value")
			if !ok {
				return sdk.Reject("bad_number", "field value is missing or no number")
			}
			s.Sum += v
			return e.SetFloat("sum", s.Sum)
		}, nil
	})
	// func main() { sdk.Serve(sum) }

	show("sum", run(sum, reading("pump", 2), reading("fan", 10), reading("pump", 3)))
	// Output:
	// pump sum 2
	// fan sum 10
	// pump sum 5
}

// Version 2 of a plugin keeps a count beside the sum, and reads what version 1 has left.
func ExampleFrom() {
	type v1 struct{ Sum float64 }
	type v2 struct{ Sum, Count float64 }
	layout := sdk.From(sdk.JSON[v2]("2"), sdk.JSON[v1]("1"), func(old v1) (v2, error) {
		return v2{Sum: old.Sum, Count: 1}, nil // the mean goes on from what was summed up
	})
	mean := sdk.Stateful("mean", "2.0.0", layout, func(*struct{}) (sdk.StateFunc[v2], error) {
		return func(e *sdk.Event, s *v2) error {
			v, _ := e.Float("value")
			s.Sum, s.Count = s.Sum+v, s.Count+1
			return e.SetFloat("mean", s.Sum/s.Count)
		}, nil
	})
	fmt.Println("writes", mean.StateVersion, "reads", mean.ReadableStates)

	stored := state{"pump": node.PackState("1", []byte(`{"Sum":10}`))}
	show("mean", runOn(stored, mean, reading("pump", 2), reading("fan", 2)))
	// Output:
	// writes 2 reads [1]
	// pump mean 6
	// fan mean 2
}

// A run of events at once: here they share one look-up.
func ExampleMapBatch() {
	limits := func(keys []string) map[string]float64 { return map[string]float64{"pump": 2.5} }
	above := sdk.MapBatch("above", "1.0.0", func(*struct{}) (sdk.BatchFunc, error) {
		return func(events []*sdk.Event) error {
			var keys []string
			for _, e := range events {
				keys = append(keys, e.In().Key)
			}
			limit := limits(keys)
			for _, e := range events {
				if v, _ := e.Float("value"); v <= limit[e.In().Key] {
					e.Drop()
				}
			}
			return nil
		}, nil
	})
	show("value", run(above, reading("pump", 2), reading("pump", 3), reading("fan", 1)))
	// Output:
	// pump value 3
	// fan value 1
}

// A program for a debugger. Serve does the same where [DebugEnv] is set:
//
//	MILLRACE_PLUGIN_DEBUG=/tmp/times.sock dlv debug ./plugins/times
func ExampleServeDebug() {
	plugin := sdk.Map("times", "1.0.0", func(*struct{}) (sdk.Func, error) {
		return func(e *sdk.Event) error { return nil }, nil // set the breakpoint here
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // otherwise it serves until it is interrupted
	if err := sdk.ServeDebug(ctx, plugin, "times.sock", os.Stderr); err != nil {
		fmt.Println(err)
	}
	// Output:
}

// state is what the engine keeps between units.
type state map[string][]byte

func (s state) Get(key string) []byte        { return s[key] }
func (s state) Put(key string, value []byte) { s[key] = value }

func reading(key string, value float64) *event.Event {
	return &event.Event{RootID: key, Key: key, Record: &event.Record{Fields: []event.Field{{Name: "value", Value: event.Float(value)}}}}
}

// run takes a unit through a plugin without an engine; a test does so with plugintest.
func run(p sdk.Plugin, events ...*event.Event) []*event.Event { return runOn(state{}, p, events...) }

func runOn(s state, p sdk.Plugin, events ...*event.Event) (outputs []*event.Event) {
	tr, err := p.Open(nil, sdk.Node{ID: "n", Lanes: 1})
	if err != nil {
		panic(err)
	}
	results, err := tr.Process(context.Background(), &node.Batch{Events: events, State: s})
	if err != nil {
		panic(err)
	}
	for _, r := range results {
		outputs = append(outputs, r.Outputs...)
	}
	return outputs
}

func show(field string, events []*event.Event) {
	for _, e := range events {
		v, _ := e.Record.Get(field)
		fmt.Println(e.Key, field, v.Any())
	}
}
