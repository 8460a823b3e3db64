package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// certificate makes one for 127.0.0.1 that signs itself, and writes it to a file.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// terminate takes TLS connections and hands their plain text to a server.
func terminate(t *testing.T, cert tls.Certificate, server string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			secure, err := l.Accept()
			if err != nil {
				return
			}
			plain, err := net.Dial("tcp", server)
			if err != nil {
				_ = secure.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{secure, plain}, {plain, secure}} {
				all.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
					_ = way[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestTLS(t *testing.T) {
	cert, file := certificate(t)
	addr := terminate(t, cert, testserver.Mosquitto(t).Addr())
	open := func(query string) error {
		brokers, err := Parse([]string{"mqtts://u:s3cret@" + addr + "?" + query})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), brokers[0], Options{ClientID: "tls"})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := open("cacertfile=" + url.QueryEscape(file)); err != nil {
		t.Errorf("Open = %v", err)
	}
	for _, query := range []string{"", "cacertfile=/none"} {
		if err := open(query); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Open with %q = %v, want an error without the password", query, err)
		}
	}
}

func TestParse(t *testing.T) {
	brokers, err := Parse([]string{"mqtt://a, mqtts://b", "mqtt://c:99"})
	if err != nil || len(brokers) != 3 || brokers[0].String() != "a:1883" || brokers[1].String() != "b:8883" || brokers[2].String() != "c:99" {
		t.Errorf("Parse = %v, %v", brokers, err)
	}
	for _, bad := range []string{"", "http://u:s3cret@h", "mqtt://", "mqtt://u:s3c%ret@h"} {
		if _, err := Parse([]string{bad}); err == nil || strings.Contains(err.Error(), "s3c") {
			t.Errorf("Parse(%q) = %v", bad, err)
		}
	}
}
