package page

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/httpapi"
	nodes "github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/stream/embedded"
)

// deadLetters is an embedded log with its real routes, which scenarios fill, and in place
// of a pipeline a driver that lets them say how much of a replay is still on its way.
type deadLetters struct {
	engine *engine
	log    *stream.Log
	lease  *stream.Lease

	mu      sync.Mutex
	waiting map[string]int64 // guarded by mu; events that are still to be driven, by node
	refusal refusal          // guarded by mu
	changes int              // guarded by mu; requests that change something
	tokens  []httpapi.Token  // guarded by mu; from the next start on
	held    chan struct{}    // guarded by mu; changes wait until it is closed; nil: they do not
	numbers byte             // guarded by mu; of letters so far
}

// refusal is what every route answers instead; the zero value: none.
type refusal struct {
	status int
	text   string
	path   string // only those that begin so
}

// withLetters gives an engine dead letters, and a control address below /letters/.
func withLetters(e *engine) {
	quiet := slog.New(slog.DiscardHandler)
	server, err := embedded.Start(quiet)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(server.Close)
	log, err := stream.Open(e.t.Context(), stream.Config{
		URL: server.URL(), Pipeline: "charts", EngineID: "one", Lanes: 1, Logger: quiet, OnFatal: func(err error) { e.t.Error(err) },
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = log.Close() })
	if err := log.EnsureStreams(e.t.Context(), []string{stream.Journal}); err != nil {
		e.t.Fatal(err)
	}
	lease, err := log.Acquire(e.t.Context(), "source:plant1")
	if err != nil {
		e.t.Fatal(err)
	}
	l := &deadLetters{engine: e, log: log, lease: lease, waiting: map[string]int64{}}
	e.configure, e.more = l.configure, l.control()
	e.topics.states.Store("dlq", l.count)
}

// count is what the topic dlq tells.
func (l *deadLetters) count() (any, error) {
	list, err := dlq.List(l.engine.t.Context(), l.log, dlq.Filter{}, "", 0)
	if err != nil {
		return nil, err
	}
	return map[string]any{"total": list.Total, "reasons": list.Reasons}, nil
}

func (l *deadLetters) configure(c *httpapi.Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Access.Tokens = l.tokens
	c.Routes = map[string]http.Handler{}
	for pattern, h := range dlq.Routes(l.log, l, func() *redact.Rules { return nil }) {
		c.Routes[pattern] = l.watch(h)
	}
}

