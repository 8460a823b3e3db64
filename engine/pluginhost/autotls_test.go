package pluginhost_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

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

// Hosts of before, and others', leave TLS to go-plugin's AutoMTLS. Plugins that do are in
// TestPluginHostile.
func TestPluginServesAHostWithAutoMTLS(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "pass", "1.0.0")
	stayOpen(t)
	t.Run("plain", func(t *testing.T) { describedTo(t, filepath.Join(dir, "pass@1.0.0"), false) })
	t.Run("multiplexing", func(t *testing.T) { describedTo(t, filepath.Join(dir, "pass@1.0.0"), true) })
}

// describedTo has program describe itself to a host that has go-plugin make its key.
func describedTo(t *testing.T, program string, multiplexing bool) {
	host := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: pluginv1.ProtocolVersion, MagicCookieKey: pluginv1.MagicCookieKey, MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:          plugin.PluginSet{pluginv1.Service: foreign{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              exec.Command(program),
		AutoMTLS:         true, GRPCBrokerMultiplex: multiplexing, Logger: hclog.NewNullLogger(),
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

// TestPluginAsksForMutualTLS: a plugin's certificate is its own and of P-256, and whoever
// has not the host's key gets nothing out of it.
func TestPluginAsksForMutualTLS(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "pass", "1.0.0")
	host, err := pluginv1.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	address, cert := shakeHands(t, filepath.Join(dir, "pass@1.0.0"), host)
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("its key is a %T, not one of P-256", cert.PublicKey)
	}
	stranger, err := pluginv1.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for who, id := range map[string]pluginv1.Identity{"host": host, "stranger": stranger} {
		if err := describeOver(t, address, cert, id); (err == nil) != (who == "host") {
			t.Errorf("the %s is answered with %v", who, err)
		}
	}
}

// shakeHands starts program as a host does and returns its socket and certificate.
func shakeHands(t *testing.T, program string, host pluginv1.Identity) (string, *x509.Certificate) {
	t.Helper()
	fields := startByHand(t, program, pluginv1.HostCertEnv+"="+host.PEM())
	if len(fields) != 6 {
		t.Fatalf("its line is %q", fields)
	}
	der, err := base64.RawStdEncoding.DecodeString(fields[5])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return fields[3], cert
}

// describeOver asks the plugin at address, which has cert, in the name of id.
func describeOver(t *testing.T, address string, cert *x509.Certificate, id pluginv1.Identity) error {
	t.Helper()
	config := id.Host()
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(cert)
	conn, err := grpc.NewClient("unix:"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pluginv1.NewPluginClient(conn).Describe(within(t), &pluginv1.DescribeRequest{})
	return err
}
