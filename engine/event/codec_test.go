package event_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden frames that do not exist yet")

// headerBytes is the size of a frame's header, by FORMAT.md.
const headerBytes = 8

func encode(t testing.TB, f *event.Frame, c event.Compression) []byte {
	t.Helper()
	b, err := f.Encode(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seal puts a header of version 1 with the right checksum before body.
func seal(body []byte, compression byte) []byte {
	b := append([]byte{'M', 'F', 1, compression, 0, 0, 0, 0}, body...)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestCompressionOfAFrameIsInItsHeader(t *testing.T) {
	for want, b := range map[event.Compression][]byte{
		event.None: encode(t, goldenFrame(), event.None), event.Zstd: encode(t, goldenFrame(), event.Zstd), 7: seal(nil, 7),
	} {
		if got := event.CompressionOf(b); got != want {
			t.Errorf("compression %d, want %d", got, want)
		}
	}
	if got := event.CompressionOf([]byte("MF\x01\x01")); got != event.None {
		t.Errorf("compression %d of a torn header, want none", got)
	}
}

// goldenFrame uses every field, kind and flag of version 1. It must not change:
// the files in testdata hold its bytes.
func goldenFrame() *event.Frame {
	root := &event.Event{
		ID: event.RootID(event.NewIdentity("charts", "plant1", "m-1"), 1700000000000), RootID: "m-1", Key: "master.plant1", Time: 1700000000000,
		Headers: []event.Header{{Name: "x-n", Value: event.Int(-3)}, {Name: "x-n", Value: event.Null}, {Name: "x-s", Value: event.String("a header text longer than twenty")}},
		Payload: []byte(`{"v":1}`), ContentType: "application/json", Ingested: 1700000000123,
		Source: event.Source{Node: "plant1", Exchange: "plants", RoutingKey: "r.1", Queue: "master.plant1", MessageID: "m-1", Redelivered: true},
	}
	other := &event.Event{
		ID: event.RootID(event.NewIdentity("charts", "plant2", "m-2"), 0), RootID: "m-2", Time: -5, Payload: []byte{}, Ingested: 1700000000100,
		Source: event.Source{Node: "plant2", MessageID: "broker-7"},
	}
	rec := root.Derive("decode", 3, 1700000000001)
	rec.Root = event.Position{Epoch: 2, Ms: 1700000000200, Seq: 7}
	rec.Plugin = "scale@1.0.0#abcdef01"
	rec.Record = &event.Record{Fields: []event.Field{
		{Name: "null", Value: event.Null}, {Name: "no", Value: event.Bool(false)}, {Name: "yes", Value: event.Bool(true)},
		{Name: "int", Value: event.Int(-1 << 63)}, {Name: "float", Value: event.Float(-0.1)},
		{Name: "decimal", Value: event.Decimal("0.1000000000000000000001")}, {Name: "string", Value: event.String("Pumpe Süd")}, {Name: "empty", Value: event.String("")},
		{Name: "bytes", Value: event.Bytes([]byte{0, 255})}, {Name: "time", Value: event.Time(-1)}, {Name: "json", Value: event.JSON(`{"a":[1,2,3],"long":"text"}`)},
	}}
	empty := other.Derive("decode", 0, 0)
	empty.Root = event.Position{Epoch: 2, Ms: 1700000000199, Seq: 0}
	empty.Record = &event.Record{Fields: []event.Field{}}
	return &event.Frame{Watermark: 1699999999999, Events: []*event.Event{root, other, rec, empty}}
}

var compressions = map[string]event.Compression{"none": event.None, "zstd": event.Zstd}

// TestFramesOfVersion1StayReadable reads the bytes that the first engine wrote.
func TestFramesOfVersion1StayReadable(t *testing.T) {
	for name, c := range compressions {
		path := filepath.Join("testdata", "frame-v1-"+name+".bin")
		if _, err := os.Stat(path); *writeGolden && errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(path, encode(t, goldenFrame(), c), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.DecodeFrame(b)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if want := goldenFrame(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v; want %+v", path, got, want)
		}
		if c == event.None && !bytes.Equal(encode(t, goldenFrame(), c), b) {
			t.Errorf("%s: the same frame is written with other bytes now; that needs a new version", path)
		}
	}
}

// texts are any bytes: short ones that repeat, and long ones.
var texts = rapid.OneOf(
	rapid.SampledFrom([]string{"", "plant1", "temperature", "exactly twenty bytes", "twenty-one bytes long"}),
	rapid.String(),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
)

var values = rapid.OneOf(
	rapid.Just(event.Null),
	rapid.Map(rapid.Bool(), event.Bool),
	rapid.Map(rapid.Int64(), event.Int),
	rapid.Map(rapid.Float64(), event.Float),
	rapid.Map(texts, event.Decimal),
	rapid.Map(texts, event.String),
	rapid.Map(rapid.SliceOf(rapid.Byte()), event.Bytes),
	rapid.Map(rapid.Int64(), event.Time),
	rapid.Map(texts, event.JSON),
)

func anyEvent(t *rapid.T) *event.Event {
	e := &event.Event{
		ID:     event.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		RootID: texts.Draw(t, "root id"), Key: texts.Draw(t, "key"), Time: rapid.Int64().Draw(t, "time"),
		ContentType: texts.Draw(t, "content type"), Plugin: texts.Draw(t, "plugin"), Ingested: rapid.Int64().Draw(t, "ingested"),
		Source: event.Source{
			Node: texts.Draw(t, "node"), Exchange: texts.Draw(t, "exchange"), RoutingKey: texts.Draw(t, "routing key"),
			Queue: texts.Draw(t, "queue"), MessageID: texts.Draw(t, "message id"), Redelivered: rapid.Bool().Draw(t, "redelivered"),
		},
		Root: event.Position{Epoch: rapid.Uint64().Draw(t, "epoch"), Ms: rapid.Uint64().Draw(t, "ms"), Seq: rapid.Uint64().Draw(t, "seq")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		e.Headers = append(e.Headers, event.Header{Name: texts.Draw(t, "header"), Value: values.Draw(t, "header value")})
	}
	if rapid.Bool().Draw(t, "has payload") {
		e.Payload = rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
	}
	if rapid.Bool().Draw(t, "has record") {
		e.Record = &event.Record{Fields: []event.Field{}}
		for range rapid.IntRange(0, 5).Draw(t, "fields") {
			e.Record.Fields = append(e.Record.Fields, event.Field{Name: texts.Draw(t, "field"), Value: values.Draw(t, "value")})
		}
	}
	return e
}

func anyFrame(t *rapid.T) *event.Frame {
	f := &event.Frame{Watermark: rapid.Int64().Draw(t, "watermark"), Events: []*event.Event{}}
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		f.Events = append(f.Events, anyEvent(t))
	}
	return f
}

func TestAnyFrameComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFrame(t)
		c := rapid.SampledFrom([]event.Compression{event.None, event.Zstd}).Draw(t, "compression")
		prefix := []byte("kept")
		b, err := f.Encode(prefix, c)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:4]) != "kept" {
			t.Fatalf("Encode changed what it appends to: %q", b[:4])
		}
		got, err := event.DecodeFrame(b[4:])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, f) {
			t.Fatalf("got %+v; want %+v", got, f)
		}
	})
}