// watch counts and holds changes, and refuses what is to be refused.
func (l *deadLetters) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refused, held := l.asked(r.Method == http.MethodPost && r.URL.Query().Get("dry_run") != "true")
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		if refused.status != 0 && strings.HasPrefix(r.URL.Path, refused.path) {
			w.WriteHeader(refused.status)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": refused.text})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// asked counts a request; held is nil unless it is a change that has to wait.
func (l *deadLetters) asked(change bool) (refused refusal, held <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !change {
		return l.refusal, nil
	}
	l.changes++
	return l.refusal, l.held
}

// control serves POST /letters/store, /waiting?node=&events=, /refuse?status=&text=&path=,
// /tokens (their text; from the next start on), /hold, /release, and GET /changes.
func (l *deadLetters) control() http.Handler {
	mux := http.NewServeMux()
	for path, do := range map[string]func(*http.Request) error{
		"store": l.store, "waiting": l.wait, "refuse": l.refuse, "tokens": l.allow, "hold": l.hold, "release": l.release,
	} {
		mux.HandleFunc("POST /letters/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	}
	mux.HandleFunc("GET /letters/changes", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprint(w, l.changes)
	})
	return mux
}

// letter is a dead letter as scenarios store it. Ago is ms before now.
type letter struct {
	Node, Class, Code, Text, Key, Plugin, Generation, Payload string
	Bytes                                                     []byte // base64, in place of Payload
	Headers                                                   map[string]string
	Ago, Length                                               int64 // Length: of a content of which the payload is what is left
	Attempt                                                   int
	Strict, Waits                                             bool // Strict: others of its key wait behind it
	Source, Raw                                               bool // Source: its message is in the journal; Raw: Bytes are no event
}

func (l *deadLetters) store(r *http.Request) error {
	var list []letter
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		d, err := l.dead(r.Context(), &list[i])
		if err != nil {
			return err
		}
		if err := l.log.StoreDeadLetters(r.Context(), l.lease, []stream.DeadLetter{d}); err != nil {
			return err
		}
	}
	return nil
}

// dead makes a letter of what a scenario wrote.
func (l *deadLetters) dead(ctx context.Context, in *letter) (stream.DeadLetter, error) {
	l.numbers++
	classes := map[string]nodes.Class{"rejected": nodes.Rejected, "unsure": nodes.Unsure, "away": nodes.Away, "fatal": nodes.Fatal, "": nodes.Rejected}
	d := stream.DeadLetter{
		Node: in.Node, Class: classes[in.Class], Code: in.Code, Text: in.Text, Plugin: in.Plugin, Attempt: max(in.Attempt, 1), Record: -1,
		Generation: in.Generation, TimeMs: time.Now().UnixMilli() - in.Ago, Stream: stream.Journal, Waits: in.Waits, Strict: in.Strict || in.Waits,
		At: event.Position{Epoch: l.log.Epoch(), Ms: uint64(l.numbers), Seq: 1},
	}
	if d.Generation == "" {
		d.Generation = "live"
	}
	if in.Raw {
		d.Raw = in.Bytes
		return d, nil
	}
	d.Event = l.event(in)
	if in.Length > 0 {
		d.Cut = &stream.Cut{Length: in.Length, SHA256: strings.Repeat("0123456789abcdef", 4)}
	}
	if !in.Source {
		return d, nil
	}
	f := event.Frame{Events: []*event.Event{d.Event}}
	frame, err := f.Encode(nil, event.None)
	if err != nil {
		return d, err
	}
	d.Event.Root, err = l.log.Append(ctx, l.lease, stream.AppendRequest{Stream: stream.Journal, Frame: frame, Events: 1})
	return d, err
}

func (l *deadLetters) event(in *letter) *event.Event {
	e := &event.Event{
		ID: event.ID{15: l.numbers}, RootID: "message-" + strconv.Itoa(int(l.numbers)), Key: in.Key, Time: time.Now().UnixMilli() - in.Ago,
		Payload: []byte(in.Payload), ContentType: "application/json",
		Source: event.Source{Node: "plant1", Exchange: "plant", RoutingKey: "readings." + in.Key, Queue: "master.plant1", MessageID: "m-" + strconv.Itoa(int(l.numbers)), Redelivered: true},
	}
	if in.Bytes != nil {
		e.Payload, e.ContentType = in.Bytes, "application/octet-stream"
	}
	for name, value := range in.Headers {
		e.Headers = append(e.Headers, event.Header{Name: name, Value: event.String(value)})
	}
	return e
}

func (l *deadLetters) wait(r *http.Request) error {
	events, err := strconv.ParseInt(r.URL.Query().Get("events"), 10, 64)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[r.URL.Query().Get("node")] = events
	return err
}

func (l *deadLetters) refuse(r *http.Request) error {
	q := r.URL.Query()
	status, err := strconv.Atoi(q.Get("status"))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = refusal{status, q.Get("text"), q.Get("path")}
	return err
}

func (l *deadLetters) allow(r *http.Request) error {
	tokens, err := httpapi.ParseTokens(r.URL.Query().Get("text"))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = tokens
	return err
}

func (l *deadLetters) hold(*http.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
	return nil
}

func (l *deadLetters) release(*http.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held)
	l.held = nil
	return nil
}

// Knows implements [dlq.Driver].
func (l *deadLetters) Knows(id string) bool { return id != "removed" }

// Entries implements [dlq.Driver].
func (l *deadLetters) Entries(string, string) []string { return []string{"decode"} }

// Prepare implements [dlq.Driver].
func (l *deadLetters) Prepare(ctx context.Context, id string) error {
	return l.log.EnsureStreams(ctx, []string{plan.StreamOf(id, plan.Redriven)})
}

// Drive implements [dlq.Driver].
func (l *deadLetters) Drive(string) {}

// Follow implements [dlq.Driver].
func (l *deadLetters) Follow() {}

// Lag implements [dlq.Driver].
func (l *deadLetters) Lag(_ context.Context, id string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[id], nil
}
