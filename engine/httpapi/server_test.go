package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func handler(t *testing.T, change ...func(*httpapi.Config)) http.Handler {
	t.Helper()
	cfg := httpapi.Config{
		Version: "1.2.3", Metrics: text("metrics"), Live: text("live"), Charts: text("charts"),
		Page: fstest.MapFS{
			"index.html":      {Data: []byte("<!doctype html>page")},
			"assets/a-123.js": {Data: []byte("js")},
		},
		Routes: map[string]http.Handler{"POST /api/v1/replay": text("replayed")},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := httpapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

// ask sends one request; headers are name, value, ...; the name Host is the host.
func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost:8080"
	r.Header.Set("Authorization", "Bearer "+everything) // which is not looked at without tokens
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	h := handler(t)
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/healthz", 200, `{"healthy":true,"reasons":[]}`},
		{"/readyz", 200, `{"ready":true,"reasons":[]}`},
		{"/version", 200, `"version":"1.2.3"`},
		{"/metrics", 200, "metrics"},
		{"/api/v1/live", 200, "live"},
		{"/api/v1/charts", 200, "charts"},
		{"/api/v1/other", 404, `"error"`},
		{"/", 200, "page"},
		{"/assets/a-123.js", 200, "js"},
		{"/none", 404, ""},
	} {
		w := ask(h, "GET", c.path)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %q; want %d %q", c.path, w.Code, w.Body, c.code, c.want)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self'"} {
			if got := w.Header().Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", c.path, name, got)
			}
		}
	}
	if got := ask(h, "GET", "/assets/a-123.js").Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("assets: Cache-Control %q", got)
	}
	if got := ask(h, "GET", "/").Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("page: Cache-Control %q", got)
	}
}

func TestReasonsMakeItNotReady(t *testing.T) {
	h := handler(t, func(c *httpapi.Config) {
		c.Ready = func() []httpapi.Reason { return []httpapi.Reason{{Component: "rows", Reason: "database is away"}} }
	})
	w := ask(h, "GET", "/readyz")
	var got struct {
		Ready   bool
		Reasons []httpapi.Reason
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 503 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got.Ready || len(got.Reasons) != 1 || got.Reasons[0].Component != "rows" {
		t.Errorf("readyz says %+v", got)
	}
	if w := ask(h, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("not ready is not ill: healthz %d", w.Code)
	}
}

func TestGuard(t *testing.T) {
	h := handler(t, func(c *httpapi.Config) {
		c.Listen, c.Hosts, c.Access = "10.1.2.3:80", []string{"Plant.example"}, access(t)
	})
	for _, c := range []struct {
		name, method, path string
		headers            []string
		code               int
	}{
		{"loopback name", "GET", "/version", []string{"Host", "localhost:9000"}, 200},
		{"loopback address", "GET", "/version", []string{"Host", "127.0.0.1"}, 200},
		{"loopback IPv6", "GET", "/version", []string{"Host", "[::1]:8080"}, 200},
		{"listen host", "GET", "/version", []string{"Host", "10.1.2.3"}, 200},
		{"configured host", "GET", "/version", []string{"Host", "plant.EXAMPLE:80"}, 200},
		{"foreign host", "GET", "/version", []string{"Host", "evil.example"}, 403},
		{"foreign address", "GET", "/version", []string{"Host", "10.1.2.4"}, 403},
		{"no host", "GET", "/version", []string{"Host", ""}, 403},
		{"loopback name as a suffix", "GET", "/version", []string{"Host", "localhost.evil.example"}, 403},
		{"same origin", "GET", "/version", []string{"Origin", "http://localhost:8080"}, 200},
		{"other port is another origin", "GET", "/version", []string{"Origin", "http://localhost:9090"}, 403},
		{"foreign origin", "GET", "/api/v1/live", []string{"Origin", "http://evil.example"}, 403},
		{"null origin", "GET", "/version", []string{"Origin", "null"}, 403},
		{"file origin", "GET", "/version", []string{"Origin", "file://localhost:8080"}, 403},
		{"a change without the header", "POST", "/api/v1/replay", nil, 403},
		{"a change with the header", "POST", "/api/v1/replay", []string{httpapi.Header, "1"}, 200},
		{"a change of another origin", "POST", "/api/v1/replay", []string{httpapi.Header, "1", "Origin", "http://evil.example"}, 403},
		{"preflight", "OPTIONS", "/api/v1/replay", []string{"Origin", "http://evil.example"}, 403},
		{"a change where none is", "POST", "/version", []string{httpapi.Header, "1"}, 405},
	} {
		if w := ask(h, c.method, c.path, c.headers...); w.Code != c.code {
			t.Errorf("%s: %d %s; want %d", c.name, w.Code, w.Body, c.code)
		}
	}
}

func TestNewRefusesBadAddress(t *testing.T) {
	if _, err := httpapi.New(httpapi.Config{Listen: "8080"}); err == nil {
		t.Error("an address without a port's colon is taken")
	}
}

func TestListenReportsATakenAddress(t *testing.T) {
	first, _ := httpapi.New(httpapi.Config{Listen: "127.0.0.1:0"})
	ctx, cancel := context.WithCancel(t.Context())
	addr, err := first.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- first.Run(ctx) }()
	second, _ := httpapi.New(httpapi.Config{Listen: addr.String()})
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), addr.String()) {
		t.Errorf("Run on a taken address = %v; want its name", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// stream writes one line and then waits for its request to end.
func stream(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "hello\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	_, _ = io.WriteString(w, "bye\n")
}

func TestStopLetsStreamsSayBye(t *testing.T) {
	for path, cfg := range map[string]httpapi.Config{
		"/api/v1/live":  {Live: http.HandlerFunc(stream)},
		"/api/v1/tap/a": {Streams: map[string]http.Handler{"GET /api/v1/tap/{node}": http.HandlerFunc(stream)}},
	} {
		t.Run(path, func(t *testing.T) { stopLetsStreamSayBye(t, cfg, path) })
	}
}

func stopLetsStreamSayBye(t *testing.T, cfg httpapi.Config, path string) {
	cfg.Listen = "127.0.0.1:0"
	s, err := httpapi.New(cfg)
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
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + addr.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Scan()
	cancel()
	lines.Scan()
	if lines.Text() != "bye" {
		t.Errorf("the stream ended with %q, want bye", lines.Text())
	}
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}
