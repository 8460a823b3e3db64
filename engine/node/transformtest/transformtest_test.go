package transformtest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
)

const doubling = `
cases:
  - name: doubles what is a number
    with: { field: value }
    in:
      - record: { device: a, value: 2 }
        time: 2026-01-01T00:00:00Z
      - record: { device: a }
      - record: { device: b, value: hot }
      - record: { device: b, value: 5, at: { $time: "2026-01-01T00:00:00Z" } }
    out:
      - outputs: [ { record: { device: a, value: 4 }, time: 2026-01-01T00:00:00Z } ]
      - {}
      - rejects: [ { record: -1, code: not_an_int, text: hot } ]
      - outputs: [ { record: { device: b, value: 10, at: { $time: 1767225600000 } }, key: "" } ]
`

func cases(t *testing.T, text string) []transformtest.Case {
	t.Helper()
	c, err := transformtest.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// double is a correct transform with a place to break it at.
type double struct {
	node  string
	spoil func(d *double, ctx context.Context, in *node.Batch, results []node.Result) ([]node.Result, error)
	calls atomic.Int64
}

func (d *double) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	if ctx.Err() != nil && d.spoil == nil {
		return nil, ctx.Err()
	}
	results := make([]node.Result, len(in.Events))
	for i, e := range in.Events {
		results[i] = d.one(e)
	}
	if d.spoil != nil {
		return d.spoil(d, ctx, in, results)
	}
	return results, nil
}

func (d *double) one(e *event.Event) node.Result {
	if e.Record == nil {
		return node.Result{Rejects: []node.Reject{{Record: -1, Code: "no_record", Text: "a payload"}}}
	}
	v, ok := e.Record.Get("value")
	if !ok {
		return node.Result{}
	}
	if v.Kind() != event.KindInt {
		return node.Result{Rejects: []node.Reject{{Record: -1, Code: "not_an_int", Text: "found " + v.Format()}}}
	}
	out := e.Derive(d.node, 0, 0)
	out.Record = e.Record.With("value", event.Int(2*v.AsInt()))
	return node.Result{Outputs: []*event.Event{out}}
}

func (d *double) Close() error { return nil }

// counter is a correct stateful transform: it numbers the events of each device.
type counter struct {
	double
	local bool // broken: remembers in itself
	stray bool // broken: touches an undeclared key
	short bool // broken: begins anew in a large batch
	trace bool // broken: counts what it refuses
	here  map[string]uint64
}

func (c *counter) StateVersion() string { return "1" }

func (c *counter) StateKeys(in *node.Batch) []string {
	var keys []string
	for _, e := range in.Events {
		keys = append(keys, device(e))
	}
	return keys
}

// device is the key that counter counts by; the suite makes many of each.
func device(e *event.Event) string { return e.Key }

func (c *counter) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	results := make([]node.Result, len(in.Events))
	for i, e := range in.Events {
		if c.short && i == 1000 {
			in.State.Put(device(e), nil)
		}
		if e.Record == nil || len(e.Record.Fields) == 0 {
			if c.trace {
				c.next(in.State, device(e))
			}
			results[i].Rejects = []node.Reject{{Record: -1, Code: "no_device", Text: "no device"}}
			continue
		}
		out := e.Derive(c.node, 0, 0)
		out.Record = &event.Record{Fields: []event.Field{{Name: "n", Value: event.Int(int64(c.next(in.State, device(e))))}}}
		results[i].Outputs = []*event.Event{out}
	}
	return results, nil
}

func (c *counter) next(s node.State, key string) uint64 {
	if c.stray {
		s.Get("elsewhere")
	}
	if c.local {
		c.here[key]++
		return c.here[key]
	}
	var n uint64
	if old := s.Get(key); old != nil {
		_, value, err := node.UnpackState(old)
		if err != nil {
			panic(err)
		}
		n = binary.LittleEndian.Uint64(value)
	}
	s.Put(key, node.PackState("1", binary.LittleEndian.AppendUint64(nil, n+1)))
	return n + 1
}

func TestAFaithfulTransformPasses(t *testing.T) {
	transformtest.Run(t, transformtest.Suite{
		Open:  func(id string, _ map[string]any) (node.Transform, error) { return &double{node: id}, nil },
		Cases: cases(t, doubling),
	})
}

const numbering = `
cases:
  - name: numbers the events of each device
    state: [ { key: a, version: "1", base64: AQAAAAAAAAA= }, { key: c, version: "1", value: "untouched" } ]
    in: [ { key: a, record: { device: a } }, { key: b, record: { device: b } }, { key: a, record: { device: a } }, { record: {} } ]
    out:
      - outputs: [ { record: { n: 2 } } ]
      - outputs: [ { record: { n: 1 } } ]
      - outputs: [ { record: { n: 3 } } ]
      - rejects: [ { record: -1, code: no_device } ]
`

func TestAFaithfulStatefulTransformPasses(t *testing.T) {
	transformtest.Run(t, transformtest.Suite{
		Open: func(id string, _ map[string]any) (node.Transform, error) {
			return &counter{double: double{node: id}}, nil
		},
		Cases: cases(t, numbering),
	})
}

type spoil = func(d *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error)

// firstOutput calls f with the first output there is.
func firstOutput(f func(d *double, in, out *event.Event)) spoil {
	return func(d *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error) {
		for i := range r {
			if len(r[i].Outputs) > 0 {
				f(d, in.Events[i], r[i].Outputs[0])
				break
			}
		}
		return r, ctx.Err()
	}
}

