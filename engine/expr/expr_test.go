package expr

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func sample() *event.Event {
	return &event.Event{
		RootID: "m-1", Key: "k-1", Time: 1700000000123, Plugin: "scale@1.0.0#abcdef01",
		Headers: []event.Header{{Name: "x-qos", Value: event.Int(1)}, {Name: "a-b", Value: event.String("hv")}},
		Payload: []byte(`{"id":"p-1","n":12345678901234567890,"f":1.50,"deep":{"x":[1,{"y":2}]}}`),
		Source: event.Source{
			Node: "plant1", Exchange: "ex", RoutingKey: "plant3.dev7.temp", Queue: "master.plant1", MessageID: "m-1",
		},
		Record: &event.Record{Fields: []event.Field{
			{Name: "device", Value: event.String("pump-7")}, {Name: "value", Value: event.Float(212)},
			{Name: "n", Value: event.Int(40)}, {Name: "exact", Value: event.Decimal("1.10000000000000000001")},
			{Name: "nested", Value: event.JSON(`{"a":{"b":3}}`)}, {Name: "nothing", Value: event.Null},
			{Name: "time", Value: event.String("record's own")}, {Name: "source", Value: event.String("src")},
			{Name: "ok", Value: event.Bool(true)}, {Name: "at", Value: event.Time(1700000000000)},
		}},
	}
}

