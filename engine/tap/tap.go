// Package tap shows the events that one node hands on, while the pipeline runs: the
// past of a stream, then what comes, filtered by an expression, as JSON lines. It
// stands beside an event's way and only reads the log: it holds no lease and keeps
// no position, and a client that reads slowly loses its tap and holds nothing up.
package tap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
)

// Log is what a tap needs of the log; [stream.Log] is one. Its methods are called
// concurrently.
type Log interface {
	// Epoch names this log.
	Epoch() uint64

	// Lanes is the number of lanes of every stream.
	Lanes() int

	// Head returns the place of the lane's newest entry, the zero place of this epoch
	// if there never was one.
	Head(ctx context.Context, stream string, lane int) (event.Position, error)

	// ReadFrames returns up to maxFrames entries behind after, oldest first. If there
	// is none it waits up to block and then returns none.
	ReadFrames(ctx context.Context, stream string, lane int, after event.Position, maxFrames int, block time.Duration) ([]stream.Entry, error)
}

// Header tells in an answer's header in words which streams are shown.
const Header = "X-Millrace-Tap"

// MaxTaps is how many clients may tap at once.
const MaxTaps = 8

// Config is what taps need.
type Config struct {
	Log          Log
	Plan         *plan.Plan    // whose nodes may be tapped at first, see [Taps.Use]
	WriteTimeout time.Duration // a client that takes nothing for so long is cut off; default 10 s
	Logger       *slog.Logger  // default: discards

	Redact func() *redact.Rules // what is hidden of events now; nil: nothing
}

// Taps serves GET /api/v1/tap/{node}. It may be used from any goroutine.
type Taps struct {
	cfg  Config
	plan atomic.Pointer[plan.Plan]
	free chan struct{} // capacity MaxTaps: one token for each tap that is open
}

var _ http.Handler = (*Taps)(nil)

// New returns taps of a plan's nodes. It starts nothing.
func New(cfg Config) *Taps {
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Redact == nil {
		cfg.Redact = func() *redact.Rules { return nil }
	}
	t := &Taps{cfg: cfg, free: make(chan struct{}, MaxTaps)}
	t.Use(cfg.Plan)
	return t
}

// Use says whose nodes may be tapped from now on. Taps that are open stay.
func (t *Taps) Use(p *plan.Plan) { t.plan.Store(p) }

// ServeHTTP answers with JSON lines, each an [Event] or, seldom, a [Notice]; a last
// line with only an "error" says why the tap ended before its time. It returns when
// all that was asked for is written, the client is gone or takes nothing, or the
// request's context ends. The place {node} of its pattern names the node.
func (t *Taps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	view, err := ViewOf(t.plan.Load(), r.PathValue("node"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	q, err := parse(r.URL.Query(), time.Now(), view)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	select {
	case t.free <- struct{}{}:
		defer func() { <-t.free }()
	default:
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d taps are open, more are not allowed", MaxTaps))
		return
	}
	lanes, err := open(r.Context(), t.cfg.Log, view, q)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	t.answer(w, r, view, q, lanes)
}

func (t *Taps) answer(w http.ResponseWriter, r *http.Request, view View, q query, lanes *merge) {
	head := w.Header()
	head.Set("Content-Type", "application/x-ndjson")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	head.Set(Header, view.String())
	if r.Method == http.MethodHead {
		return
	}
	s := &session{query: q, lanes: lanes, rules: t.cfg.Redact, out: newClient(w, t.cfg.WriteTimeout)}
	if err := s.run(r.Context()); errors.Is(err, os.ErrDeadlineExceeded) {
		t.cfg.Logger.Info("tap cut off: its client took nothing", "for", t.cfg.WriteTimeout, "node", view.Node, "client", r.RemoteAddr)
	}
}

func refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()}) // the asker may be gone
}
