package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/millrace/millrace/engine/pluginhost/registry"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// AttachEnv names the environment variable that [ParseAttach] reads.
const AttachEnv = pluginv1.AttachEnv

// patience is the deadline of everything that an attached plugin does: somebody may be
// looking at it in a debugger.
const patience = 24 * time.Hour

// ParseAttach reads NAME=SOCKET,NAME=SOCKET: plugins that run already, under a debugger
// for instance, and where each listens. An empty text names none.
func ParseAttach(text string) (map[string]string, error) {
	sockets := map[string]string{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, socket, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || socket == "" || !registry.ValidName(name) {
			return nil, fmt.Errorf("%s: %q is not NAME=SOCKET", AttachEnv, part)
		}
		sockets[name] = socket
	}
	return sockets, nil
}

// attach returns the plugin that ref names if it runs already; nil if it does not.
func (h *Host) attach(ctx context.Context, node, ref string) (*registry.Program, error) {
	if len(h.cfg.Attach) == 0 {
		return nil, nil
	}
	name, constraint, err := parseRef(ref)
	socket := h.cfg.Attach[name]
	if err != nil || socket == "" {
		return nil, err
	}
	version, err := describeAt(ctx, name, socket)
	if err == nil && !constraint.Check(version) {
		err = fmt.Errorf("it is version %s, which %q does not allow", version, ref)
	}
	if err == nil {
		err = h.reserve(name, node)
	}
	if err != nil {
		return nil, fmt.Errorf("plugin %q, attached at %s: %w", name, socket, err)
	}
	h.cfg.Logger.Warn("plugin is attached, not started: no deadlines, no limits, its hash is not known",
		"plugin", name, "version", version.Original(), "node", node, "socket", socket)
	return &registry.Program{
		Binary: Binary{Name: name, Version: version.Original(), Path: socket, Hash: "attached"},
		Detach: func() { h.release(name) },
	}, nil
}

// describeAt asks the process at socket for its version.
func describeAt(ctx context.Context, name, socket string) (*semver.Version, error) {
	conn, err := dial(socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	d, err := pluginv1.NewPluginClient(conn).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	if d.Name != name {
		return nil, fmt.Errorf("the process calls itself %q", clip(d.Name, 100))
	}
	return semver.StrictNewVersion(d.Version)
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///plugin", append(dialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}))...)
}

func (h *Host) reserve(name, node string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if by, taken := h.attached[name]; taken {
		return fmt.Errorf("it works for node %q; a process serves one node", by)
	}
	if h.attached == nil {
		h.attached = map[string]string{}
	}
	h.attached[name] = node
	return nil
}

func (h *Host) release(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.attached, name)
}

var errDetached = errors.New("the connection was given up; the process is not ours to end")

// attachedProcess stands for a process that somebody else has started: to end it is to
// leave it alone.
func attachedProcess() *process {
	p := &process{attached: true, done: make(chan struct{})}
	p.once.Do(func() {}) // it is never started here
	return p
}

// joinAttached is [launch] for a plugin that runs already.
func joinAttached(ctx context.Context, cfg Config, node NodeConfig, prog *registry.Program) (*instance, error) {
	conn, err := dial(prog.Path)
	if err != nil {
		return nil, err
	}
	inst := &instance{cfg: cfg, name: prog.Name + "@" + prog.Version, proc: attachedProcess(), conn: conn, gone: make(chan struct{}), leave: func() {}}
	inst.log = cfg.Logger.With("plugin", inst.name, "node", node.Node)
	if err := inst.begin(ctx, node, prog.Binary); err != nil {
		inst.bury()
		return nil, err
	}
	inst.beginWatch()
	return inst, nil
}
