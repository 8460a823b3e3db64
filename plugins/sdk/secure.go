package sdk

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// secure makes config serve the host, whose certificate is host, over TLS of the SDK's
// own instead of go-plugin's AutoMTLS: the same on the wire, with a key that takes no
// time and with fewer calls of the kernel. It must be the last step before
// [plugin.Serve]; an error leaves config as it is.
func secure(config *plugin.ServeConfig, host string) error {
	identity, err := pluginv1.NewIdentity()
	if err != nil {
		return err
	}
	conf, err := identity.Plugin(host)
	if err != nil {
		return err
	}
	if err := announce(identity.DER()); err != nil {
		return err
	}
	config.TLSProvider = func() (*tls.Config, error) { return conf, nil }
	config.GRPCServer = func(opts []grpc.ServerOption) *grpc.Server {
		return newGRPCServer(append(opts, grpc.Creds(pluginv1.BurstTLS(conf.Clone))))
	}
	return nil
}

// announce sees to it that the handshake line, the next that is printed, carries the
// certificate: go-plugin puts none into it but its own. [plugin.Serve] gives standard
// output another place right after that line.
func announce(der []byte) error {
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	stdout := os.Stdout
	os.Stdout = out
	go func() { _ = certify(stdout, in, der) }() // until the process ends; a host that is gone ends it
	return nil
}

// certify copies from in to out and appends the certificate to the line that ends with
// an empty place for it.
func certify(out io.Writer, in io.Reader, der []byte) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if open, ok := bytes.CutSuffix(line, []byte("|grpc|\n")); ok {
			line = fmt.Appendf(nil, "%s|grpc|%s\n", open, base64.RawStdEncoding.EncodeToString(der))
		}
		if _, werr := out.Write(line); err != nil || werr != nil {
			return errors.Join(err, werr)
		}
	}
}
