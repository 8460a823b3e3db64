package pluginhost_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

var recordAs = flag.String("record-transcripts", "", "write transcripts of today's host and plugins under this `suffix`, such as 1.1")

// echo is the plugin whose conversations are kept; testdata of the SDK for Python has
// its twin.
var echo = sdk.Map("echo", "1.0.0", func(*struct{}) (sdk.Func, error) {
	return func(e *sdk.Event) error {
		switch e.Text("do") {
		case "drop":
			e.Drop()
		case "reject":
			return sdk.Reject("told_to", "value %v", e.Get("value").Any())
		case "away":
			return node.AsAway(fmt.Errorf("server is away"))
		case "three":
			for i := range 3 {
				e.Set("part", event.Int(int64(i)))
				e.Emit()
			}
		}
		return nil
	}, nil
})

// tally counts the events of each key.
var tally = sdk.Stateful("tally", "1.0.0", sdk.JSON[int]("1"), func(*struct{}) (sdk.StateFunc[int], error) {
	return func(e *sdk.Event, n *int) error {
		*n++
		if e.Text("do") == "reset" {
			*n = 0
		}
		e.Set("n", event.Int(int64(*n)))
		return nil
	}, nil
})

// sessions are what transcripts are recorded of: a plugin, and units by lane.
var sessions = map[string]struct {
	plugin sdk.Plugin
	units  []*node.Batch
}{
	"echo": {echo, []*node.Batch{
		batch(0, record(1, "value", 1.5)),
		batch(0, record(2, "value", 2), record(3, "do", "drop"), record(4, "do", "reject", "value", 7), record(5, "do", "three"), undecoded(6), record(7)),
		batch(1, record(8, "do", "three")),
		batch(1, record(9), record(10, "do", "away"), record(11)),
		batch(1, record(12, "value", "text")),
		batch(0, manyRecords(900)...), // several chunks
		batch(2, record(13, "do", "drop")),
	}},
	"tally": {tally, []*node.Batch{
		batch(0, keyed(1, "a"), keyed(2, "b"), keyed(3, "a")),
		batch(1, keyed(4, "a"), keyed(5, "c")),
		batch(0, keyed(6, "b", "do", "reset"), keyed(7, "c")),
		batch(0, keyed(8, "b"), keyed(9, "a")),
	}},
}

func undecoded(i int) *event.Event {
	e := record(i)
	e.Record, e.Payload, e.ContentType = nil, []byte("x"), "text/plain"
	return e
}

// attached starts a node with the plugin that listens at socket.
func attached(t *testing.T, name, socket string) *pluginhost.Transform {
	t.Helper()
	host := pluginhost.New(pluginhost.Config{Dir: t.TempDir(), SourceDir: "-", Attach: map[string]string{name: socket}, DrainTimeout: time.Second})
	tr, err := host.Start(within(t), pluginhost.NodeConfig{Node: "n", Pipeline: "p", Ref: name, Lanes: 4, With: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() }) // always nil
	return tr
}

// recorder stands between a host and a plugin and notes what they say.
type recorder struct {
	conn   *grpc.ClientConn
	mu     sync.Mutex
	scenes []*scene // guarded by mu
}

func (r *recorder) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	behind, err := r.conn.NewStream(stream.Context(), both, method)
	if err != nil {
		return err
	}
	for s := (&scene{method: path.Base(method)}); ; s = (&scene{method: s.method, lane: s.lane}) {
		if err := s.listen(stream); err != nil {
			return nil // the host has gone
		}
		if s.answer, err = converse(behind, s); err != nil {
			return err
		}
		s.cut()
		for _, m := range s.answer {
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.scenes = append(r.scenes, s)
		r.mu.Unlock()
		if s.method != "Process" {
			return nil
		}
	}
}

