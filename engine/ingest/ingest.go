// Package ingest brings a source's messages into the journal: it gives each
// message its identity, cuts frames by lane, appends them, and only then lets the
// source acknowledge. It stands between a source and the journal, keeps at most
// one append in flight per lane, and never decodes a payload beyond what the
// identity expression asks for.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// Log is what ingest needs of the journal, under the lease of its source.
type Log interface {
	// Append stores one frame and returns once it is as durable as the pipeline
	// asks. See [stream.Log.Append] for its errors.
	Append(ctx context.Context, r stream.AppendRequest) (event.Position, error)
	// StoreDeadLetters stores letters that are not there yet.
	StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error
}

// Identify returns a message's identity as text and whether it has one; an error
// means that the message is malformed.
type Identify func(m *node.Message) (id string, ok bool, err error)

// Observer hears what ingest did. Calls come from several goroutines.
type Observer interface {
	// Ingested says that events of the source were stored, and how many bytes.
	Ingested(source string, events, bytes int, took time.Duration)
	// Repeated says that messages were left out because they are stored already.
	Repeated(source string, events int)
	// Unidentified says that messages have no identity.
	Unidentified(source string, events int)
	// Held says why the source stands still; a nil reason ends it.
	Held(stage, stream string, lane int, reason error)
	// DeadLettered says that malformed messages were kept as dead letters.
	DeadLettered(node string, class node.Class, events int)
}

// Config describes the ingest of one source.
type Config struct {
	Pipeline    string
	Node        string // source node id
	Source      node.Source
	Log         Log
	Lanes       int
	Incarnation uint64 // names messages without identity
	Identify    Identify
	Key         func(m *node.Message, ev *event.Event) (string, error) // nil: queue and routing key
	Compression event.Compression
	FrameEvents int            // most events of a frame; default 1024
	FrameBytes  int            // most bytes of a frame before compression; default 1 MiB
	Rest        lifecycle.Rest // of a lane before its next append; default: none
	Limits      Limits
	Observer    Observer
	Logger      *slog.Logger
}

// Limits bound one message, in bytes; 0 is no limit. What is above them is a dead
// letter, so that one monster neither stops its queue nor takes the log's room.
type Limits struct {
	Message, Headers, Identity, Key int
}

// refusal is why a message is a dead letter.
type refusal struct {
	code string
	error
}

func above(code, what string, size, limit int) error {
	if limit == 0 || size <= limit {
		return nil
	}
	return refusal{code, fmt.Errorf("the message's %s has %d bytes, the limit is %d (limits: in the pipeline file)", what, size, limit)}
}

// message checks what a message is before anything looks into it.
func (l Limits) message(m *node.Message) error {
	if err := above("message_too_large", "body", len(m.Body), l.Message); err != nil {
		return err
	}
	headers := 0
	for i := range m.Headers {
		headers += m.Headers[i].Size()
	}
	return above("headers_too_large", "headers", headers, l.Headers)
}

// Ingest runs one source. Create it with [New].
type Ingest struct {
	Config
	keys keyCache
}

// New checks c and fills in its defaults; it starts nothing.
func New(c Config) (*Ingest, error) {
	if c.Source == nil || c.Log == nil || c.Lanes < 1 || c.Observer == nil || c.Logger == nil {
		return nil, fmt.Errorf("ingest %q: source, log, lanes, observer and logger are needed", c.Node)
	}
	if c.Identify == nil {
		c.Identify = func(*node.Message) (string, bool, error) { return "", false, nil }
	}
	c.FrameEvents = cmpOr(c.FrameEvents, 1024)
	c.FrameBytes = cmpOr(c.FrameBytes, 1<<20)
	return &Ingest{Config: c, keys: keyCache{}}, nil
}

func cmpOr(v, fallback int) int {
	if v == 0 {
		return fallback
	}
	return v
}