func TestEval(t *testing.T) {
	for _, c := range []struct {
		src  string
		want event.Value
	}{
		{`device`, event.String("pump-7")},
		{`record.device`, event.String("pump-7")},
		{`record["device"]`, event.String("pump-7")},
		{`absent`, event.Null},
		{`record.absent ?? "none"`, event.String("none")},
		{`exact`, event.Decimal("1.10000000000000000001")},
		{`exact * 2`, event.Float(2.2)},
		{`nested.a.b`, event.Int(3)},
		{`record.nested.a.b + 1`, event.Int(4)},
		{`root_id`, event.String("m-1")},
		{`key`, event.String("k-1")},
		{`time`, event.Time(1700000000123)},
		{`record.time`, event.String("record's own")},
		{`time - at`, event.Int(123)},
		{`plugin`, event.String("scale@1.0.0#abcdef01")},
		{`node`, event.String("plant1")},
		{`source`, event.String("src")},
		{`source.node`, event.String("plant1")},
		{`source.queue + "!"`, event.String("master.plant1!")},
		{`source.redelivered`, event.Bool(false)},
		{`"text"`, event.String("text")},
		{`7`, event.Int(7)},
		{`true`, event.Bool(true)},
		{`headers["x-qos"]`, event.Int(1)},
		{`headers["a-b"] + "?"`, event.String("hv?")},
		{`headers[device] ?? "no header"`, event.String("no header")},
		{`headers.absent`, event.Null},
		{`split(routing_key, ".")[1]`, event.String("dev7")},
		{`(value - 32) / 1.8`, event.Float(100)},
		{`n + 2`, event.Int(42)},
		{`n > 3 && device startsWith "pump"`, event.Bool(true)},
		{`nothing ?? device`, event.String("pump-7")},
		{`payload.id`, event.String("p-1")},
		{`payload.n`, event.Decimal("12345678901234567890")},
		{`payload.f`, event.Decimal("1.50")},
		{`payload.deep.x[1].y`, event.Int(2)},
		{`payload.deep.absent.more`, event.Null},
		{`payload["id"] + device`, event.String("p-1pump-7")},
		{`payload.deep`, event.JSON(`{"x":[1,{"y":2}]}`)},
		{`len(payload)`, event.Int(4)},
		{`let v = n * 2; v + 1`, event.Int(81)},
		{`filter([1, 2, 3], # > 1)`, event.JSON(`[2,3]`)},
		{`map(payload.deep.x, string(#))[0] + device`, event.String("1pump-7")},
		{`len(record)`, event.Int(10)},
		{`record`, event.JSON(`{"absent":0}`)},
		{`date("2026-01-02 03:04:05")`, event.Time(1767323045000)},
		{`absent?.x ?? 1`, event.Int(1)},
		{`ok ? "yes" : payload.id.x`, event.String("yes")},
	} {
		t.Run(c.src, func(t *testing.T) {
			p, err := Compile(c.src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Eval(sample())
			if err != nil {
				t.Fatal(err)
			}
			if c.src == "record" {
				if got.Kind() != event.KindJSON {
					t.Fatalf("whole record is a %s", got.Kind())
				}
				return
			}
			if got != c.want {
				t.Fatalf("got %s %q, want %s %q", got.Kind(), got.Format(), c.want.Kind(), c.want.Format())
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct {
		rule, src string
		column    int
		message   string
		hint      string
	}{
		{"empty", "  ", 1, "expression is empty", ""},
		{"unfinished", "value +", 7, "unexpected token EOF", ""},
		{"unknown function", `1 + lenn(device)`, 5, `unknown function "lenn"`, "did you mean len?"},
		{"a clock", `now()`, 1, `unknown function "now"`, "time is the event's own time; a clock would give another result in a replay"},
		{"map order", `keys(record)`, 1, `unknown function "keys"`, "it lists members in no fixed order, so a replay would give another result"},
		{"method call", `payload.id()`, 9, "only functions can be called", ""},
		{"whole environment", `$env`, 1, "$env is not known here", ""},
		{"types that never fit", `1 + "a"`, 3, "invalid operation: + (mismatched types int and string)", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := Compile(c.src)
			e, ok := errors.AsType[*Error](err)
			if !ok || *e != (Error{1, c.column, c.message, c.hint}) {
				t.Fatalf("got %#v", err)
			}
		})
	}
}

func TestErrorPositionOnLaterLine(t *testing.T) {
	_, err := Compile("device +\n  föo(1)")
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Line != 2 || e.Column != 3 {
		t.Fatalf("got %#v", err)
	}
}

func TestUses(t *testing.T) {
	for _, c := range []struct {
		src             string
		record, payload bool
		fields          []string
	}{
		{`device`, true, false, []string{"device"}},
		{`record.device + unit`, true, false, []string{"device", "unit"}},
		{`record["a"]["b"]`, true, false, []string{"a"}},
		{`record[key]`, true, false, nil},
		{`payload.id`, false, true, nil},
		{`message_id ?? payload.id`, false, true, nil},
		{`headers.x + routing_key + root_id`, false, false, nil},
		{`source.node`, false, false, nil},
		{`source.other`, true, false, []string{"source"}},
		{`let x = key; x`, false, false, nil},
	} {
		t.Run(c.src, func(t *testing.T) {
			p, err := Compile(c.src)
			if err != nil {
				t.Fatal(err)
			}
			if p.NeedsRecord() != c.record || p.NeedsPayload() != c.payload || !slices.Equal(p.Fields(), c.fields) {
				t.Fatalf("record %t, payload %t, fields %q", p.NeedsRecord(), p.NeedsPayload(), p.Fields())
			}
		})
	}
}

func TestEvalErrors(t *testing.T) {
	for _, c := range []struct{ rule, src, want string }{
		{"null in arithmetic", `absent + 1`, `expression "absent + 1": invalid operation: <nil> + int (1:8)`},
		{"not finite", `1 / 0`, `expression "1 / 0": the result is not a finite number (+Inf)`},
		{"remainder of zero", `n % 0`, `expression "n % 0": runtime error: integer divide by zero (1:3)`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p, err := Compile(c.src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = p.Eval(sample()); err == nil || err.Error() != c.want {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestPayloadThatIsNotJSON(t *testing.T) {
	for _, payload := range []string{"", "1,2,3", `{"id":`, `{"id":1} {"id":2}`} {
		ev := sample()
		ev.Payload = []byte(payload)
		for _, src := range []string{`payload.id`, `payload.id + ""`, `len(payload)`} {
			p, err := Compile(src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Eval(ev); !errors.Is(err, errNotJSON) {
				t.Errorf("%s of %q: %v", src, payload, err)
			}
		}
	}
}

func TestEvalBool(t *testing.T) {
	for src, want := range map[string]bool{`ok`: true, `absent`: false, `n > 100`: false, `record.ok && n == 40`: true} {
		p, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.EvalBool(sample()); err != nil || got != want {
			t.Errorf("%s = %t, %v", src, got, err)
		}
	}
	p, _ := Compile(`device`)
	if _, err := p.EvalBool(sample()); err == nil {
		t.Error("a text passed for a condition")
	}
}

func TestEventWithoutRecord(t *testing.T) {
	ev := sample()
	ev.Record = nil
	for _, src := range []string{`device`, `record.device`, `record`} {
		p, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := p.Eval(ev); err != nil || !v.IsNull() {
			t.Errorf("%s = %s, %v", src, v.Format(), err)
		}
	}
}

func TestIdentity(t *testing.T) {
	msg := func(id, body string) *node.Message {
		return &node.Message{MessageID: id, Body: []byte(body), RoutingKey: "plant3.d.t",
			Headers: []event.Header{{Name: "uid", Value: event.String("h-1")}}}
	}
	for _, c := range []struct {
		rule, src string
		msg       *node.Message
		want      string
		err       bool
	}{
		{"first alternative", `message_id ?? payload.id`, msg("m", `{"id":"p"}`), "m", false},
		{"later ones are not reached", `message_id ?? payload.id`, msg("m", `not json`), "m", false},
		{"an empty id counts as absent", `message_id ?? payload.id`, msg("", `{"id":"p"}`), "p", false},
		{"numbers keep their digits", `payload.id`, msg("", `{"id":12345678901234567890}`), "12345678901234567890", false},
		{"no identity at all", `message_id ?? payload.id`, msg("", `{}`), "", false},
		{"undecodable and nothing else", `message_id ?? payload.id`, msg("", `not json`), "", true},
		{"undecodable, but a later one", `payload.id ?? headers.uid`, msg("", `not json`), "h-1", false},
		{"made of several", `routing_key + '@' + payload.ts`, msg("", `{"ts":"2026"}`), "plant3.d.t@2026", false},
		{"an empty payload member counts as absent", `payload.id ?? headers["uid"]`, msg("", `{"id":""}`), "h-1", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			id, err := CompileIdentity(c.src)
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := id.Identity(c.msg)
			if got != c.want || ok != (c.want != "") || (err != nil) != c.err {
				t.Fatalf("got %q, %t, %v", got, ok, err)
			}
		})
	}
}

func TestIdentitySeesOnlyTheMessage(t *testing.T) {
	for _, c := range []struct{ src, hint string }{
		{`device`, "payload.device reads it from a JSON payload"},
		{`mesage_id ?? payload.id`, "did you mean message_id?"},
		{`record.id`, "payload.id reads it from a JSON payload"},
		{`record`, ""}, {`time`, ""}, {`root_id`, ""}, {`key`, ""}, {`plugin`, ""},
	} {
		_, err := CompileIdentity(c.src)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Column != 1 && c.src != "record.id" || e.Hint != c.hint {
			t.Errorf("%s: %#v", c.src, err)
		}
	}
}

func TestProgramsAreConcurrencySafe(t *testing.T) {
	p, err := Compile(`payload.id + device + string(n)`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ev := sample()
			for range 200 {
				if v, err := p.Eval(ev); err != nil || v.Text() != "p-1pump-740" {
					t.Errorf("got %q, %v", v.Text(), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

var fastShapes = []string{
	`device`, `record.device`, `root_id`, `time`, `key`, `plugin`, `message_id`, `routing_key`, `queue`,
	`source.node`, `"text"`, `headers["a-b"]`,
}

func TestFastShapesDoNotAllocate(t *testing.T) {
	ev := sample()
	for _, src := range fastShapes {
		p, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Eval(ev) }); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	ev := sample()
	for _, src := range []string{`device`, `root_id`, `(value - 32) / 1.8`, `unit == "F" && n > 3`, `split(routing_key, ".")[1]`, `payload.id`} {
		b.Run(src, func(b *testing.B) {
			p, err := Compile(src)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Eval(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIdentity(b *testing.B) {
	msg := &node.Message{MessageID: "", RoutingKey: "plant3.d.t", Body: []byte(`{"ts":"2026-11-23T21:08:50.123Z","value":23.18,"unit":"C"}`)}
	id, err := CompileIdentity(`message_id ?? (routing_key + '@' + payload.ts)`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := id.Identity(msg); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