func TestADecoderLeavesNothingOfTheFrameBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d event.Decoder
		var texts, copies []string
		for range rapid.IntRange(1, 6).Draw(t, "frames") {
			f := anyFrame(t)
			b, err := f.Encode(nil, event.None)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(b)
			if err != nil || !reflect.DeepEqual(got, f) {
				t.Fatalf("got %+v, %v; want %+v", got, err, f)
			}
			for _, ev := range got.Events {
				texts, copies = append(texts, ev.RootID), append(copies, strings.Clone(ev.RootID))
			}
		}
		if !slices.Equal(texts, copies) {
			t.Fatalf("texts of earlier frames became %q; they were %q", texts, copies)
		}
	})
}

func TestADecoderOfMalformedFramesGoesOn(t *testing.T) {
	whole := encode(t, goldenFrame(), event.None)
	var d event.Decoder
	for cut := 8; cut < len(whole); cut++ {
		if _, err := d.Decode(seal(whole[8:cut], 0)); !errors.Is(err, event.ErrFormat) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got, err := d.Decode(whole); err != nil || !reflect.DeepEqual(got, goldenFrame()) {
			t.Fatalf("after a cut at %d: %+v, %v", cut, got, err)
		}
	}
}

func TestEncodingIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFrame(t)
		first, err := f.Encode(nil, event.None)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := event.DecodeFrame(bytes.Clone(first))
		if err != nil {
			t.Fatal(err)
		}
		second, err := decoded.Encode(nil, event.None)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoding the decoded frame gives %x, %v; want %x", second, err, first)
		}
	})
}

