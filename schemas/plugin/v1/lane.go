package pluginv1

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// LaneSockets is the capability of a plugin that takes a Process stream over a socket
// besides gRPC. The host hands it a connected one for each, over the descriptor whose
// number is in the environment variable [LanesEnv]; see README.md.
const (
	LaneSockets = "lane-sockets"
	LanesEnv    = "MILLRACE_PLUGIN_LANES"
)

// socketBuffer is what the kernel holds of a lane's messages, each way, in bytes: more
// than the window, so that a host that sends never waits for a plugin that does.
const socketBuffer = WindowBytes + ChunkBytes

// LaneConn is one end of a socket with the messages of one Process stream. Each
// message is its length in bytes, a uint32 with the least significant byte first, and
// its protobuf encoding, at most [MaxMessageBytes].
//
// One goroutine may send and another receive at the same time. Frames are kept and
// given as by [Codec].
type LaneConn struct {
	conn  net.Conn
	in    *bufio.Reader
	size  [prefix]byte // of what is received
	head  []byte       // of what is sent
	parts [2][]byte
	out   net.Buffers // refers to parts
}

const prefix = 4 // bytes of a message's length

// NewLaneConn returns the end of a stream over conn, which it owns.
func NewLaneConn(conn net.Conn) *LaneConn {
	return &LaneConn{conn: conn, in: bufio.NewReader(conn)}
}

// SendMsg sends m, a *ProcessRequest or *ProcessResponse.
func (c *LaneConn) SendMsg(m any) error {
	frame := frameOf(m)
	if frame == nil {
		return fmt.Errorf("plugin message: %T on a lane", m)
	}
	head, rest, err := split(append(c.head[:0], make([]byte, prefix)...), m.(proto.Message), frame)
	if err != nil {
		return fmt.Errorf("plugin message: %w", err)
	}
	size := len(head) - prefix + len(rest)
	if size > MaxMessageBytes {
		return tooLarge("sent", size)
	}
	binary.LittleEndian.PutUint32(head, uint32(size))
	c.head, c.parts = head, [2][]byte{head, rest}
	c.out = c.parts[:]
	_, err = c.out.WriteTo(c.conn)
	frames.Put(&rest)
	return err
}

// RecvMsg receives m, a *ProcessRequest or *ProcessResponse. It returns io.EOF when the
// other end was closed between two messages, and a status of code ResourceExhausted for a
// message that is too large.
func (c *LaneConn) RecvMsg(m any) error {
	frame := frameOf(m)
	if frame == nil {
		return fmt.Errorf("plugin message: %T on a lane", m)
	}
	if _, err := io.ReadFull(c.in, c.size[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(c.size[:])
	if size > MaxMessageBytes {
		return tooLarge("received", int(size))
	}
	raw := uncleared(int(size))
	if _, err := io.ReadFull(c.in, raw); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return unmarshal(raw, m.(proto.Message), frame)
}

func tooLarge(what string, size int) error {
	return status.Errorf(codes.ResourceExhausted, "%s message of %d bytes is larger than %d", what, size, MaxMessageBytes)
}

// Close ends the stream both ways. It may be called at any time and more than once.
func (c *LaneConn) Close() error { return c.conn.Close() }
