package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/millrace/millrace/engine/pluginhost/registry"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// instance is one life of a plugin process, configured and ready for units.
type instance struct {
	cfg    Config
	name   string // "scale@1.0.0"
	log    *slog.Logger
	proc   *process
	client *plugin.Client   // nil if the process was started by somebody else
	conn   *grpc.ClientConn // to such a process
	rpc    pluginv1.PluginClient
	lanes  *pluginv1.LaneDialer // nil: streams go over gRPC
	logs   sync.WaitGroup
	out    lineWriter // standard output after the handshake
	err    lineWriter // standard error as go-plugin's server hands it on

	layouts layouts            // of its keyed state; set before it is configured
	units   atomic.Uint64      // answered
	leave   context.CancelFunc // ends the health checks

	mu     sync.Mutex
	reason error         // guarded by mu: why it was given up
	gone   chan struct{} // closed with the first reason: no unit may begin
}

// launch starts a process of prog and configures it. When it returns an error
// nothing is left of the process.
func launch(ctx context.Context, cfg Config, node NodeConfig, prog *registry.Program) (*instance, error) {
	if prog.Detach != nil {
		return joinAttached(ctx, cfg, node, prog)
	}
	id, err := pluginv1.NewIdentity()
	if err != nil {
		return nil, err
	}
	proc, err := newProcess(prog, cfg.limits())
	if err != nil {
		return nil, err
	}
	inst := &instance{cfg: cfg, name: prog.Name + "@" + prog.Version, proc: proc, gone: make(chan struct{}), leave: func() {}}
	inst.log = cfg.Logger.With("plugin", inst.name, "node", node.Node)
	inst.out.log, inst.err.log = inst.log, inst.log
	inst.client = plugin.NewClient(inst.clientConfig(id, inst.offerLanes(cfg.environment(node.Workers))))
	inst.logs.Go(func() { copyLog(proc.stderr, inst.log) })
	if err := inst.begin(ctx, node, prog.Binary); err != nil {
		if end := inst.exitStatus(); end != "" {
			err = fmt.Errorf("%w (the process ended: %s)", err, end)
		}
		inst.bury()
		return nil, err
	}
	inst.beginWatch()
	return inst, nil
}

func (inst *instance) clientConfig(id pluginv1.Identity, env []string) *plugin.ClientConfig {
	if !inst.cfg.InsecureSocket {
		env = append(env, pluginv1.HostCertEnv+"="+id.PEM())
	}
	config := &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:          plugin.PluginSet{pluginv1.Service: &grpcPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       &inst.out,
		SyncStderr:       &inst.err,
		StartTimeout:     2 * inst.cfg.StartTimeout, // begin's own comes first, and says what it is
		SkipHostEnv:      true,
		UnixSocketConfig: &plugin.UnixSocketConfig{},
		GRPCDialOptions:  dialOptions(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			inst.proc.cmd.Env = append(env, cmd.Env...)
			return inst.proc, nil
		},
	}
	if !inst.cfg.InsecureSocket {
		config.TLSConfig = id.Host()
	}
	return config
}

// Sizes of the connection, in bytes: large enough that the chunks of a unit never
// wait for a window.
const (
	streamWindow = 2 << 20
	connWindow   = 16 << 20
	ioBuffer     = 128 << 10
)

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxCallSendMsgSize(pluginv1.MaxMessageBytes),
			grpc.ForceCodecV2(pluginv1.Codec{})),
		experimental.WithBufferPool(pluginv1.ReceivePool()),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithWriteBufferSize(ioBuffer), grpc.WithReadBufferSize(ioBuffer),
		grpc.WithDisableRetry(), // a stream that may be retried keeps copies of what it sent
		grpc.WithIdleTimeout(0),
	}
}

// grpcPlugin is the host's half of go-plugin's contract.
type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

var _ plugin.GRPCPlugin = (*grpcPlugin)(nil)

// GRPCServer is never called on the host's side.
func (*grpcPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host is no plugin")
}

// GRPCClient returns a [pluginv1.PluginClient].
func (*grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginv1.NewPluginClient(conn), nil
}