// Pauses between looks whether a full log has room, and between tries at a log
// that is away.
const (
	fullPause     = time.Second
	awayFirst     = 50 * time.Millisecond
	awayLongest   = 5 * time.Second
	drainTime     = 5 * time.Second // for appends already begun when the session ends
	laneQueueSize = 64              // chunks that wait for a lane's append in flight
)

// Run ingests until ctx ends or going on would do harm. When the log is full it
// gives unacknowledged messages back to the source and waits for room. When Run
// returns, everything appended has been offered to the source as acknowledged,
// what was received and not appended has been given back, and nothing that it
// started is left. The source stays open and consumes no more: another engine may
// take its queue, and a later Run begins with what was given back.
func (in *Ingest) Run(ctx context.Context) error {
	err := in.run(ctx)
	if serr := in.Source.Suspend(context.WithoutCancel(ctx)); serr != nil {
		err = errors.Join(err, fmt.Errorf("source %q: suspend: %w", in.Node, serr))
	}
	return err
}

func (in *Ingest) run(ctx context.Context) error {
	for {
		err := in.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, stream.ErrFull) {
			return fmt.Errorf("source %q: %w", in.Node, err)
		}
		in.Observer.Held(in.Node, stream.Journal, -1, err)
		in.Logger.Warn("log is full, source suspended", "source", in.Node)
		if err := in.Source.Suspend(ctx); err != nil {
			return fmt.Errorf("source %q: suspend: %w", in.Node, err)
		}
		if !lifecycle.Sleep(ctx, fullPause) {
			return nil
		}
		in.Observer.Held(in.Node, stream.Journal, -1, nil)
	}
}

// session receives and appends until an error or ctx ends it. What was received
// and not appended by then is dropped here and still unacknowledged at the source.
func (in *Ingest) session(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	work, done := lifecycle.Drainable(ctx, drainTime)
	defer done()
	acks := &ackQueue{ack: in.Source.Ack}
	lanes := make([]*lane, in.Lanes)
	for i := range lanes {
		lanes[i] = newLane(in, i, acks)
		g.Go(func() error { return lanes[i].run(work) })
	}
	g.Go(func() error {
		defer closeAll(lanes)
		return in.receive(ctx, lanes, acks)
	})
	return g.Wait()
}

func closeAll(lanes []*lane) {
	for _, l := range lanes {
		close(l.chunks)
	}
}

// receive hands each batch of messages to the lanes, in order.
func (in *Ingest) receive(ctx context.Context, lanes []*lane, acks *ackQueue) error {
	for {
		messages, err := in.Source.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := in.dispatch(ctx, messages, lanes, acks); err != nil {
			return err
		}
	}
}

// dispatch cuts one batch by lane. The batch is acknowledged when every lane has
// stored its part, and all earlier batches are stored too.
func (in *Ingest) dispatch(ctx context.Context, messages []node.Message, lanes []*lane, acks *ackQueue) error {
	parts := make([]chunk, len(lanes))
	events := make([]event.Event, len(messages))
	now := time.Now().UnixMilli()
	unidentified := 0
	for i := range messages {
		m := &messages[i]
		identity, ok, err := in.root(&events[i], m, now)
		if err != nil {
			if err := in.malformed(ctx, m, now, err); err != nil {
				return err
			}
			continue
		}
		if !ok {
			unidentified++
		}
		part := &parts[stream.LaneOf(events[i].Key, len(lanes))]
		part.add(&events[i], identity, ok)
	}
	if unidentified > 0 {
		in.Observer.Unidentified(in.Node, unidentified)
	}
	return hand(ctx, parts, lanes, acks.open(messages[len(messages)-1].Seq, parts), acks)
}

