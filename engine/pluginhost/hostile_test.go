package pluginhost_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/engine/event"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// serveTorrent prints a line without end.
func serveTorrent() {
	for line := make([]byte, 1<<16); ; {
		if _, err := os.Stdout.Write(line); err != nil {
			return
		}
	}
}

// serveGarbage shakes hands and then speaks no protocol at all.
func serveGarbage() {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Printf("1|%d|unix|%s|grpc|\n", pluginv1.ProtocolVersion, path)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.CopyN(conn, rand.Reader, 1<<20) // until the host has had enough
		_ = conn.Close()
	}
}

// hostile is a plugin without the SDK that answers as its configuration says,
// and correctly to a unit whose first event has no field "bad".
type hostile struct {
	name  string
	exits bool // when it is to drain
	able  []string
	pluginv1.UnimplementedPluginServer
	plugin.NetRPCUnsupportedPlugin
}

func serveHostile(h *hostile) {
	lanes, err := pluginv1.ListenLanes()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if lanes != nil {
		h.able = []string{pluginv1.LaneSockets}
		go h.serveLanes(lanes)
	}
	serveRaw(h)
}

func (h *hostile) serveLanes(lanes *pluginv1.LaneListener) {
	for {
		conn, err := lanes.Accept()
		if err != nil {
			return
		}
		go func() {
			if err := h.serve(rawLane{pluginv1.NewLaneConn(conn), conn}); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			_ = conn.Close() // the host has had enough, or will have
		}()
	}
}

// rawStream is either kind of stream.
type rawStream interface {
	Recv() (*pluginv1.ProcessRequest, error)
	Send(*pluginv1.ProcessResponse) error
}

// rawLane is a lane socket that sends whatever it is told to.
type rawLane struct {
	*pluginv1.LaneConn
	raw net.Conn
}

func (l rawLane) Recv() (*pluginv1.ProcessRequest, error) {
	req := &pluginv1.ProcessRequest{}
	return req, l.RecvMsg(req)
}

func (l rawLane) Send(resp *pluginv1.ProcessResponse) error {
	body, err := proto.Marshal(resp)
	if err != nil {
		return err
	}
	_, err = l.raw.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// rubbish is what no message is, by the word for it.
var rubbish = map[string][]byte{
	"4 GiB claimed": {0xff, 0xff, 0xff, 0xff, 0},
	"no protobuf":   {3, 0, 0, 0, 0xff, 0xff, 0xff},
	"half of one":   {9, 0, 0, 0, 1},
}

// serveRaw serves a plugin that stands on no SDK.
func serveRaw(p plugin.Plugin) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: pluginv1.ProtocolVersion,
			MagicCookieKey:  pluginv1.MagicCookieKey, MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins: plugin.PluginSet{pluginv1.Service: p},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32))...)
		},
	})
}

func (h *hostile) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServer(s, h)
	return nil
}

func (h *hostile) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no host")
}

func (h *hostile) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Name: h.name, Version: "1.0.0", Capabilities: h.able}, nil
}

func (h *hostile) Configure(context.Context, *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	return &pluginv1.ConfigureResponse{}, nil
}

// Drain is never answered in time: Close must not wait for it.
func (h *hostile) Drain(ctx context.Context, _ *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	if h.exits {
		os.Exit(5)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (h *hostile) Process(stream pluginv1.Plugin_ProcessServer) error { return h.serve(stream) }

func (h *hostile) serve(stream rawStream) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		f, err := event.DecodeFrame(req.Frame)
		if err != nil {
			return err
		}
		resp := &pluginv1.ProcessResponse{Unit: req.Unit, Frame: req.Frame, Last: req.Last}
		bad, _ := f.Events[0].Record.Get("bad")
		if lane, ok := stream.(rawLane); ok && rubbish[bad.Text()] != nil {
			_, err := lane.raw.Write(rubbish[bad.Text()])
			return err
		}
		if err := h.spoil(resp, f, bad.Text()); err != nil {
			return err
		}
		if part := endless(bad.Text(), f); part != nil {
			if err := flood(stream, resp.Unit, part); err != nil {
				return err
			}
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// endless returns what an answer that never ends repeats; nil if bad means none.
func endless(bad string, f *event.Frame) *pluginv1.ProcessResponse {
	output, how := *f.Events[0], event.None
	outputs := []*event.Event{&output}
	part := &pluginv1.ProcessResponse{More: true}
	switch bad {
	case "1 GiB":
		output.Record = &event.Record{Fields: []event.Field{{Name: "fill", Value: event.String(strings.Repeat("x", 15<<20))}}}
	case "packed":
		how = event.Zstd
	case "many outputs":
		outputs = slices.Repeat(outputs, 5_000)
	case "many rejects":
		outputs, part.Outputs = nil, []uint32{0}
		part.Rejects = slices.Repeat([]*pluginv1.Reject{{}}, 10_000)
	default:
		return nil
	}
	if len(outputs) > 0 {
		part.Frame, _ = (&event.Frame{Events: outputs}).Encode(nil, how)
		part.Outputs = []uint32{uint32(len(outputs))}
	}
	return part
}

// flood repeats part until the host has had enough.
func flood(stream rawStream, unit uint64, part *pluginv1.ProcessResponse) error {
	for range 1000 {
		if err := stream.Send(&pluginv1.ProcessResponse{Unit: unit, Frame: slices.Clone(part.Frame), Outputs: part.Outputs, Rejects: part.Rejects, More: true}); err != nil {
			return err
		}
	}
	return nil
}

// spoil turns a right answer into a wrong one.
func (h *hostile) spoil(resp *pluginv1.ProcessResponse, f *event.Frame, bad string) error {
	switch bad {
	case "garbage":
		resp.Frame = []byte("not a frame")
	case "too few":
		resp.Frame, resp.Outputs = nil, []uint32{0}
		if len(f.Events) == 1 {
			resp.Outputs = nil
		}
	case "too many":
		f.Events = append(f.Events, f.Events[0])
		resp.Frame, _ = f.Encode(nil, event.None)
	case "counts":
		resp.Outputs = make([]uint32, len(f.Events))
		resp.Outputs[0] = math.MaxUint32
	case "unit":
		resp.Unit++
	case "root":
		f.Events[0].RootID = "another"
		resp.Frame, _ = f.Encode(nil, event.None)
	case "reject":
		resp.Rejects = []*pluginv1.Reject{{Event: math.MaxUint32}}
	case "more":
		resp.Frame, resp.Last, resp.More = nil, false, true
	case "20 MiB":
		resp.Frame = make([]byte, 20<<20)
	case "closes":
		return errors.New("I have had enough")
	}
	return nil
}
