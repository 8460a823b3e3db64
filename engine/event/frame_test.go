package event

import (
	"reflect"
	"testing"
)

func sampleFrame() *Frame {
	root := &Event{
		ID: RootID(NewIdentity("charts", "plant1", "m-1"), 0), RootID: "m-1", Key: "master.plant1",
		Headers: []Header{{"x-n", Int(-3)}, {"x-s", String("a header text longer than twenty")}},
		Payload: []byte(`{"v":1}`), ContentType: "application/json", Ingested: 1700000000123,
		Source: Source{Node: "plant1", Exchange: "plant1", RoutingKey: "r", Queue: "master.plant1", MessageID: "m-1"},
	}
	rec := root.Derive("decode", 0, 1700000000000)
	rec.Root = Position{Epoch: 1, Ms: 1700000000200, Seq: 7}
	rec.Plugin = "scale@1.0.0#abcdef01"
	rec.Record = &Record{Fields: []Field{
		{"null", Null}, {"bool", Bool(true)}, {"int", Int(1 << 60)}, {"float", Float(1.5)},
		{"decimal", Decimal("0.1000000000000000000001")}, {"string", String("pump")},
		{"bytes", Bytes([]byte{0, 255})}, {"time", Time(-1)}, {"json", JSON(`[1]`)},
	}}
	return &Frame{Watermark: 5, Events: []*Event{root, rec}}
}

func TestFrameRoundTrip(t *testing.T) {
	for _, c := range []Compression{None, Zstd} {
		f := sampleFrame()
		b, err := f.Encode(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeFrame(b)
		if err != nil {
			t.Fatalf("compression %d: %v", c, err)
		}
		if !reflect.DeepEqual(got, f) {
			t.Fatalf("compression %d: decoded frame differs:\n%+v\n%+v", c, got.Events[1], f.Events[1])
		}
	}
}

func benchFrame(n int) *Frame {
	f := &Frame{}
	for i := range n {
		e := *sampleFrame().Events[1]
		e.Headers = nil
		e.Record = &Record{Fields: []Field{
			{"plant", String("plant1")}, {"device", String("pump-7")}, {"metric", String("temperature")},
			{"ts", Time(1700000000000 + int64(i))}, {"value", Float(float64(i))}, {"unit", String("C")},
		}}
		f.Events = append(f.Events, &e)
	}
	return f
}

func BenchmarkFrameEncode(b *testing.B) {
	f, buf := benchFrame(1000), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = f.Encode(buf[:0], None)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
	b.ReportMetric(float64(len(buf))/1000, "B/event")
}

func BenchmarkFrameDecode(b *testing.B) {
	buf, _ := benchFrame(1000).Encode(nil, None)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeFrame(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
