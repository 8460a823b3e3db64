package sdk

import (
	"os"
	"strings"
	"testing"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

func TestCertificateIsPutIntoTheHandshakeLine(t *testing.T) {
	for line, want := range map[string]string{
		"1|1|unix|/tmp/p|grpc|\n":           "1|1|unix|/tmp/p|grpc|CERT\n",
		"1|1|unix|/tmp/p|grpc||true\n":      "1|1|unix|/tmp/p|grpc|CERT|true\n", // of a host that multiplexes
		"1|1|unix|/tmp/p|grpc|OTHER\n":      "1|1|unix|/tmp/p|grpc|OTHER\n",
		"1|1|unix|/tmp/p|grpc\n":            "1|1|unix|/tmp/p|grpc\n", // no place for one
		"something else that was printed\n": "something else that was printed\n",
	} {
		if got := withCert(line, "CERT"); got != want {
			t.Errorf("%q became %q, not %q", line, got, want)
		}
	}
}

// What is written behind the line reaches the host as it is.
func TestHandshakeIsHandedOnWithWhatFollows(t *testing.T) {
	var out strings.Builder
	handOn(&out, strings.NewReader("1|1|unix|/tmp/p|grpc|\nmore\nand no end"), "CERT")
	if got := out.String(); got != "1|1|unix|/tmp/p|grpc|CERT\nmore\nand no end" {
		t.Errorf("the host reads %q", got)
	}
	out.Reset()
	handOn(&out, strings.NewReader("no line"), "CERT")
	if out.Len() > 0 {
		t.Errorf("half a line became %q", out.String())
	}
}

func TestIntroductionNeedsTheHostsCertificate(t *testing.T) {
	before := os.Stdout
	defer func() { os.Stdout = before }()
	t.Setenv(pluginv1.HostCertEnv, "")
	if config, err := introduce(); config != nil || err != nil {
		t.Errorf("a host without TLS gets %v, %v", config, err)
	}
	t.Setenv(pluginv1.HostCertEnv, "no certificate")
	if config, err := introduce(); config != nil || err == nil {
		t.Errorf("a host that cannot be known gets %v, %v", config, err)
	}
	if os.Stdout != before {
		t.Error("the standard output was taken for nothing")
	}
}
