package pluginhost_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// pass hands on what it is given.
var pass = sdk.Map("pass", "1.0.0", func(*struct{}) (sdk.Func, error) {
	return func(*sdk.Event) error { return nil }, nil
})

// openPass opens it without a process.
func openPass() (node.Transform, error) { return pass.Open([]byte("{}"), sdk.Node{ID: "n", Lanes: 1}) }

// directly does by hand what pass does.
func directly(_ context.Context, in *node.Batch) error {
	results := make([]node.Result, len(in.Events))
	for i, ev := range in.Events {
		out := ev.Derive("n", 0, 0)
		out.Record = &event.Record{Fields: slices.Clone(ev.Record.Fields)}
		results[i].Outputs = []*event.Event{out}
	}
	return nil
}

// unaryMethod is a call of its own for each frame: what a plugin would be without
// streams. It serves as a yardstick here and nowhere else.
const unaryMethod = "/bench.Unary/Process"

// serveUnary is a program that answers it on a unix socket in the folder that its
// own file is in, until its standard input ends.
func serveUnary() {
	l, err := net.Listen("unix", os.Args[0]+".socket")
	if err != nil {
		fmt.Println(err)
		return
	}
	tr, err := openPass()
	if err != nil {
		fmt.Println(err)
		return
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(pluginv1.Codec{}), grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Unary", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Process", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return answerUnary(ctx, tr, decode)
		}}},
	}, nil)
	go func() { _ = s.Serve(l) }() // until the process ends
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func answerUnary(ctx context.Context, tr node.Transform, decode func(any) error) (any, error) {
	var req pluginv1.ProcessRequest
	if err := decode(&req); err != nil {
		return nil, err
	}
	in, err := event.DecodeFrame(req.Frame)
	if err != nil {
		return nil, err
	}
	results, err := tr.Process(ctx, &node.Batch{Events: in.Events})
	if err != nil {
		return nil, err
	}
	var out event.Frame
	for _, r := range results {
		out.Events = append(out.Events, r.Outputs...)
	}
	frame, err := out.Encode(pluginv1.FrameBuffer(), event.None)
	return &pluginv1.ProcessResponse{Frame: frame, Last: true}, err
}

