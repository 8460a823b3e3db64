package pluginhost_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/engine/event"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// transcripts is where conversations of earlier hosts and plugins are kept; they are
// never changed. schemas/plugin/README.md says what for.
const transcripts = "../../schemas/plugin/v1/testdata"

// scene is one call, or one unit of a stream: what the host said, and the plugin.
type scene struct {
	method string
	lane   int // of a unit
	host   [][]byte
	answer [][]byte
}

// write adds the scene to a transcript: its method, then a line a message.
func (s *scene) write(w io.Writer) {
	fmt.Fprintf(w, "%s %d\n", s.method, s.lane)
	for _, m := range s.host {
		fmt.Fprintf(w, "> %s\n", packed(m))
	}
	for _, m := range s.answer {
		fmt.Fprintf(w, "< %s\n", packed(m))
	}
}

// packed writes a message as text: zlib, then base64.
func packed(message []byte) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(message) // a buffer takes everything
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func unpacked(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func readTranscript(t *testing.T, name string) []*scene {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(transcripts, name))
	if err != nil {
		t.Fatal(err)
	}
	var all []*scene
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		mark, rest, _ := strings.Cut(lines.Text(), " ")
		if lane, err := strconv.Atoi(rest); err == nil {
			all = append(all, &scene{method: mark, lane: lane})
			continue
		}
		message, err := unpacked(rest)
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: line %.80q: %v", name, lines.Text(), err)
		}
		if now := all[len(all)-1]; mark == ">" {
			now.host = append(now.host, message)
		} else {
			now.answer = append(now.answer, message)
		}
	}
	if lines.Err() != nil || len(all) < 5 {
		t.Fatalf("%s: %d scenes, %v", name, len(all), lines.Err())
	}
	return all
}

// question is what the host's half of a unit says, however it is cut.
type question struct {
	Events    []*event.Event
	Watermark int64
	State     map[string]string // value and version by key
}

func (s *scene) question(t *testing.T) question {
	t.Helper()
	q := question{State: map[string]string{}}
	for i, raw := range s.host {
		m := parsed(t, raw, &pluginv1.ProcessRequest{})
		if m.Last != (i == len(s.host)-1) {
			t.Errorf("message %d of %d: last is %v", i, len(s.host), m.Last)
		}
		f := decoded(t, m.Frame)
		q.Events, q.Watermark = append(q.Events, f.Events...), f.Watermark
		for _, k := range m.State {
			q.State[string(k.Key)] = k.Version + ": " + string(k.Value)
		}
	}
	return q
}

// verdict is what the plugin's half says, however it is cut.
type verdict struct {
	Outputs [][]*event.Event // by event
	Rejects []string         // event, record and code
	State   map[string]string
	Error   string // class and event; "" if there is none
}

func (s *scene) verdict(t *testing.T) verdict {
	t.Helper()
	v := verdict{State: map[string]string{}}
	open := false
	for _, raw := range s.answer {
		m := parsed(t, raw, &pluginv1.ProcessResponse{})
		events, counts := decoded(t, m.Frame).Events, m.Outputs
		if len(counts) == 0 {
			counts = bytesOfOnes(len(events))
		}
		for _, n := range counts {
			if !open {
				v.Outputs = append(v.Outputs, nil)
			}
			last := &v.Outputs[len(v.Outputs)-1]
			*last, events, open = append(*last, events[:n]...), events[n:], false
		}
		open = m.More
		for _, r := range m.Rejects {
			v.Rejects = append(v.Rejects, fmt.Sprint(r.Event, " ", r.Record, " ", r.Code))
		}
		for _, k := range m.State {
			v.State[string(k.Key)] = fmt.Sprint(k.Version, ": ", string(k.Value), k.Removed)
		}
		if m.Error != nil {
			v.Error, v.Outputs, v.Rejects = fmt.Sprint(m.Error.Class, " ", m.Error.Event), nil, nil
		}
	}
	return v
}

func bytesOfOnes(n int) []uint32 {
	ones := make([]uint32, n)
	for i := range ones {
		ones[i] = 1
	}
	return ones
}

func parsed[M proto.Message](t *testing.T, raw []byte, m M) M {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func decoded(t *testing.T, frame []byte) *event.Frame {
	t.Helper()
	if len(frame) == 0 {
		return &event.Frame{}
	}
	f, err := event.DecodeFrame(frame)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rawCodec leaves messages as bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// serveRawly answers every call at a new socket with handler, until the test ends.
func serveRawly(t *testing.T, handler grpc.StreamHandler) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "raw.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(handler))
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) }) // ends with Stop
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return socket
}

func dialRawly(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const service = "/millrace.plugin.v1.Plugin/"

var both = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// converse sends a scene's messages of the host and returns what the plugin says.
func converse(stream grpc.ClientStream, s *scene) ([][]byte, error) {
	for _, m := range s.host {
		if err := stream.SendMsg(m); err != nil {
			return nil, errors.Join(err, stream.RecvMsg(new([]byte)))
		}
	}
	if s.method != "Process" {
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
	}
	var heard [][]byte
	for {
		var m []byte
		if err := stream.RecvMsg(&m); err != nil {
			return heard, err
		}
		heard = append(heard, m)
		var answer pluginv1.ProcessResponse
		if s.method != "Process" || proto.Unmarshal(m, &answer) != nil || answer.Last {
			return heard, nil
		}
	}
}
