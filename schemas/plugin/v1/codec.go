package pluginv1

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// frameField is the number of field frame, in both messages of Process.
const frameField = 2

// Codec is gRPC's protobuf codec with a short cut for the frames of Process:
// they are neither copied into a message nor, but for one copy out of gRPC's
// receive buffers, out of it. The bytes on the wire are protobuf as ever. Use it
// on either side with [FrameBuffer].
//
// A frame that was sent belongs to the codec, which uses its memory again. A
// frame that was received is the receiver's for ever.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is the content subtype, the usual one.
func (Codec) Name() string { return "proto" }

// Marshal encodes v, a protobuf message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	frame := frameOf(v)
	if frame == nil {
		return encoding.GetCodecV2("proto").Marshal(v)
	}
	head, bytes, err := split(make([]byte, 0, 32), v.(proto.Message), frame)
	if err != nil || len(bytes) == 0 {
		return mem.BufferSlice{mem.SliceBuffer(head)}, err
	}
	return mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&bytes, frames)}, nil
}

// Unmarshal decodes data into v, a protobuf message.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	frame := frameOf(v)
	if frame == nil {
		return encoding.GetCodecV2("proto").Unmarshal(data, v)
	}
	return unmarshal(joined(data), v.(proto.Message), frame)
}

// frameOf returns the field frame of a message of Process; nil for any other.
func frameOf(v any) *[]byte {
	switch m := v.(type) {
	case *ProcessRequest:
		return &m.Frame
	case *ProcessResponse:
		return &m.Frame
	default:
		return nil
	}
}

// split encodes m behind head, up to and without the bytes of its frame, which it takes
// out of m: they are the rest.
func split(head []byte, m proto.Message, frame *[]byte) (front, rest []byte, err error) {
	rest, *frame = *frame, nil
	head, err = proto.MarshalOptions{}.MarshalAppend(head, m)
	if err != nil || len(rest) == 0 {
		return head, nil, err
	}
	head = protowire.AppendTag(head, frameField, protowire.BytesType)
	return protowire.AppendVarint(head, uint64(len(rest))), rest, nil
}

// unmarshal decodes m; its field frame refers to raw.
func unmarshal(raw []byte, m proto.Message, frame *[]byte) error {
	var rest, found []byte
	for len(raw) > 0 {
		number, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return fmt.Errorf("plugin message: %w", protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[tag:])
		if size < 0 {
			return fmt.Errorf("plugin message: %w", protowire.ParseError(size))
		}
		if number == frameField && kind == protowire.BytesType {
			found, _ = protowire.ConsumeBytes(raw[tag:])
		} else {
			rest = append(rest, raw[:tag+size]...)
		}
		raw = raw[tag+size:]
	}
	if err := proto.Unmarshal(rest, m); err != nil {
		return fmt.Errorf("plugin message: %w", err)
	}
	*frame = found
	return nil
}

// joined returns a copy of data.
func joined(data mem.BufferSlice) []byte {
	whole := uncleared(data.Len())
	data.CopyTo(whole)
	return whole
}

// uncleared returns fresh memory of n bytes for what is written before it is read. The
// language has it for strings alone: a message is too large to be cleared for nothing.
func uncleared(n int) []byte {
	if n == 0 {
		return nil
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0) // the data of an empty string may be anywhere
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// FrameBuffer returns empty memory of at least ChunkBytes for encoding a frame
// that is to be sent next.
func FrameBuffer() []byte { return (*frames.Get(ChunkBytes))[:0] }

// frames holds the memory of frames that were sent. Nothing reads a buffer before
// writing it, so they are not cleared.
var frames = &bufferPool{}

// maxPooled bounds what an unusually large frame leaves behind, in bytes.
const maxPooled = 1 << 20

type bufferPool struct{ pool sync.Pool }

var _ mem.BufferPool = (*bufferPool)(nil)

func (p *bufferPool) Get(length int) *[]byte {
	if buf, ok := p.pool.Get().(*[]byte); ok && cap(*buf) >= length {
		*buf = (*buf)[:length]
		return buf
	}
	buf := make([]byte, length, max(length, ChunkBytes+ChunkBytes/2))
	return &buf
}

func (p *bufferPool) Put(buf *[]byte) {
	if cap(*buf) >= ChunkBytes && cap(*buf) <= maxPooled {
		p.pool.Put(buf)
	}
}