// begin takes the process from its start to being configured, within
// StartTimeout and ctx.
func (inst *instance) begin(ctx context.Context, node NodeConfig, bin Binary) error {
	ctx, cancel := context.WithTimeoutCause(ctx, inst.cfg.StartTimeout,
		fmt.Errorf("not ready within %s of its start", inst.cfg.StartTimeout))
	defer cancel()
	// go-plugin's own waiting cannot be cancelled; the end of the process ends it.
	defer context.AfterFunc(ctx, inst.kill)()
	err := inst.connect()
	if err == nil {
		err = inst.describe(ctx, node, bin)
	}
	if err == nil {
		err = inst.admit(ctx, node)
	}
	if err == nil {
		err = inst.configure(ctx, node)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (inst *instance) connect() error {
	if inst.conn != nil {
		inst.rpc = pluginv1.NewPluginClient(inst.conn)
		return nil
	}
	if _, err := inst.client.Start(); err != nil {
		return fmt.Errorf("handshake: %s", clip(err.Error(), 400))
	}
	protocol, err := inst.client.Client()
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	raw, err := protocol.Dispense(pluginv1.Service)
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	inst.rpc = raw.(pluginv1.PluginClient)
	return nil
}

// describe checks that the program is what its file is called, and takes what the
// node's inputs hand on.
func (inst *instance) describe(ctx context.Context, node NodeConfig, bin Binary) error {
	d, err := inst.rpc.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if d.Name != bin.Name || d.Version != bin.Version {
		return fmt.Errorf("the program calls itself %s", clip(d.Name+"@"+d.Version, 200))
	}
	inst.layouts = layoutsOf(d)
	if !slices.Contains(d.Capabilities, pluginv1.LaneSockets) {
		inst.lanes.Close()
		inst.lanes = nil
	}
	return suits(node.Reads, d.InputContent)
}

// suits checks what a plugin takes, "record" or media types, against what a node
// hands it.
func suits(reads string, takes []string) error {
	records := len(takes) == 0 || slices.Contains(takes, "record")
	switch {
	case reads == "record" && !records:
		return fmt.Errorf("it takes payloads (%s), not records: write reads: payload, and give it a source", clip(strings.Join(takes, ", "), 200))
	case reads == "payload" && (len(takes) == 0 || len(takes) == 1 && records):
		return errors.New("it takes records, not payloads: leave out reads: payload, and put a decoder such as transform: json before it")
	}
	return nil
}

// ConfigError is what a plugin finds wrong with its configuration.
type ConfigError struct {
	Problems []Problem
}

// Problem is one bad place of a plugin's configuration.
type Problem struct {
	Path string // below with:, such as "rules[2].factor"; "": the whole
	Text string
}

// Error names the places in the configuration, one after another.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = strings.TrimSuffix("with."+p.Path, ".") + ": " + p.Text
	}
	return strings.Join(lines, "; ")
}

func (inst *instance) configure(ctx context.Context, node NodeConfig) error {
	with := node.With
	if with == nil {
		with = map[string]any{}
	}
	config, err := json.Marshal(with)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	resp, err := inst.rpc.Configure(ctx, &pluginv1.ConfigureRequest{
		Node: node.Node, Pipeline: node.Pipeline, Config: config, Lanes: uint32(node.Lanes),
	})
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if len(resp.Errors) == 0 {
		return nil
	}
	wrong := &ConfigError{}
	for _, e := range resp.Errors {
		wrong.Problems = append(wrong.Problems, Problem{clip(e.Path, 200), clip(e.Text, 1000)})
	}
	return wrong
}

// giveUp keeps the first reason, and ends the process.
func (inst *instance) giveUp(reason error) {
	inst.mu.Lock()
	if inst.reason == nil {
		inst.reason = reason
		close(inst.gone)
	}
	inst.mu.Unlock()
	inst.kill()
}

// why returns the reason why the instance was given up, nil while it was not.
func (inst *instance) why() error {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	return inst.reason
}

// endGrace is how long the death of a process may take to be seen after its
// connections have broken.
const endGrace = 100 * time.Millisecond

// autopsy gives the instance up because a stream broke with err. If the process
// has died of itself, how it died is the better reason.
func (inst *instance) autopsy(err error) {
	pause := time.NewTimer(endGrace)
	defer pause.Stop()
	select {
	case <-inst.gone:
	case <-inst.proc.done:
		inst.giveUp(fmt.Errorf("the process ended: %s", inst.proc.fate()))
	case <-pause.C:
		inst.giveUp(err)
	}
}

func (inst *instance) kill() {
	_ = inst.proc.Kill(context.Background()) // never fails
}

// exitStatus returns how the process ended, "" if it runs or never did.
func (inst *instance) exitStatus() string {
	pause := time.NewTimer(endGrace)
	defer pause.Stop()
	select {
	case <-inst.proc.done:
	case <-pause.C:
	}
	return inst.proc.fate()
}

// bury ends the process, if it still runs, and frees all that go-plugin holds.
func (inst *instance) bury() {
	inst.leave()
	inst.kill()
	inst.lanes.Close()
	inst.disconnect()
	inst.proc.release()
	inst.logs.Wait()
	closeAll([]*os.File{inst.proc.stdout, inst.proc.stderr})
	inst.out.end()
	inst.err.end()
}

// retire ends the instance in order: the units in hand are answered first.
func (inst *instance) retire(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	defer context.AfterFunc(ctx, inst.kill)()
	inst.leave()
	_, err := inst.rpc.Drain(ctx, &pluginv1.DrainRequest{})
	if err != nil {
		inst.log.Warn("plugin did not drain", "error", err)
		inst.kill()
	}
	inst.disconnect()
	inst.bury()
}

// disconnect asks the process to end, and kills it; one that somebody else has started
// is left alone. It may be called more than once.
func (inst *instance) disconnect() {
	if inst.client != nil {
		inst.client.Kill()
		return
	}
	_ = inst.conn.Close() // says only that it is closed already
}
