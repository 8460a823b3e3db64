package sdk

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strings"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// certField is the place of the plugin's certificate in go-plugin's handshake line, which
// is fields with "|" between them: its version, ours, network, address, protocol, certificate.
const certField = 5

// introduce makes this process's certificate for the host that has given its own, and sees
// to it that the host gets to know it. go-plugin would do both, with a key on the curve
// P-521, which took half of a plugin's start. nil: the host wants no TLS.
func introduce() (*tls.Config, error) {
	host := os.Getenv(pluginv1.HostCertEnv)
	if host == "" {
		return nil, nil
	}
	id, err := pluginv1.NewIdentity()
	if err != nil {
		return nil, err
	}
	config, err := id.Plugin(host)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	// go-plugin writes its line to what is the standard output now, and then puts another
	// in its place.
	out := os.Stdout
	os.Stdout = w
	go handOn(out, r, id.Field())
	return config, nil
}

// handOn copies lines to out, the first with cert in its place.
func handOn(out io.Writer, in io.Reader, cert string) {
	lines := bufio.NewReader(in)
	line, err := lines.ReadString('\n')
	if err != nil {
		return // there was no handshake
	}
	if _, err := io.WriteString(out, withCert(line, cert)); err != nil {
		return // the host is gone
	}
	_, _ = io.Copy(out, lines) // likewise
}

// withCert puts cert into a handshake line that has a place for one and none in it.
func withCert(line, cert string) string {
	fields := strings.Split(strings.TrimSuffix(line, "\n"), "|")
	if len(fields) > certField && fields[certField] == "" {
		fields[certField] = cert
	}
	return strings.Join(fields, "|") + "\n"
}
