package pluginv1_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// bytesConn is a connection that gives what it holds and takes what it is given.
type bytesConn struct {
	net.Conn // nil: nothing else is called
	bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)  { return c.Buffer.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error) { return c.Buffer.Write(p) }
func (c *bytesConn) Close() error                { return nil }

func TestLaneCarriesMessages(t *testing.T) {
	wire := &bytesConn{}
	lane := pluginv1.NewLaneConn(wire)
	var want []proto.Message
	for _, m := range messages() {
		if _, other := m.(*pluginv1.ConfigureRequest); other {
			if err := lane.SendMsg(m); err == nil {
				t.Errorf("%T was sent", m)
			}
			continue
		}
		want = append(want, proto.Clone(m))
		if err := lane.SendMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range want {
		got := m.ProtoReflect().New().Interface()
		if err := lane.RecvMsg(got); err != nil || !proto.Equal(got, m) {
			t.Errorf("message %d: %v, error %v", i, got, err)
		}
	}
	if err := lane.RecvMsg(&pluginv1.ProcessRequest{}); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last message: %v", err)
	}
}

// TestLaneRefusesWhatIsNoMessage reads what a broken or hostile peer may send.
func TestLaneRefusesWhatIsNoMessage(t *testing.T) {
	sized := func(size uint32, body string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, size), body...)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want func(error) bool
	}{
		"4 GiB claimed":     {sized(1<<32-1, "x"), isExhausted},
		"one byte too many": {sized(pluginv1.MaxMessageBytes+1, "x"), isExhausted},
		"half a length":     {[]byte{1, 0}, isTorn},
		"half a message":    {sized(10, "12345"), isTorn},
		"length alone":      {sized(10, ""), isTorn},
		"no protobuf":       {sized(3, "\xff\xff\xff"), isUnread},
		"a group's end":     {sized(1, "\x0c"), isUnread},
	} {
		err := pluginv1.NewLaneConn(&bytesConn{Buffer: *bytes.NewBuffer(c.raw)}).RecvMsg(&pluginv1.ProcessResponse{})
		if err == nil || !c.want(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func isExhausted(err error) bool { return status.Code(err) == codes.ResourceExhausted }
func isTorn(err error) bool      { return err == io.ErrUnexpectedEOF }
func isUnread(err error) bool    { return strings.HasPrefix(err.Error(), "plugin message: ") }

func TestLaneSendsNothingTooLarge(t *testing.T) {
	wire := &bytesConn{}
	lane := pluginv1.NewLaneConn(wire)
	err := lane.SendMsg(&pluginv1.ProcessRequest{Unit: 1, Frame: make([]byte, pluginv1.MaxMessageBytes)})
	if !isExhausted(err) || wire.Len() != 0 {
		t.Errorf("error %v, %d bytes sent", err, wire.Len())
	}
}

// FuzzLane reads bytes of anybody: a message that is accepted is one that can be sent.
func FuzzLane(f *testing.F) {
	for _, m := range messages()[:4] {
		wire := &bytesConn{}
		if err := pluginv1.NewLaneConn(wire).SendMsg(m); err != nil {
			f.Fatal(err)
		}
		f.Add(wire.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got, again pluginv1.ProcessResponse
		lane := pluginv1.NewLaneConn(&bytesConn{Buffer: *bytes.NewBuffer(raw)})
		if lane.RecvMsg(&got) != nil {
			return
		}
		want := proto.Clone(&got)
		back := pluginv1.NewLaneConn(&bytesConn{})
		if err := errors.Join(back.SendMsg(&got), back.RecvMsg(&again)); err != nil || !proto.Equal(&again, want) {
			t.Errorf("%v, error %v, want %v", &again, err, want)
		}
	})
}

// within fails the test if do takes longer than any machine needs.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("still waiting after a minute")
	}
}