// listen takes what the host says until it is the plugin's turn.
func (s *scene) listen(stream grpc.ServerStream) error {
	for {
		var m []byte
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		s.host = append(s.host, m)
		var chunk pluginv1.ProcessRequest
		if s.method != "Process" || proto.Unmarshal(m, &chunk) != nil {
			return nil
		}
		if len(s.host) == 1 && chunk.Unit == 1 {
			s.lane = int(chunk.Lane)
		}
		if chunk.Last {
			return nil
		}
	}
}

// cut makes two messages of an answer to one event with several outputs, as a plugin
// does whose answer is long.
func (s *scene) cut() {
	var m pluginv1.ProcessResponse
	if s.method != "Process" || len(s.answer) != 1 || proto.Unmarshal(s.answer[0], &m) != nil || len(m.Outputs) != 1 || m.Outputs[0] < 2 {
		return
	}
	f, err := event.DecodeFrame(m.Frame)
	if err != nil {
		return
	}
	part := func(events []*event.Event, more bool) []byte {
		frame, _ := (&event.Frame{Events: events}).Encode(nil, event.None)                                                                              // it is small
		raw, _ := proto.Marshal(&pluginv1.ProcessResponse{Unit: m.Unit, Frame: frame, Outputs: []uint32{uint32(len(events))}, More: more, Last: !more}) // it is sound
		return raw
	}
	s.answer = [][]byte{part(f.Events[:1], true), part(f.Events[1:], false)}
}

// TestRecordTranscripts keeps what today's host and plugins say, when it is asked to
// (schemas/plugin/README.md).
func TestRecordTranscripts(t *testing.T) {
	if *recordAs == "" {
		return
	}
	for name, session := range sessions {
		socket := filepath.Join(t.TempDir(), "p.sock")
		end := serveDebug(t, session.plugin, socket)
		r := &recorder{conn: dialRawly(t, socket)}
		tr, table := attached(t, name, serveRawly(t, r.handle)), newTable()
		for _, in := range session.units {
			in.State = table
			_, _ = tr.Process(within(t), in) // errors are part of it
		}
		_ = tr.Close() // always nil
		var text bytes.Buffer
		for _, s := range r.scenes {
			s.write(&text)
		}
		if err := os.WriteFile(filepath.Join(transcripts, name+"-"+*recordAs+".txt"), text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		_ = r.conn.Close()
		end()
	}
}

// kept returns the transcripts of a plugin, by file name.
func kept(t *testing.T, plugin string) map[string][]*scene {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(transcripts, plugin+"-*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcript of %s: %v", plugin, err)
	}
	all := map[string][]*scene{}
	for _, file := range files {
		all[filepath.Base(file)] = readTranscript(t, filepath.Base(file))
	}
	return all
}

// player is a plugin of an earlier day: it hears what it once heard, and says what it
// once said.
type player struct {
	t      *testing.T
	mu     sync.Mutex
	scenes []*scene // guarded by mu: not played yet
}

// next takes the first scene of its kind that is left.
func (p *player) next(method string, lane int) *scene {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.scenes {
		if s.method == method && s.lane == lane {
			if method == "Process" {
				p.scenes = append(p.scenes[:i:i], p.scenes[i+1:]...)
			}
			return s
		}
	}
	return nil
}

