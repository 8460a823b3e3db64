package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
)

// Tokens of the tests.
const (
	everything = "everything-is-allowed"
	observer   = "observer-0123456789"
	tapper     = "tapper-0123456789"
	operator   = "operator-0123456789"
)

func access(t *testing.T) httpapi.Access {
	t.Helper()
	tokens, err := httpapi.ParseTokens("# who may ask\n" + everything + "\nobserve " + observer + "; observe,tap " + tapper + "\n operate " + operator + "\n\n")
	if err != nil || len(tokens) != 4 {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	return httpapi.Access{Tokens: tokens, Origins: []string{"https://plant.example"}}
}

// secured serves routes that say whether a tap would be allowed.
func secured(t *testing.T) http.Handler {
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, httpapi.Allowed(r.Context(), httpapi.Tap))
	})
	return handler(t, func(c *httpapi.Config) {
		c.Access, c.Live = access(t), says
		c.Routes["GET /api/v1/dlq/"] = text("letter")
		c.Streams = map[string]http.Handler{"GET /api/v1/tap/{node}": text("event"), "GET /api/v1/live/ws": text("socket")}
	})
}

func TestTokensAndScopes(t *testing.T) {
	h := secured(t)
	for _, c := range []struct {
		token, method, path string
		code                int
	}{
		{"", "GET", "/healthz", 200},
		{"", "GET", "/", 401}, {"", "GET", "/readyz", 401}, {"", "GET", "/api/v1/live", 401}, {"", "POST", "/api/v1/replay", 401},
		{"wrong-0123456789abc", "GET", "/api/v1/live", 401}, {observer[:len(observer)-1], "GET", "/", 401}, {observer + "0", "GET", "/", 401},
		{observer, "GET", "/", 200}, {observer, "GET", "/metrics", 200}, {observer, "GET", "/api/v1/live", 200}, {observer, "GET", "/api/v1/live/ws", 200},
		{observer, "GET", "/api/v1/tap/a", 403}, {observer, "GET", "/api/v1/dlq/export", 403}, {observer, "GET", "/api/v1/dlq/1-2", 403},
		{observer, "GET", "/api/v1/t%61p/a", 403}, {observer, "HEAD", "/api/v1/tap/a", 403}, {observer, "POST", "/api/v1/replay", 403},
		{tapper, "GET", "/api/v1/tap/a", 200}, {tapper, "GET", "/api/v1/dlq/1-2", 200}, {tapper, "POST", "/api/v1/replay", 403},
		{operator, "POST", "/api/v1/replay", 200}, {operator, "GET", "/api/v1/live", 403},
		{everything, "GET", "/api/v1/tap/a", 200}, {everything, "POST", "/api/v1/replay", 200},
	} {
		w := ask(h, c.method, c.path, "Authorization", "Bearer "+c.token, httpapi.Header, "1")
		if w.Code != c.code {
			t.Errorf("%q %s %s: %d %s; want %d", c.token, c.method, c.path, w.Code, w.Body, c.code)
		}
		if told := len(w.Header().Values("WWW-Authenticate")); (w.Code == 401) != (told == 2) {
			t.Errorf("%q %s %s: %d ways to say who one is", c.token, c.method, c.path, told)
		}
	}
	for token, want := range map[string]string{observer: "false", tapper: "true"} {
		if got := ask(h, "GET", "/api/v1/live", "Authorization", "Bearer "+token).Body.String(); got != want {
			t.Errorf("%s: a handler hears that tapping is allowed: %s, want %s", token, got, want)
		}
	}
}

func TestGuessingTokensIsSlow(t *testing.T) {
	h := secured(t)
	codes := map[int]int{}
	for i := range 1000 {
		w := ask(h, "GET", "/api/v1/live", "Authorization", fmt.Sprintf("Bearer guess-%016d", i))
		codes[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Fatal("a refusal without Retry-After")
		}
	}
	if codes[401] < 100 || codes[429] == 0 || codes[401]+codes[429] != 1000 {
		t.Errorf("answers by code: %v", codes)
	}
	if w := ask(h, "GET", "/api/v1/live", "Authorization", "Bearer "+observer); w.Code != 200 {
		t.Errorf("who knows a token is held up, too: %d", w.Code)
	}
}

