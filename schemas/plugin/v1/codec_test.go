package pluginv1_test

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

func messages() []proto.Message {
	frame := bytes.Repeat([]byte("frame"), 20000)
	return []proto.Message{
		&pluginv1.ProcessRequest{},
		&pluginv1.ProcessRequest{Unit: 7, Frame: frame, Last: true, Lane: 3, State: []*pluginv1.KeyState{{Key: []byte("k"), Value: []byte("v")}}},
		&pluginv1.ProcessResponse{Unit: 9, Frame: []byte("x"), Outputs: []uint32{1, 0, 300}, Last: true,
			Rejects: []*pluginv1.Reject{{Event: 1, Record: -1, Code: "c", Text: "t"}}},
		&pluginv1.ProcessResponse{Unit: 1, Error: &pluginv1.Error{Class: pluginv1.Class_CLASS_AWAY, Text: "away"}, Last: true},
		&pluginv1.ConfigureRequest{Node: "n", Config: []byte("{}")},
	}
}

// joined returns what was marshalled as one buffer.
func joined(t *testing.T, m proto.Message) []byte {
	t.Helper()
	parts, err := pluginv1.Codec{}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return parts.Materialize()
}

func TestCodecWritesProtobuf(t *testing.T) {
	for i, m := range messages() {
		want := proto.Clone(m)
		got := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(joined(t, m), got); err != nil || !proto.Equal(got, want) {
			t.Errorf("message %d: %v, error %v", i, got, err)
		}
	}
}

func TestCodecReadsProtobuf(t *testing.T) {
	for i, want := range messages() {
		encoded, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := want.ProtoReflect().New().Interface()
		half := len(encoded) / 2
		parts := mem.BufferSlice{mem.SliceBuffer(encoded[:half]), mem.SliceBuffer(encoded[half:])}
		if err := (pluginv1.Codec{}).Unmarshal(parts, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("message %d: %v, error %v", i, got, err)
		}
	}
}

func TestReceivedFrameOutlivesTheBuffers(t *testing.T) {
	encoded, err := proto.Marshal(&pluginv1.ProcessRequest{Frame: []byte("first")})
	if err != nil {
		t.Fatal(err)
	}
	var got pluginv1.ProcessRequest
	if err := (pluginv1.Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, &got); err != nil {
		t.Fatal(err)
	}
	clear(encoded)
	if string(got.Frame) != "first" {
		t.Errorf("frame became %q", got.Frame)
	}
}

func FuzzCodecUnmarshal(f *testing.F) {
	for _, m := range messages()[:3] {
		encoded, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded[:min(len(encoded), 300)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want pluginv1.ProcessResponse
		gotErr := pluginv1.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &got)
		if wantErr := proto.Unmarshal(data, &want); wantErr == nil && gotErr == nil && !proto.Equal(&got, &want) {
			t.Errorf("read %v, protobuf reads %v", &got, &want)
		}
	})
}

func TestReceivePoolKeepsSizes(t *testing.T) {
	pool := pluginv1.ReceivePool()
	for _, size := range []int{1, 1024, 1025, 16384, 1 << 20, 1<<20 + 1} {
		buf := pool.Get(size)
		if len(*buf) != size {
			t.Errorf("buffer of %d bytes, want %d", len(*buf), size)
		}
		*buf = (*buf)[:1]
		pool.Put(buf)
		if again := pool.Get(size); len(*again) != size {
			t.Errorf("second buffer of %d bytes, want %d", len(*again), size)
		}
	}
}