// TestEveryPromiseIsChecked breaks each promise in turn: the suite must name it.
func TestEveryPromiseIsChecked(t *testing.T) {
	for promise, broken := range map[string]spoil{
		"the examples give the results": firstOutput(func(_ *double, _, out *event.Event) { out.Record = out.Record.With("value", event.Int(7)) }),
		"there is one result per event": func(_ *double, ctx context.Context, _ *node.Batch, r []node.Result) ([]node.Result, error) {
			if len(r) > 100 {
				r[0], r[3] = r[3], r[0]
			}
			return r, ctx.Err()
		},
		"an empty batch is fine": func(_ *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error) {
			if len(in.Events) == 0 {
				return nil, errors.New("nothing to do")
			}
			return r, ctx.Err()
		},
		"outputs descend from their input": firstOutput(func(_ *double, in, out *event.Event) { out.Root.Seq++ }),
		"processing again gives the same":  firstOutput(func(d *double, _, out *event.Event) { out.ID[15] = byte(d.calls.Add(1)) }),
		"the cut into batches": func(d *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error) {
			for i := range r {
				for _, out := range r[i].Outputs {
					out.ID = event.DerivedID(in.Events[i], d.node, i, out.Time) // the place in the batch
				}
			}
			return r, ctx.Err()
		},
		"ids depend on the root":   firstOutput(func(d *double, _, out *event.Event) { out.ID = event.ID{5: 1} }),
		"the input is not changed": firstOutput(func(_ *double, in, out *event.Event) { in.Record.Fields[0].Value = event.Null }),
		"the input is not kept": firstOutput(func(_ *double, in, out *event.Event) {
			out.Record = in.Record
		}),
		"bad data is a reject": func(_ *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error) {
			if len(r) == 1 && string(in.Events[0].Payload) == "{" {
				return nil, errors.New("cannot parse")
			}
			return r, ctx.Err()
		},
		"lanes do not disturb": func(d *double, ctx context.Context, in *node.Batch, r []node.Result) ([]node.Result, error) {
			if in.Lane == 3 {
				r[0].Outputs = nil
			}
			return r, ctx.Err()
		},
		"a cancelled call": func(_ *double, _ context.Context, _ *node.Batch, r []node.Result) ([]node.Result, error) {
			return r, nil
		},
	} {
		t.Run(promise, func(t *testing.T) {
			found := transformtest.Check(t.Context(), transformtest.Suite{
				Open: func(id string, _ map[string]any) (node.Transform, error) {
					return &double{node: id, spoil: broken}, nil
				},
				Cases: cases(t, doubling),
			})
			wantViolation(t, found, promise)
		})
	}
}

func wantViolation(t *testing.T, found []transformtest.Violation, promise string) {
	t.Helper()
	if !slices.ContainsFunc(found, func(v transformtest.Violation) bool { return strings.HasPrefix(v.Promise, promise) }) {
		t.Errorf("found %v; want a violation of %q", found, promise)
	}
}

func TestStateThatIsUsedWrongIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		promise string
		broken  *counter
	}{
		"remembers in itself":       {"state is read and written", &counter{local: true, here: map[string]uint64{}}},
		"touches an undeclared key": {"state is read and written", &counter{stray: true}},
		"begins anew":               {"state is the same however", &counter{short: true}},
		"keeps what it refuses":     {"a refused event leaves no trace", &counter{trace: true}},
	} {
		t.Run(name, func(t *testing.T) {
			found := transformtest.Check(t.Context(), transformtest.Suite{
				Open:  func(id string, _ map[string]any) (node.Transform, error) { c.broken.node = id; return c.broken, nil },
				Cases: cases(t, numbering), Lanes: 1,
			})
			wantViolation(t, found, c.promise)
		})
	}
}

func TestCaseFilesAreStrict(t *testing.T) {
	for what, text := range map[string]string{
		"an unknown field":         "cases: [ { name: a, inn: [] } ]",
		"no name":                  "cases: [ { in: [], out: [] } ]",
		"results missing":          "cases: [ { name: a, in: [ { record: {} } ], out: [] } ]",
		"a nested value":           "cases: [ { name: a, in: [ { record: { a: [1] } } ], out: [ {} ] } ]",
		"state without a version":  "cases: [ { name: a, state: [ { key: k, value: x } ], in: [], out: [] } ]",
		"state that is no base64":  "cases: [ { name: a, state: [ { key: k, version: '1', base64: '?' } ], in: [], out: [] } ]",
		"an unknown kind of value": "cases: [ { name: a, in: [ { record: { a: { $date: x } } } ], out: [ {} ] } ]",
		"a time that is none":      "cases: [ { name: a, in: [ { time: soon } ], out: [ {} ] } ]",
	} {
		if c, err := transformtest.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: parsed as %+v", what, c)
		}
	}
}

func TestCasesMayBeJSON(t *testing.T) {
	c := cases(t, `{"cases":[{"name":"a","in":[{"record":{"z":1,"a":1.0,"d":{"$decimal":"1.50"}}}],"out":[{}]}]}`)
	want := transformtest.Fields{{Name: "z", Value: event.Int(1)}, {Name: "a", Value: event.Float(1)}, {Name: "d", Value: event.Decimal("1.50")}}
	if got := *c[0].In[0].Record; !slices.Equal(got, want) {
		t.Errorf("record %v; want %v in this order", got, want)
	}
}
