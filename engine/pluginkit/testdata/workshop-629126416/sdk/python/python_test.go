package python_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/testserver"
)

// transcoded is what Python made of a frame: untouched and with everything read and
// written again; nil where it found the frame malformed.
type transcoded struct{ same, rewritten []byte }

// transcode sends frames through the codec in Python.
func transcode(t *testing.T, frames [][]byte) []transcoded {
	t.Helper()
	var in bytes.Buffer
	for _, f := range frames {
		in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(f))))
		in.Write(f)
	}
	cmd := exec.Command(testserver.Require(t, "python3"), "-B", "testdata/transcode.py")
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	take := func() []byte {
		if len(out) < 4 {
			t.Fatal("the answer ends in the middle")
		}
		size := binary.BigEndian.Uint32(out)
		frame := out[4 : 4+size]
		out = out[4+size:]
		return frame
	}
	var all []transcoded
	for range frames {
		all = append(all, transcoded{take(), take()})
	}
	return all
}

// source makes random frames that use every field, kind and flag.
type source struct{ *rand.Rand }

func (r source) maybe() bool { return r.IntN(2) == 0 }

func (r source) text() string {
	words := []string{"", "value", "pump-1", "é", "\xff\xed\xa0\x80", "a text that is longer than twenty bytes", "plant.line.metric"}
	if r.IntN(4) > 0 {
		return words[r.IntN(len(words))]
	}
	b := make([]byte, r.IntN(300))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func (r source) number() int64 {
	return []int64{0, 1, -1, 127, 1 << 20, math.MaxInt64, math.MinInt64, 1_700_000_000_000, int64(r.Uint64())}[r.IntN(9)]
}

func (r source) value() event.Value {
	switch r.IntN(9) {
	case 0:
		return event.Null
	case 1:
		return event.Bool(r.maybe())
	case 2:
		return event.Int(r.number())
	case 3:
		return event.Float([]float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), math.MaxFloat64, r.Float64()}[r.IntN(6)])
	case 4:
		return event.Decimal([]string{"1.50", "-3", "0.000000001", "12345678901234567890.5"}[r.IntN(4)])
	case 5:
		return event.Bytes([]byte(r.text()))
	case 6:
		return event.Time(r.number())
	case 7:
		return event.JSON(`{"a":[1,"` + fmt.Sprint(r.IntN(99)) + `"]}`)
	}
	return event.String(r.text())
}

func (r source) event() *event.Event {
	e := &event.Event{
		RootID: r.text() + "m", Key: r.text(), Time: r.number(), Ingested: r.number(), Plugin: r.text(), ContentType: r.text(),
		Source: event.Source{Node: r.text(), Exchange: r.text(), RoutingKey: r.text(), Queue: r.text(), MessageID: r.text(), Redelivered: r.maybe()},
		Record: &event.Record{Fields: []event.Field{}},
	}
	if r.maybe() {
		e.Source.MessageID = e.RootID
	}
	if r.maybe() {
		e.Root = event.Position{Epoch: r.Uint64(), Ms: r.Uint64(), Seq: uint64(r.IntN(3))}
	}
	for range r.IntN(3) {
		e.Headers = append(e.Headers, event.Header{Name: r.text(), Value: r.value()})
	}
	e.ID = event.RootID(event.NewIdentity("p", e.Source.Node, e.RootID), e.Time)
	used := map[string]bool{}
	for range r.IntN(8) {
		if name := r.text(); !used[name] {
			used[name] = true
			e.Record.Fields = append(e.Record.Fields, event.Field{Name: name, Value: r.value()})
		}
	}
	if r.IntN(6) == 0 {
		e.Record, e.Payload = nil, []byte(r.text())
	}
	return e
}

func (r source) frame() *event.Frame {
	f := &event.Frame{Watermark: r.number()}
	for range r.IntN(12) {
		f.Events = append(f.Events, r.event())
	}
	return f
}

