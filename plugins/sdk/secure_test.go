package sdk

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTheHandshakeLineGetsTheCertificate(t *testing.T) {
	for printed, want := range map[string]string{
		"1|1|unix|/tmp/s|grpc|\n":          "1|1|unix|/tmp/s|grpc|Y2VydA\n",
		"hello\n1|1|unix|/tmp/s|grpc|\n":   "hello\n1|1|unix|/tmp/s|grpc|Y2VydA\n",
		"1|1|unix|/tmp/s|grpc|another\n":   "1|1|unix|/tmp/s|grpc|another\n",
		"1|1|unix|/tmp/s|grpc||true\nrest": "1|1|unix|/tmp/s|grpc||true\nrest",
	} {
		var out strings.Builder
		if err := certify(&out, strings.NewReader(printed), []byte("cert")); !errors.Is(err, io.EOF) || out.String() != want {
			t.Errorf("%q became %q, %v; want %q", printed, out.String(), err, want)
		}
	}
}