func TestAFrameCutAnywhereIsMalformed(t *testing.T) {
	for name, c := range compressions {
		whole := encode(t, goldenFrame(), c)
		for n := range len(whole) {
			if f, err := event.DecodeFrame(whole[:n]); !errors.Is(err, event.ErrFormat) {
				t.Fatalf("%s cut to %d of %d bytes: %v, %v; want ErrFormat", name, n, len(whole), f, err)
			}
		}
		if f, err := event.DecodeFrame(append(bytes.Clone(whole), 0)); !errors.Is(err, event.ErrFormat) {
			t.Fatalf("%s with a byte more: %v, %v; want ErrFormat", name, f, err)
		}
	}
}

func TestABodyCutAnywhereIsMalformed(t *testing.T) {
	whole := encode(t, goldenFrame(), event.None)[headerBytes:]
	for n := range len(whole) {
		if f, err := event.DecodeFrame(seal(whole[:n], 0)); !errors.Is(err, event.ErrFormat) {
			t.Fatalf("body cut to %d of %d bytes, checksum right: %v, %v; want ErrFormat", n, len(whole), f, err)
		}
	}
}

func TestAFlippedBitIsDetected(t *testing.T) {
	for name, c := range compressions {
		whole := encode(t, goldenFrame(), c)
		for i := range 8 * len(whole) {
			broken := bytes.Clone(whole)
			broken[i/8] ^= 1 << (i % 8)
			if f, err := event.DecodeFrame(broken); !errors.Is(err, event.ErrFormat) {
				t.Fatalf("%s with bit %d of byte %d flipped: %v, %v; want ErrFormat", name, i%8, i/8, f, err)
			}
		}
	}
}

// TestWithoutTheChecksumFlippedBitsWouldPass shows that the test above tests the
// checksum: with a right one, most flipped bodies read as some other frame.
func TestWithoutTheChecksumFlippedBitsWouldPass(t *testing.T) {
	body := encode(t, goldenFrame(), event.None)[headerBytes:]
	passed := 0
	for i := range 8 * len(body) {
		broken := bytes.Clone(body)
		broken[i/8] ^= 1 << (i % 8)
		if _, err := event.DecodeFrame(seal(broken, 0)); err == nil {
			passed++
		} else if !errors.Is(err, event.ErrFormat) {
			t.Fatalf("bit %d of byte %d: %v; want ErrFormat", i%8, i/8, err)
		}
	}
	if passed < 4*len(body) {
		t.Errorf("%d of %d flips read as a frame; the format has become redundant, say so in FORMAT.md", passed, 8*len(body))
	}
}

func TestNewerFramesAreRefusedByName(t *testing.T) {
	b := encode(t, goldenFrame(), event.None)
	b[2] = 2
	if _, err := event.DecodeFrame(b); !errors.Is(err, event.ErrFormat) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v; want an error that names version 2", err)
	}
}