func TestWhereATokenMayStand(t *testing.T) {
	h := secured(t)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, c := range []struct {
		name, value string
		code        int
	}{
		{"Authorization", "bearer " + observer, 200},
		{"Authorization", basic("anyone", observer), 200},
		{"Authorization", basic(observer, ""), 401},
		{"Authorization", "Basic !", 401},
		{"Authorization", observer, 401},
		{"Sec-Websocket-Protocol", "millrace.v1, bearer." + observer, 200},
		{"Sec-Websocket-Protocol", "bearer.", 401},
		{"Cookie", "token=" + observer, 401},
	} {
		w := ask(h, "GET", "/api/v1/live/ws", "Authorization", "", c.name, c.value)
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.name, c.value, w.Code, c.code)
		}
	}
	if w := ask(h, "GET", "/api/v1/live?token="+observer, "Authorization", ""); w.Code != 401 {
		t.Errorf("in the query, which is logged: %d, want 401", w.Code)
	}
}

func TestOtherOrigins(t *testing.T) {
	h := secured(t)
	const listed = "https://plant.example"
	w := ask(h, "OPTIONS", "/api/v1/live", "Authorization", "", "Origin", listed, "Access-Control-Request-Method", "GET")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != listed || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = ask(h, "GET", "/api/v1/live", "Authorization", "Bearer "+observer, "Origin", listed)
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != listed || w.Header().Get("Access-Control-Allow-Credentials") != "" || w.Header().Get("Vary") != "Origin" {
		t.Errorf("listed origin: %d %v", w.Code, w.Header())
	}
	for name, w := range map[string]int{
		"no token":             ask(h, "GET", "/api/v1/live", "Authorization", "", "Origin", listed).Code - 401,
		"a change, no header":  ask(h, "POST", "/api/v1/replay", "Origin", listed).Code - 403,
		"another port":         ask(h, "GET", "/api/v1/live", "Origin", listed+":444").Code - 403,
		"preflight, elsewhere": ask(h, "OPTIONS", "/", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET").Code - 403,
	} {
		if w != 0 {
			t.Errorf("%s: code is off by %d", name, w)
		}
	}
}

func TestAccessIsChecked(t *testing.T) {
	if _, err := httpapi.New(httpapi.Config{Listen: "localhost:0"}); err != nil {
		t.Errorf("loopback without tokens: %v", err)
	}
	for _, listen := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "10.1.2.3:80", "plant.example:80"} {
		if _, err := httpapi.New(httpapi.Config{Listen: listen}); err == nil || !strings.Contains(err.Error(), "MILLRACE_TOKENS") {
			t.Errorf("%s without tokens: %v", listen, err)
		}
	}
	err := httpapi.Access{CertFile: "a", Origins: []string{"plant.example", "https://a.example/", "*"}}.Check(":80")
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != 5 {
		t.Errorf("%d problems are told, want 5: %v", got, err)
	}
	_, err = httpapi.ParseTokens("observe short\nadmin " + observer + "\na b " + tapper + "\nobserve sp\"ce-0123456789abc")
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != 4 || strings.Contains(err.Error(), observer) {
		t.Errorf("%d problems are told, want 4 and no token: %v", got, err)
	}
}

// TestTLS serves over TLS, streams too, and refuses plain requests.
func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	s, err := httpapi.New(httpapi.Config{Listen: "127.0.0.1:0", Access: httpapi.Access{CertFile: cert, KeyFile: key}, Live: http.HandlerFunc(stream)})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	answer, err := client.Get("https://" + addr.String() + "/api/v1/live")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := http.Get("http://" + addr.String() + "/api/v1/live"); err == nil {
		if _ = plain.Body.Close(); plain.StatusCode != 400 {
			t.Errorf("a plain request is answered with %d", plain.StatusCode)
		}
	}
	cancel()
	if body, _ := io.ReadAll(answer.Body); string(body) != "hello\nbye\n" {
		t.Errorf("the stream was %q", body)
	}
	_ = answer.Body.Close()
	client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := httpapi.New(httpapi.Config{Access: httpapi.Access{CertFile: key, KeyFile: key}}); err == nil {
		t.Error("a key is taken for a certificate")
	}
}

// certificate writes one for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(text)
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", raw), pool
}