// root makes ev the source event of m and returns m's identity, and whether it has
// one of its own. An error means that m is a dead letter.
func (in *Ingest) root(ev *event.Event, m *node.Message, now int64) (identity event.Identity, ok bool, err error) {
	if err := in.Limits.message(m); err != nil {
		return identity, false, err
	}
	id, ok, err := in.Identify(m)
	if err == nil {
		err = above("identity_too_long", "identity", len(id), in.Limits.Identity)
	}
	if err != nil {
		return identity, false, err
	}
	if !ok {
		id = fmt.Sprintf("~%d-%d", in.Incarnation, m.Seq)
	}
	identity = in.fill(ev, m, id, now)
	if ev.Key, err = in.key(m, ev); err == nil {
		err = above("key_too_long", "key", len(ev.Key), in.Limits.Key)
	}
	return identity, ok, err
}

// hand passes the parts of one batch to their lanes.
func hand(ctx context.Context, parts []chunk, lanes []*lane, b *batch, acks *ackQueue) error {
	for i := range parts {
		if len(parts[i].events) == 0 {
			continue
		}
		parts[i].batch = b
		select {
		case lanes[i].chunks <- parts[i]:
		case <-ctx.Done():
			return nil
		}
	}
	return acks.settle() // a batch of dead letters only is stored already
}

// fill makes ev the source event of m.
func (in *Ingest) fill(ev *event.Event, m *node.Message, id string, now int64) event.Identity {
	identity := event.NewIdentity(in.Pipeline, in.Node, id)
	var ms int64
	if !m.Timestamp.IsZero() {
		ms = m.Timestamp.UnixMilli()
	}
	*ev = event.Event{
		ID: event.RootID(identity, ms), RootID: id, Time: ms, Headers: m.Headers, Payload: m.Body, ContentType: m.ContentType, Ingested: now,
		Source: event.Source{
			Node: in.Node, Exchange: m.Exchange, RoutingKey: m.RoutingKey, Queue: m.Queue, MessageID: m.MessageID, Redelivered: m.Redelivered,
		},
	}
	if ev.Payload == nil {
		ev.Payload = []byte{}
	}
	return identity
}

func (in *Ingest) key(m *node.Message, ev *event.Event) (string, error) {
	if in.Key != nil {
		return in.Key(m, ev)
	}
	return in.keys.of(m.Queue, m.RoutingKey), nil
}

// malformed keeps m as a dead letter before it is acknowledged with its batch.
func (in *Ingest) malformed(ctx context.Context, m *node.Message, now int64, cause error) error {
	var ev event.Event
	in.fill(&ev, m, fmt.Sprintf("~%d-%d", in.Incarnation, m.Seq), now)
	code := "malformed"
	if r, ok := errors.AsType[refusal](cause); ok {
		code = r.code
	}
	letter := stream.DeadLetter{
		Event: &ev, Node: in.Node, Generation: "live", Record: -1, Class: node.Rejected, Code: code, Text: cause.Error(),
		Attempt: 1, TimeMs: now, Stream: stream.Journal,
	}
	in.Observer.DeadLettered(in.Node, node.Rejected, 1)
	return in.patiently(ctx, func() error { return in.Log.StoreDeadLetters(ctx, []stream.DeadLetter{letter}) })
}

// patiently calls f until it does anything else than meet a server that is away.
func (in *Ingest) patiently(ctx context.Context, f func() error) error {
	pause := awayFirst
	for {
		err := f()
		if err == nil || node.ClassOf(err) != node.Away || errors.Is(err, stream.ErrFull) {
			if pause > awayFirst {
				in.Observer.Held(in.Node, stream.Journal, -1, nil)
			}
			return err
		}
		in.Observer.Held(in.Node, stream.Journal, -1, err)
		if !lifecycle.Sleep(ctx, pause) {
			return ctx.Err()
		}
		pause = min(2*pause, awayLongest)
	}
}

// keyCache spares making the same default key for every message. It is used by
// the receiving goroutine only and forgets everything when it has grown large.
type keyCache map[[2]string]string

const maxCachedKeys = 4096

func (c keyCache) of(queue, routingKey string) string {
	k, ok := c[[2]string{queue, routingKey}]
	if !ok {
		if len(c) >= maxCachedKeys {
			clear(c)
		}
		k = queue + "/" + routingKey
		c[[2]string{queue, routingKey}] = k
	}
	return k
}