func (p *player) handle(_ any, stream grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(stream)
	for now := (&scene{method: path.Base(full)}); ; now = (&scene{method: now.method, lane: now.lane}) {
		if err := now.listen(stream); err != nil {
			return nil // the host has gone
		}
		then := p.next(now.method, now.lane)
		if then == nil {
			return status.Errorf(codes.Unimplemented, "%s %d was never heard", now.method, now.lane)
		}
		if now.method == "Process" {
			if got, want := now.question(p.t), then.question(p.t); !reflect.DeepEqual(got, want) {
				p.t.Errorf("the host says %+v\nthe transcript has %+v", got, want)
			}
		}
		for _, m := range then.answer {
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
		if now.method != "Process" {
			return nil
		}
	}
}

// tomorrow returns the scenes with fields that nobody knows yet in every message.
func tomorrow(scenes []*scene) []*scene {
	unknown := []byte{0xa0, 0x3e, 5, 0xaa, 0x3e, 3, 'n', 'e', 'w'} // field 996: a number; 997: bytes
	add := func(messages [][]byte) [][]byte {
		var all [][]byte
		for _, m := range messages {
			all = append(all, append(slices.Clip(slices.Clone(unknown)), m...))
		}
		return all
	}
	var all []*scene
	for _, s := range scenes {
		all = append(all, &scene{method: s.method, lane: s.lane, host: add(s.host), answer: add(s.answer)})
	}
	return all
}

// conversations are the transcripts of a plugin, as they are and as tomorrow's side
// would speak.
func conversations(t *testing.T, plugin string) map[string][]*scene {
	t.Helper()
	all := kept(t, plugin)
	for file, scenes := range kept(t, plugin) {
		all[file+" with fields of tomorrow"] = tomorrow(scenes)
	}
	return all
}

// TestTodaysHostWithOtherPlugins: the host says to a plugin of the last version what it
// said then, and understands its answers as it did; what a plugin of the next version
// adds, it passes over.
func TestTodaysHostWithOtherPlugins(t *testing.T) {
	for plugin := range sessions {
		for name, scenes := range conversations(t, plugin) {
			t.Run(name, func(t *testing.T) {
				p := &player{t: t, scenes: slices.Clone(scenes)}
				tr, table := attached(t, plugin, serveRawly(t, p.handle)), newTable()
				for _, s := range scenes {
					if s.method == "Process" {
						checkUnit(t, tr, table, s)
					}
				}
			})
		}
	}
}

func checkUnit(t *testing.T, tr *pluginhost.Transform, table *stateTable, s *scene) {
	t.Helper()
	q, want := s.question(t), s.verdict(t)
	in := &node.Batch{Lane: s.lane, Events: q.Events, Watermark: q.Watermark, State: table}
	results, err := tr.Process(within(t), in)
	if want.Error != "" {
		if err == nil || !strings.HasPrefix(want.Error, "CLASS_"+strings.ToUpper(node.ClassOf(err).String())+" ") {
			t.Errorf("error %v of class %v; the plugin says %s", err, node.ClassOf(err), want.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var rejects []string
	for i, r := range results {
		if len(r.Outputs) != len(want.Outputs[i]) {
			t.Fatalf("event %d: %d outputs; want %d", i, len(r.Outputs), len(want.Outputs[i]))
		}
		for j, out := range r.Outputs {
			out.Plugin = want.Outputs[i][j].Plugin
			if !reflect.DeepEqual(out, want.Outputs[i][j]) {
				t.Errorf("event %d: output %d is %+v; want %+v", i, j, out, want.Outputs[i][j])
			}
		}
		for _, bad := range r.Rejects {
			rejects = append(rejects, fmt.Sprint(i, " ", bad.Record, " ", bad.Code))
		}
	}
	if !reflect.DeepEqual(rejects, want.Rejects) {
		t.Errorf("rejects %v; want %v", rejects, want.Rejects)
	}
}

// TestTodaysPluginsWithOtherHosts: a plugin built today answers a host of the last
// version, and one of the next, as one did then.
func TestTodaysPluginsWithOtherHosts(t *testing.T) {
	for plugin, session := range sessions {
		for name, scenes := range conversations(t, plugin) {
			t.Run(name, func(t *testing.T) {
				socket := filepath.Join(t.TempDir(), "p.sock")
				end := serveDebug(t, session.plugin, socket)
				defer end()
				for _, problem := range replayHost(t, socket, scenes) {
					t.Error(problem)
				}
			})
		}
	}
}

// TestOtherAnswersAreNoticed is the control of the test above: a transcript in which
// one answer differs is told from one in which none does.
func TestOtherAnswersAreNoticed(t *testing.T) {
	for _, scenes := range kept(t, "echo") {
		for i := range scenes {
			if scenes[i].method != "Process" {
				continue
			}
			changed := slices.Clone(scenes)
			changed[i] = &scene{method: "Process", lane: scenes[i].lane, host: scenes[i].host, answer: scenes[(i+1)%len(scenes)].answer}
			socket := filepath.Join(t.TempDir(), "p.sock")
			end := serveDebug(t, echo, socket)
			if problems := replayHost(t, socket, changed); len(problems) != 1 {
				t.Errorf("scene %d has another answer, %d problems were found", i, len(problems))
			}
			end()
		}
	}
}

// TestPluginPythonWithOtherHosts is the same with the twin in Python.
func TestPluginPythonWithOtherHosts(t *testing.T) {
	host := pythonHost(t, pluginhost.Config{}, "echo")
	bin, err := host.Resolve("echo")
	if err != nil {
		t.Fatal(err)
	}
	for name, scenes := range conversations(t, "echo") {
		t.Run(name, func(t *testing.T) {
			for _, problem := range replayHost(t, startByHand(t, bin.Path)[3], scenes) {
				t.Error(problem)
			}
		})
	}
}

// startByHand starts a plugin as a host does that asks for no TLS, unless more of its
// environment says so, and returns the fields of its line: the fourth is its socket.
func startByHand(t *testing.T, program string, more ...string) []string {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), pluginv1.MagicCookieKey+"="+pluginv1.MagicCookieValue, "PLUGIN_UNIX_SOCKET_DIR="+t.TempDir())
	cmd.Env = append(cmd.Env, more...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait() // with any status
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	parts := strings.Split(strings.TrimSpace(line), "|")
	if err != nil || len(parts) < 5 || parts[0] != "1" || parts[1] != "1" || parts[2] != "unix" || parts[4] != "grpc" {
		t.Fatalf("handshake %q, %v", line, err)
	}
	return parts
}

// replayHost says to the plugin at socket what the host of a transcript said, and
// returns where its answers differ.
func replayHost(t *testing.T, socket string, scenes []*scene) (problems []string) {
	t.Helper()
	conn := dialRawly(t, socket)
	lanes := map[int]grpc.ClientStream{}
	for _, s := range scenes {
		stream := lanes[s.lane]
		if stream == nil || s.method != "Process" {
			var err error
			if stream, err = conn.NewStream(within(t), both, service+s.method); err != nil {
				t.Fatal(err)
			}
		}
		heard, err := converse(stream, s)
		if err != nil {
			t.Fatalf("%s: %v", s.method, err)
		}
		if s.method == "Process" {
			lanes[s.lane] = stream
		}
		if problem := s.compare(t, heard); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

// compare says how heard differs in meaning from what the plugin once said.
func (s *scene) compare(t *testing.T, heard [][]byte) string {
	t.Helper()
	switch s.method {
	case "Process":
		got, want := (&scene{answer: heard}).verdict(t), s.verdict(t)
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("lane %d: the plugin says %+v\nthe transcript has %+v", s.lane, got, want)
		}
	case "Describe":
		got, want := parsed(t, heard[0], &pluginv1.DescribeResponse{}), parsed(t, s.answer[0], &pluginv1.DescribeResponse{})
		want.Sdk = got.Sdk
		if !holds(got, want) {
			return fmt.Sprintf("it describes itself as %v; the transcript has %v", got, want)
		}
	case "Configure":
		if got := parsed(t, heard[0], &pluginv1.ConfigureResponse{}); len(got.Errors) > 0 {
			return fmt.Sprintf("configured: %v", got)
		}
	}
	return ""
}

// holds reports whether got has every field of want with its value.
func holds(got, want proto.Message) bool {
	all := true
	want.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		all = all && v.Equal(got.ProtoReflect().Get(f))
		return all
	})
	return all
}
