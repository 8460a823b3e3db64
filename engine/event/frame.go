package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ErrFormat marks bytes or text that are not what this package writes.
var ErrFormat = errors.New("malformed data")

// Frame is one stream entry: 1..N consecutive events of one lane. FORMAT.md has
// the byte table of its encoding.
type Frame struct {
	Watermark int64 // ms: no earlier event time follows in this lane; 0 if unknown
	Events    []*Event
}

// Compression says how a frame's body is packed; its number is in the format.
type Compression uint8

// The compressions that version 1 knows.
const (
	None Compression = 0
	Zstd Compression = 1
)

const (
	magic       = "MF"
	version     = 1
	headerSize  = 8        // magic 2, version 1, compression 1, CRC-32C 4
	maxBodySize = 64 << 20 // bytes of an unpacked body; a larger one is malformed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode appends the frame's encoding to dst. It fails only on a body above
// 64 MiB. It may be called concurrently.
func (f *Frame) Encode(dst []byte, c Compression) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.gather(f)
	if size := e.size(); size > maxBodySize {
		return dst, fmt.Errorf("frame body of %d bytes is above %d", size, maxBodySize)
	}
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, version, byte(c), 0, 0, 0, 0)
	if c == Zstd {
		e.out = e.appendBody(e.out[:0])
		dst = binary.AppendUvarint(dst, uint64(len(e.out)))
		dst = packer().EncodeAll(e.out, dst)
	} else {
		dst = e.appendBody(dst)
	}
	sum := crc32.Checksum(dst[start+headerSize:], castagnoli)
	binary.LittleEndian.PutUint32(dst[start+4:], sum)
	return dst, nil
}

// CompressionOf returns how the body of frame b is packed, by its header alone; None
// for what is too short to be a frame.
func CompressionOf(b []byte) Compression {
	if len(b) < headerSize {
		return None
	}
	return Compression(b[3])
}

// DecodeFrame reads what [Frame.Encode] wrote. The events refer to b, which must
// not change afterwards. Anything malformed gives an error that wraps
// [ErrFormat]; memory use is bounded by a small multiple of the body's size.
func DecodeFrame(b []byte) (*Frame, error) { return new(Decoder).Decode(b) }

// bodyOf checks the header and the checksum of b and returns its body, unpacked.
func bodyOf(b []byte) ([]byte, error) {
	if len(b) < headerSize || string(b[:2]) != magic {
		return nil, fmt.Errorf("frame header: %w", ErrFormat)
	}
	if b[2] != version {
		return nil, fmt.Errorf("frame version %d, this engine reads up to %d: %w", b[2], version, ErrFormat)
	}
	body := b[headerSize:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, fmt.Errorf("frame checksum differs: %w", ErrFormat)
	}
	return unpack(body, Compression(b[3]))
}

func unpack(body []byte, c Compression) ([]byte, error) {
	switch c {
	case None:
		return body, nil
	case Zstd:
		size, n := binary.Uvarint(body)
		if n <= 0 || size > maxBodySize {
			return nil, fmt.Errorf("frame body size: %w", ErrFormat)
		}
		out, err := unpacker().DecodeAll(body[n:], nil)
		if err != nil || uint64(len(out)) != size {
			return nil, fmt.Errorf("frame body: %w: %w", ErrFormat, errors.Join(err))
		}
		return out, nil
	default:
		return nil, fmt.Errorf("frame compression %d: %w", c, ErrFormat)
	}
}

var packer = sync.OnceValue(func() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		panic("event: zstd options are invalid: " + err.Error())
	}
	return enc
})

var unpacker = sync.OnceValue(func() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBodySize), zstd.WithDecoderConcurrency(2))
	if err != nil {
		panic("event: zstd options are invalid: " + err.Error())
	}
	return dec
})