func encode(t *testing.T, f *event.Frame) []byte {
	t.Helper()
	b, err := f.Encode(nil, event.None)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBothCodecsAgree sends random frames of Go's through Python's codec. What comes
// back is what Go derives itself: content, source, and above all ids.
func TestBothCodecsAgree(t *testing.T) {
	r := source{rand.New(rand.NewPCG(1, 2))}
	var frames []*event.Frame
	var encoded [][]byte
	for range 400 {
		f := r.frame()
		frames, encoded = append(frames, f), append(encoded, encode(t, f))
	}
	for i, got := range transcode(t, encoded) {
		var same, rewritten []*event.Event
		for _, e := range frames[i].Events {
			if e.Record != nil {
				same, rewritten = append(same, passed(e)), append(rewritten, rewrite(e))
			}
		}
		compare(t, fmt.Sprintf("frame %d untouched", i), got.same, frames[i].Watermark, same)
		compare(t, fmt.Sprintf("frame %d rewritten", i), got.rewritten, frames[i].Watermark, rewritten)
	}
}

// passed is what the SDK for Go makes of an event that no one touches.
func passed(e *event.Event) *event.Event {
	out := *e
	out.ID = event.DerivedID(e, "n", 0, e.Time)
	return &out
}

// rewrite is what testdata/echo does with an event on the order "rewrite".
func rewrite(e *event.Event) *event.Event {
	out := *e
	out.Time = e.Time + 1
	out.ID = event.DerivedID(e, "n", 0, out.Time)
	redelivered := map[bool]string{true: "True", false: "False"}[e.Source.Redelivered]
	s := e.Source
	rec := e.Record.With("input", event.String(e.ID.String())).With("root id", event.String(e.RootID)).With("key", event.String(e.Key)).
		With("ingested", event.Int(e.Ingested)).With("plugin", event.String(e.Plugin)).With("position", event.String(e.Root.String())).
		With("source", event.String(s.Node+"|"+s.Exchange+"|"+s.RoutingKey+"|"+s.Queue+"|"+s.MessageID+"|"+redelivered))
	for i, h := range e.Headers {
		rec = rec.With(fmt.Sprintf("header %d %s", i, h.Name), h.Value)
	}
	out.Record = rec
	return &out
}

func compare(t *testing.T, what string, got []byte, watermark int64, want []*event.Event) {
	t.Helper()
	f, err := event.DecodeFrame(got)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if f.Watermark != watermark || len(f.Events) != len(want) {
		t.Fatalf("%s: watermark %d, %d events; want %d, %d", what, f.Watermark, len(f.Events), watermark, len(want))
	}
	for i, e := range f.Events {
		if !slices.Equal(e.Headers, want[i].Headers) {
			t.Fatalf("%s: event %d: headers %v; want %v", what, i, e.Headers, want[i].Headers)
		}
		e.Headers = want[i].Headers
		if !reflect.DeepEqual(e, want[i]) {
			t.Fatalf("%s: event %d is\n%+v %v\nwant\n%+v %v", what, i, e, e.Record, want[i], want[i].Record)
		}
	}
}

// TestBothCodecsRefuseTheSame spoils frames in every way that bytes allow, with a
// checksum that fits: Python reads what Go reads, and nothing else.
func TestBothCodecsRefuseTheSame(t *testing.T) {
	r := source{rand.New(rand.NewPCG(3, 4))}
	var spoilt [][]byte
	for range 200 {
		whole := encode(t, r.frame())
		for range 20 {
			spoilt = append(spoilt, r.spoil(slices.Clone(whole)))
		}
	}
	read := 0
	for i, got := range transcode(t, spoilt) {
		f, err := event.DecodeFrame(spoilt[i])
		if (err == nil) != (len(got.same) > 0) {
			t.Fatalf("frame %x: Go says %v, Python gives %d bytes", spoilt[i], err, len(got.same))
		}
		if err != nil {
			continue
		}
		read++
		var same []*event.Event
		for _, e := range f.Events {
			if e.Record != nil {
				same = append(same, passed(e))
			}
		}
		compare(t, fmt.Sprintf("spoilt frame %d", i), got.same, f.Watermark, same)
	}
	if read < 100 || read > len(spoilt)/2 {
		t.Errorf("%d of %d spoilt frames can be read: the spoiling proves little", read, len(spoilt))
	}
}

// spoil changes, cuts or adds bytes of a frame; mostly the checksum is made to fit.
func (r source) spoil(b []byte) []byte {
	const head = 8
	body := b[head:]
	switch at := r.IntN(len(body)); r.IntN(5) {
	case 0:
		b = b[:head+at]
	case 1:
		b = append(b, byte(r.Uint32()))
	case 2:
		b = slices.Insert(b, head+at, byte(r.Uint32()))
	default:
		for range 1 + r.IntN(2) {
			body[r.IntN(len(body))] = byte(r.Uint32()) >> (r.IntN(2) * 5) // small numbers are refs, kinds and lengths
		}
	}
	if r.IntN(50) > 0 {
		binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[head:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}

func TestUnitTestsInPython(t *testing.T) {
	cmd := exec.Command(testserver.Require(t, "python3"), "-B", "-W", "error", "-m", "unittest", "discover", "-s", "tests")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