// hostile bodies announce far more than they hold.
func hostileBodies() [][]byte {
	var bodies [][]byte
	for _, n := range []uint64{1 << 20, 1 << 40, 1<<64 - 1} {
		for at := range 5 { // watermark, events, fields, headers, table
			var b []byte
			for i := range 5 {
				b = binary.AppendUvarint(b, map[bool]uint64{true: n, false: 0}[i == at])
			}
			bodies = append(bodies, b, append(b, make([]byte, 100)...))
		}
	}
	return bodies
}

func TestAnnouncedCountsDoNotAllocate(t *testing.T) {
	for _, body := range hostileBodies() {
		checkBounded(t, body, 0)
	}
}

// allocation bounds: an empty list of fields, headers, events or table entries
// costs a fixed number of bytes per byte of body.
const (
	bytesPerByte = 128
	bytesAlways  = 1 << 20
	largestBody  = 64 << 20
)

// checkBounded decodes body under a right checksum and fails if that takes more
// memory than its size allows.
func checkBounded(t testing.TB, body []byte, compression byte) (*event.Frame, error) {
	t.Helper()
	b := seal(body, compression)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := event.DecodeFrame(b)
	runtime.ReadMemStats(&after)
	limit := uint64(bytesAlways + bytesPerByte*len(body))
	if compression == byte(event.Zstd) {
		limit += bytesPerByte * largestBody // a few bytes may unpack to a whole body
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > limit {
		t.Fatalf("decoding %d bytes took %d bytes of memory; the bound is %d", len(b), used, limit)
	}
	if err != nil && !errors.Is(err, event.ErrFormat) {
		t.Fatalf("error %v does not wrap ErrFormat", err)
	}
	return f, err
}

// FuzzDecodeBody gives any body a right checksum: decoding must not panic nor
// take more memory than the body's size allows, and what it reads must come back
// after another encoding.
func FuzzDecodeBody(f *testing.F) {
	for _, c := range compressions {
		b, err := goldenFrame().Encode(nil, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[headerBytes:], byte(c))
		f.Add(b[headerBytes:len(b)/2], byte(c))
	}
	for _, body := range hostileBodies() {
		f.Add(body, byte(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, compression byte) {
		frame, err := checkBounded(t, body, compression)
		if err != nil {
			return
		}
		for _, c := range compressions {
			again, err := event.DecodeFrame(encode(t, frame, c))
			if err != nil || !reflect.DeepEqual(again, frame) {
				t.Fatalf("%+v comes back as %+v, %v", frame, again, err)
			}
		}
	})
}

// FuzzDecode feeds whole frames, header included.
func FuzzDecode(f *testing.F) {
	b, err := goldenFrame().Encode(nil, event.None)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:headerBytes])
	f.Add([]byte("MF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := event.DecodeFrame(b)
		if (frame == nil) != (err != nil) || (err != nil && !errors.Is(err, event.ErrFormat)) {
			t.Fatalf("DecodeFrame = %v, %v", frame, err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	f := &event.Frame{}
	for i := range 1000 {
		root := &event.Event{RootID: "plant1-000000001", Key: "pump-7", Ingested: 1700000000123 + int64(i),
			Source: event.Source{Node: "plant1", Exchange: "plants", RoutingKey: "plant1.pump-7", Queue: "master.plant1", MessageID: "plant1-000000001"}}
		e := root.Derive("decode", i, 1700000000000+int64(i))
		e.Record = &event.Record{Fields: []event.Field{
			{Name: "plant", Value: event.String("plant1")}, {Name: "device", Value: event.String("pump-7")}, {Name: "metric", Value: event.String("temperature")},
			{Name: "ts", Value: event.Time(1700000000000 + int64(i))}, {Name: "value", Value: event.Float(float64(i) / 7)}, {Name: "unit", Value: event.String("C")}}}
		f.Events = append(f.Events, e)
	}
	for name, c := range compressions {
		whole := encode(b, f, c)
		b.Run("encode "+name, func(b *testing.B) {
			buf := make([]byte, 0, 2*len(whole))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Encode(buf, c); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
			b.ReportMetric(float64(len(whole))/1000, "B/event")
		})
		b.Run("decode "+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.DecodeFrame(whole); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}