// dialUnary starts the program and connects to it, without TLS.
func dialUnary(b *testing.B) *grpc.ClientConn {
	b.Helper()
	dir := b.TempDir()
	install(b, dir, "unary", "1.0.0")
	cmd := exec.Command(filepath.Join(dir, "unary@1.0.0"))
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		b.Fatal("cannot start the unary program")
	}
	b.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() }) // it ends with its input
	if line, err := bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		b.Fatalf("unary program says %q, %v", line, err)
	}
	conn, err := grpc.NewClient("unix:"+cmd.Path+".socket", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(pluginv1.Codec{}), grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// unary sends events as one frame in one call.
func unary(ctx context.Context, conn *grpc.ClientConn, events []*event.Event) error {
	f := event.Frame{Events: events}
	frame, err := f.Encode(pluginv1.FrameBuffer(), event.None)
	if err != nil {
		return err
	}
	var resp pluginv1.ProcessResponse
	if err := conn.Invoke(ctx, unaryMethod, &pluginv1.ProcessRequest{Frame: frame, Last: true}, &resp); err != nil {
		return err
	}
	_, err = event.DecodeFrame(resp.Frame)
	return err
}

// codecs takes a unit to tr and back as a plugin's frames do, without a process: what
// of a hop is neither transport nor TLS.
func codecs(tr node.Transform) func(context.Context, *node.Batch) error {
	var theirs event.Decoder
	var there, back []byte
	return func(ctx context.Context, in *node.Batch) error {
		f := event.Frame{Events: in.Events}
		var err error
		if there, err = f.Encode(there[:0], event.None); err != nil {
			return err
		}
		got, err := theirs.Decode(there)
		if err != nil {
			return err
		}
		results, err := tr.Process(ctx, &node.Batch{Events: got.Events})
		if err != nil {
			return err
		}
		f.Events = make([]*event.Event, 0, len(results))
		for _, r := range results {
			f.Events = append(f.Events, r.Outputs...)
		}
		if back, err = f.Encode(back[:0], event.None); err != nil {
			return err
		}
		_, err = event.DecodeFrame(back)
		return err
	}
}

func through(tr node.Transform) func(context.Context, *node.Batch) error {
	return func(ctx context.Context, in *node.Batch) error {
		_, err := tr.Process(ctx, in)
		return err
	}
}

// heapOfAnEngine is what an engine at work holds, in bytes: the collector of a test's
// tiny heap would run tens of times as often as that of an engine.
const heapOfAnEngine = 32 << 20

// turn is how many units of one way follow each other. A process that has just been
// idle takes longer over its first.
const turn = 20

// BenchmarkTable compares the ways of a unit through a transform that hands it on.
// All take turns, so that a busy machine slows all of them; each figure is the median
// over the units, divided by a unit's events.
func BenchmarkTable(b *testing.B) {
	direct, err := openPass()
	if err != nil {
		b.Fatal(err)
	}
	socket := start(b, "pass", pluginhost.Config{}, nil)
	overGRPC := start(b, "pass", pluginhost.Config{}.OverGRPC(), nil)
	plain := start(b, "pass", pluginhost.Config{InsecureSocket: true}.OverGRPC(), nil)
	conn := dialUnary(b)
	heap := make([]byte, heapOfAnEngine)
	defer runtime.KeepAlive(heap)
	ways := []struct {
		name string
		run  func(context.Context, *node.Batch) error
	}{
		{"by-hand", directly},
		{"in-process", through(direct)},
		{"in-process-by-frames", codecs(direct)},
		{"plugin", through(socket)},
		{"plugin-over-grpc", through(overGRPC)},
		{"plugin-over-grpc-without-tls", through(plain)},
		{"unary-a-unit", func(ctx context.Context, in *node.Batch) error { return unary(ctx, conn, in.Events) }},
		{"unary-an-event", func(ctx context.Context, in *node.Batch) (err error) {
			for i := 0; i < len(in.Events) && err == nil; i++ {
				err = unary(ctx, conn, in.Events[i:i+1])
			}
			return err
		}},
	}
	for _, events := range []int{256, 1} {
		in := &node.Batch{Events: payloads(events)}
		b.Run(fmt.Sprintf("%dx256B", events), func(b *testing.B) {
			took := make([][]time.Duration, len(ways))
			for b.Loop() {
				for i, way := range ways {
					for range turn {
						begin := time.Now()
						if err := way.run(b.Context(), in); err != nil {
							b.Fatal(err)
						}
						took[i] = append(took[i], time.Since(begin))
					}
				}
			}
			b.ReportMetric(0, "ns/op") // of all ways together: says nothing
			for i, way := range ways {
				slices.Sort(took[i])
				b.ReportMetric(float64(took[i][len(took[i])/2].Nanoseconds())/float64(len(in.Events)), way.name+"-ns/event")
			}
		})
	}
}

// BenchmarkLanes is what a plugin carries when all of its lanes are at work: units of
// 256 events of 256 bytes. Both sides share this machine's processors.
func BenchmarkLanes(b *testing.B) {
	tr := start(b, "pass", pluginhost.Config{}, nil)
	heap := make([]byte, heapOfAnEngine)
	defer runtime.KeepAlive(heap)
	for _, lanes := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) {
			own, theirs := ownCPU(), cpu(tr.PID())
			events := 0
			for b.Loop() {
				var all errgroup.Group
				for lane := range lanes {
					in := &node.Batch{Lane: lane, Events: hundreds}
					all.Go(func() error {
						for range 8 {
							if _, err := tr.Process(b.Context(), in); err != nil {
								return err
							}
						}
						return nil
					})
				}
				if err := all.Wait(); err != nil {
					b.Fatal(err)
				}
				events += 8 * lanes * len(hundreds)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((ownCPU()-own).Nanoseconds())/float64(events), "hostcpu-ns/event")
			b.ReportMetric(float64((cpu(tr.PID())-theirs).Nanoseconds())/float64(events), "plugincpu-ns/event")
		})
	}
}

var hundreds = payloads(256)
