// Package httpapi is the engine's HTTP server: health, readiness, metrics, the
// version, the live stream and the page. It decides who may ask (Host and Origin
// checks, a required header on everything that changes something) and hands on to
// the handlers it is given; it knows nothing of pipelines.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// DefaultListen is where the server listens unless it is told otherwise.
const DefaultListen = "127.0.0.1:8080"

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10 // bytes
	drainTimeout  = 5 * time.Second
)

// Reason says why the engine, or one part of it, is not healthy or not ready.
type Reason struct {
	Component string `json:"component"` // such as a node's id
	Reason    string `json:"reason"`    // one line for people
}

// Config is what a server needs. Nil handlers answer 404.
type Config struct {
	Access  Access          // who may ask; beyond loopback, those with a token
	Listen  string          // host:port, default [DefaultListen]; port 0 takes a free one
	Hosts   []string        // further names under which the server may be asked, without port
	Version string          // of the engine
	Health  func() []Reason // none: healthy; nil: always
	Ready   func() []Reason // none: ready; nil: always

	Metrics http.Handler
	Live    http.Handler // /api/v1/live; its requests end when the server stops
	Charts  http.Handler // /api/v1/charts
	Page    fs.FS        // index.html and assets/
	// Routes are further patterns of [http.ServeMux], such as "POST /api/v1/replay".
	Routes map[string]http.Handler
	// Streams are such patterns too; their requests end when the server stops.
	Streams map[string]http.Handler

	Logger *slog.Logger // default: discards
}

// Server answers on one address.
type Server struct {
	cfg     Config
	hosts   map[string]bool
	http    *http.Server
	streams context.Context // ends when the server stops
	stop    context.CancelFunc

	guesses   *rate.Limiter  // of tokens
	streaming sync.WaitGroup // streams being served, also over connections that are not HTTP any more
	listener  net.Listener
	listen    sync.Mutex
}

// New returns an idle server.
func New(cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: expected host:port: %w", cfg.Listen, err)
	}
	if err := cfg.Access.Check(cfg.Listen); err != nil {
		return nil, err
	}
	secure, err := cfg.Access.tls()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, guesses: rate.NewLimiter(guessesPerSecond, guessesAtOnce), hosts: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}}
	for _, name := range append(cfg.Hosts, host) {
		if name != "" {
			s.hosts[canonical(name)] = true
		}
	}
	s.streams, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.guard(s.authorize(s.routes())),
		TLSConfig:         secure,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Handler returns what the server serves, for tests and for other listeners.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Listen takes the address and returns it. Run does so by itself; a caller that
// wants to know the address, or its error, before anything else runs calls it
// first.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	s.listen.Lock()
	defer s.listen.Unlock()
	if s.listener == nil {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
		}
		s.listener = l
	}
	return s.listener.Addr(), nil
}

func (s *Server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// Run serves until ctx ends; then it tells live viewers bye, lets requests in
// flight finish for up to 5 s, and returns nil. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if _, err := s.Listen(ctx); err != nil {
		return err
	}
	failed := make(chan error, 1) // Serve's one result
	go func() { failed <- s.serve() }()
	select {
	case err := <-failed:
		s.stop()
		return fmt.Errorf("http server: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := s.http.Shutdown(last)
	if err != nil {
		err = errors.Join(fmt.Errorf("http server: requests still in flight: %w", err), s.http.Close())
	}
	<-failed
	s.streaming.Wait() // no more begin; each ends within its own write deadline
	return err
}
