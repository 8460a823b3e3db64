// Package sdk is what a plugin author writes against: it turns a function over one
// event ([Map]), over one event and the state of its key ([Stateful]), over a run of
// events ([MapBatch]), or a transform ([Batch]) into a program that the engine runs as
// a process of its own. It stands on the far side of the plugin hop and speaks the
// contract of schemas/plugin/v1; it knows no pipeline, no server and keeps nothing
// durable: state travels with its events and is stored by the engine.
//
// Package plugintest tests a plugin in the test's process. To look at one that runs in
// a real pipeline with a debugger, start it with [DebugEnv] set, such as
//
//	MILLRACE_PLUGIN_DEBUG=/tmp/times.sock dlv debug ./plugins/times
//
// and the engine with the line that it prints; see [ServeDebug].
//
//	type Config struct{ Factor float64 }
//
//	func main() {
//		sdk.Serve(sdk.Map("times", "1.0.0", func(c *Config) (sdk.Func, error) {
//			return func(e *sdk.Event) error {
//				v, ok := e.Float("value")
//				if !ok {
//					return sdk.Reject("bad_number", "value is missing or no number")
//				}
//				return e.SetFloat("value", v*c.Factor)
//			}, nil
//		}))
//	}
package sdk

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/millrace/millrace/engine/node"
)

// Plugin is a transform with a name and a version, ready to be served or, in a
// test, opened in process.
type Plugin struct {
	Name         string // as in the file name NAME@VERSION: [a-z][a-z0-9_-]*
	Version      string // semantic version without a leading v
	ConfigSchema []byte // JSON schema of the configuration; nil: not declared

	// Input is what it takes: "record", or media types of payloads, for a decoder;
	// nil: records. A node that hands it payloads says reads: payload.
	Input []string

	StateVersion   string   // layout of its keyed state; "": it keeps none
	ReadableStates []string // older layouts that it reads, sorted

	open func(config []byte, n Node) (node.Transform, error)
}

// Node is what a plugin learns about the pipeline node that it serves.
type Node struct {
	ID       string // part of the ids of its outputs: the node of [event.Event.Derive]
	Pipeline string
	Lanes    int // Process is called concurrently for this many lanes
	Logger   *slog.Logger
}

// Func handles one event, which carries a record (others are rejected): it changes e, calls e.Drop or e.Emit, or returns an
// error. An error made by [Reject] sends this event to the dead letters; any
// other error fails the whole unit, which then comes again as its class says
// (see [node.ClassOf]). A panic is such an error, with its stack in the log.
//
// A Func is called concurrently for different lanes. It must not keep e.
type Func func(e *Event) error

// Map makes a plugin of a function over single events. open is called once, with
// the node's configuration decoded into a new C: encoding/json's rules, unknown
// fields are errors. If *C has a method Validate() error, it is called before.
func Map[C any](name, version string, open func(*C) (Func, error)) Plugin {
	return Batch(name, version, func(c *C, n Node) (node.Transform, error) {
		f, err := open(c)
		if err != nil {
			return nil, err
		}
		return &mapper{node: n.ID, f: f, log: n.Logger}, nil
	})
}

// Batch makes a plugin of a transform over batches. A unit may reach Process in
// several batches; what becomes of an event must not depend on where they are
// cut. Outputs are made with [event.Event.Derive] under n.ID. Neither a batch nor its
// events or what they point to may be kept after the call: the next batch is decoded
// into the same memory. Texts, values and payloads may be kept.
func Batch[C any](name, version string, open func(*C, Node) (node.Transform, error)) Plugin {
	return Plugin{Name: name, Version: version, open: func(config []byte, n Node) (node.Transform, error) {
		c := new(C)
		if err := decodeConfig(config, c); err != nil {
			return nil, err
		}
		return open(c, n)
	}}
}

// Open opens the plugin in this process, without a host: for tests. config is a
// JSON object, nil for none.
func (p Plugin) Open(config []byte, n Node) (node.Transform, error) {
	if n.Logger == nil {
		n.Logger = slog.New(slog.DiscardHandler)
	}
	t, err := p.open(config, n)
	if err != nil {
		return nil, fmt.Errorf("plugin %s@%s: %w", p.Name, p.Version, err)
	}
	return t, nil
}

// Reject returns the error with which a [Func] refuses an event for good: code is
// short and machine-readable, such as "bad_number", the text is for people.
func Reject(code, format string, args ...any) error {
	return &rejection{node.Reject{Record: -1, Code: code, Text: valid(fmt.Sprintf(format, args...))}}
}

// valid makes a text of any bytes; what was found in bad data may be no text.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

type rejection struct{ node.Reject }

func (r *rejection) Error() string { return r.Code + ": " + r.Text }
