package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// foreign is the host's half of the contract in a host that is not ours.
type foreign struct{ plugin.NetRPCUnsupportedPlugin }

func (foreign) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host is no plugin")
}

func (foreign) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginv1.NewPluginClient(conn), nil
}

// stayOpen gives this process a standard input that does not end, which go-plugin
// hands on: plugins end with theirs.
func stayOpen(t *testing.T) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = in
	t.Cleanup(func() { os.Stdin = before; _, _ = in.Close(), out.Close() })
}

// Hosts of before leave TLS to go-plugin's AutoMTLS. Plugins that do are in
// TestPluginHostile.
func TestPluginServesAHostWithAutoMTLS(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "pass", "1.0.0")
	stayOpen(t)
	host := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: pluginv1.ProtocolVersion, MagicCookieKey: pluginv1.MagicCookieKey, MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:          plugin.PluginSet{pluginv1.Service: foreign{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              exec.Command(filepath.Join(dir, "pass@1.0.0")),
		AutoMTLS:         true, Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(host.Kill)
	protocol, err := host.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense(pluginv1.Service)
	if err != nil {
		t.Fatal(err)
	}
	d, err := raw.(pluginv1.PluginClient).Describe(within(t), &pluginv1.DescribeRequest{})
	if err != nil || d.Name != "pass" {
		t.Fatalf("it calls itself %q, %v", d.GetName(), err)
	}
}
