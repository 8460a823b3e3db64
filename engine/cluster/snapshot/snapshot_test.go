package snapshot

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/cluster/topology"
)

// TestCookieHash: white space around a cookie does not belong to it. That RabbitMQ
// itself says the same of its cookie is seen live.
func TestCookieHash(t *testing.T) {
	const cookie, hash = "EXPCOOKIEEXPCOOKIE", "8MvBh6k8xJYSjVixU1nZWg=="
	for _, text := range []string{cookie, cookie + "\n", cookie + "\r\n"} {
		if got := CookieHash([]byte(text)); got != hash {
			t.Errorf("%q: %s, want %s", text, got, hash)
		}
	}
}

func TestFactsAreReadFromAFolder(t *testing.T) {
	dir := t.TempDir()
	s := &Snapshot{Topology: &topology.Topology{Nodes: []topology.Node{{Name: "A", Erlang: "rabbit@A"}, {Name: "B", Erlang: "rabbit@B"}, {Name: "C", Erlang: "rabbit@C"}}}, Facts: map[string]*Facts{}}
	const line = `"node=rabbit@A cookie_hash=x partition_handling=pause_minority clock_ms=1 unresolved=['B','c-d']"`
	for _, name := range []string{"A", "B"} {
		if err := os.WriteFile(filepath.Join(dir, name+".facts"), []byte(line+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.ReadFacts(dir)
	if f := s.Facts["A"]; f.Err != nil || f.Partition != "pause_minority" || len(f.Unresolved) != 2 || f.Fresh {
		t.Errorf("%+v", f)
	}
	if f := s.Facts["B"]; f.Err == nil || !strings.Contains(f.Err.Error(), "is from rabbit@A") {
		t.Errorf("facts of another node: %+v", f)
	}
	if f := s.Facts["C"]; f.Err == nil {
		t.Error("facts that are not there")
	}
}

func TestFactsThatCannotBeAsked(t *testing.T) {
	s := &Snapshot{Topology: &topology.Topology{Nodes: []topology.Node{{Name: "A", Erlang: "rabbit@A"}}}, Facts: map[string]*Facts{}}
	s.AskFacts(t.Context(), []string{"/nowhere/rabbitmqctl"})
	if f := s.Facts["A"]; f == nil || f.Err == nil {
		t.Errorf("%+v", f)
	}
}

// TestCertificateIsLookedAt uses a server with a certificate of an authority that
// is trusted, and one that is not.
func TestCertificateIsLookedAt(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	n := topology.Node{Name: "A", Host: u.Hostname(), Ports: topology.Ports{AMQP: port}}
	trust := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(trust, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	top := &topology.Topology{TLS: &topology.TLS{Trust: trust}}
	if c := certificate(t.Context(), top, &n, 10*time.Second); c.Err != nil || !c.Ends.After(time.Now()) {
		t.Errorf("%+v", c)
	}
	top.TLS.Trust = ""
	if c := certificate(t.Context(), top, &n, 10*time.Second); c.Err == nil || c.Ends.IsZero() {
		t.Errorf("trusted by the system: %+v", c)
	}
	n.Host = "localhost" // the certificate is not for that name
	top.TLS.Trust = trust
	if c := certificate(t.Context(), top, &n, 10*time.Second); c.Err == nil {
		t.Errorf("another host: %+v", c)
	}
	top.TLS.Trust = "/nowhere"
	if c := certificate(t.Context(), top, &n, 10*time.Second); c.Err == nil {
		t.Error("a trust file that is not there")
	}
}
