package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/ingest"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

var errCrash = errors.New("crash")

const plantQueue = "master.plant1"

// plant holds the real servers that outlive each life of the engine's parts.
type plant struct {
	t     *testing.T
	amqp  string
	redis *testserver.RedisServer
	dsn   string
	db    *sql.DB
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	maria := testserver.SharedMariaDB(t)
	p := &plant{t: t, amqp: testserver.SharedRabbitMQ(t).VHost(t), redis: testserver.Redis(t), dsn: maria.Database(t)}
	p.db = maria.Open(t, p.dsn)
	return p
}

// life is one incarnation of the parts under test. A crash closes its log: from
// then on nothing of it has an effect outside.
type life struct {
	*plant
	log    *stream.Log
	ctx    context.Context
	cancel context.CancelFunc
}

func (p *plant) live(streams ...string) *life {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	log, err := stream.Open(ctx, stream.Config{
		URL: p.redis.URL(), Pipeline: "order", EngineID: "e", Lanes: 2, Strict: true, LeaseTTL: 2 * time.Second,
	})
	if err == nil {
		err = log.EnsureStreams(ctx, append([]string{stream.Journal}, streams...))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return &life{plant: p, log: log, ctx: ctx, cancel: cancel}
}

// crash ends the life's effects at once.
func (l *life) crash() error {
	l.cancel()
	_ = l.log.Close() // what it says no longer matters
	return errCrash
}

// over ends a life that went well.
func (l *life) over() {
	l.cancel()
	if err := l.log.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *life) lease(name string) *stream.Lease {
	l.t.Helper()
	lease, err := l.log.Acquire(l.ctx, name)
	if err != nil {
		l.t.Fatal(err)
	}
	return lease
}

// underLease is the log under one lease, with a hook before each append.
type underLease struct {
	*life
	lease  *stream.Lease
	before func() error
}

func (u underLease) Append(ctx context.Context, r stream.AppendRequest) (event.Position, error) {
	if u.before != nil {
		if err := u.before(); err != nil {
			return event.Position{}, err
		}
	}
	return u.log.Append(ctx, u.lease, r)
}

func (u underLease) StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error {
	return u.log.StoreDeadLetters(ctx, u.lease, letters)
}

func (u underLease) LoadState(context.Context, string, []string) (map[string][]byte, error) {
	return nil, nil
}

// publish puts n messages into the plant's queue, confirmed.
func (p *plant) publish(n int) {
	p.t.Helper()
	conn, err := amqp091.Dial(p.amqp)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(plantQueue, true, false, false, false, nil)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	for i := range n {
		var c *amqp091.DeferredConfirmation
		if err == nil {
			c, err = ch.PublishWithDeferredConfirm("", plantQueue, true, false, amqp091.Publishing{MessageId: fmt.Sprint(i), Body: []byte("{}")})
		}
		if err == nil && !c.Wait() {
			err = errors.New("publish refused")
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// queueEmpty reports whether the broker has no message that waits to be handed out.
func (p *plant) queueEmpty() bool {
	p.t.Helper()
	conn, err := amqp091.Dial(p.amqp)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		p.t.Fatal(err)
	}
	q, err := ch.QueueDeclarePassive(plantQueue, true, false, false, false, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return q.Messages == 0
}

// ingest runs the plant's queue into the journal until the life ends.
func (l *life) ingest(wrap func(node.Source) node.Source, before func() error) error {
	src, err := amqp.New(amqp.Config{Options: amqp.Options{Connection: "plants", Queue: plantQueue, Prefetch: 20}, URLs: []string{l.amqp}, Name: "order"})
	if err != nil {
		l.t.Fatal(err)
	}
	defer src.Close()
	in, err := ingest.New(ingest.Config{
		Pipeline: "order", Node: "plant1", Source: wrap(src), Lanes: 2, Observer: metrics.New(), Logger: quiet,
		Log:      underLease{l, l.lease("source:plant1"), before},
		Identify: func(m *node.Message) (string, bool, error) { return m.MessageID, true, nil },
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return in.Run(l.ctx)
}

var quiet = slog.New(slog.DiscardHandler)

// stored lists the root ids in a stream, in lane order; some of them if the life
// ends meanwhile.
func (l *life) stored(name string) []string {
	l.t.Helper()
	var ids []string
	for lane := range l.log.Lanes() {
		var at event.Position
		at.Epoch = l.log.Epoch()
		for {
			entries, err := l.log.ReadFrames(l.ctx, name, lane, at, 100, 0)
			if err != nil && l.ctx.Err() == nil {
				l.t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				f, err := event.DecodeFrame(e.Frame)
				if err != nil {
					l.t.Fatal(err)
				}
				for _, ev := range f.Events {
					ids = append(ids, ev.RootID)
				}
				at = e.At
			}
		}
	}
	return ids
}

// tally counts how many of the ids 0..n-1 are missing and how many come again.
func tally(ids []string, n int) (lost, doubled int) {
	count := map[string]int{}
	for _, id := range ids {
		count[id]++
	}
	for i := range n {
		switch c := count[fmt.Sprint(i)]; {
		case c == 0:
			lost++
		case c > 1:
			doubled += c - 1
		}
	}
	return lost, doubled
}

// fill appends n frames of one event each to lane 0 of the journal.
func (l *life) fill(n int) {
	l.t.Helper()
	lease := l.lease("source:filler")
	for i := range n {
		id := event.NewIdentity("order", "plant1", fmt.Sprint(i))
		ev := &event.Event{ID: event.RootID(id, 0), RootID: fmt.Sprint(i), Key: "k", Source: event.Source{Node: "plant1"}}
		ev.Record = &event.Record{Fields: []event.Field{{Name: "n", Value: event.Int(int64(i))}}}
		f := event.Frame{Events: []*event.Event{ev}}
		b, err := f.Encode(nil, event.None)
		if err == nil {
			_, err = l.log.Append(l.ctx, lease, stream.AppendRequest{Stream: stream.Journal, Frame: b, Events: 1})
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// config returns what a stage or sink called id reads: lane 0 of the journal, in
// units of at most five events.
func (l *life) config(id string, start event.Position) (stage.Config, *stream.Lease) {
	l.t.Helper()
	lease := l.lease(id)
	if err := l.log.RegisterReader(l.ctx, id+"@live", stream.Journal, false); err != nil {
		l.t.Fatal(err)
	}
	sub, err := stream.NewLaneSubscriber(stream.SubscriberConfig{
		Log: l.log, Lease: lease, Reader: id + "@live", Stream: stream.Journal, MaxEvents: 5, Start: start,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return stage.Config{
		ID: id, Generation: "live", Observer: metrics.New(), Logger: quiet, Drain: time.Second,
		Readers: []stage.Reader{{Stream: stream.Journal, Topic: stream.TopicOf(stream.Journal, 0), Subscriber: sub}},
	}, lease
}

var fromPlant = []plan.Edge{{Node: "plant1", Stream: stream.Journal}}

// tries of a stage under test: enough, and short.
var tries = stage.RetryPolicy{Max: 3, Initial: time.Millisecond, Cap: 10 * time.Millisecond, Multiplier: 2}

// transform runs a transform stage over the journal into stream "out" until done
// says so, or it crashes.
func (l *life) transform(process func(l *life, lease *stream.Lease, in *node.Batch) error, done func(ids []string) bool) {
	l.t.Helper()
	cfg, lease := l.config("copy", event.Position{})
	t := copier{func(in *node.Batch) error { return process(l, lease, in) }}
	l.until(func() error {
		return stage.RunTransforms(l.ctx, stage.TransformConfig{
			Config: cfg, Lanes: 2, States: underLease{life: l},
			Nodes: []stage.ChainNode{{ID: "copy", Edges: fromPlant, Stream: "out", Transform: t, Retry: tries}},
		})
	}, func() bool { return done(l.stored("out")) })
}

// until runs part until done or the life ends.
func (l *life) until(part func() error, done func() bool) {
	l.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- part() }()
	for l.ctx.Err() == nil && !done() {
		select {
		case <-l.ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	l.cancel()
	<-ended
}

// copier derives one output per event, after the hook.
type copier struct{ hook func(in *node.Batch) error }

func (c copier) Process(_ context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	for i, ev := range in.Events {
		out := ev.Derive("copy", 0, 0)
		out.Record = ev.Record
		results[i].Outputs = []*event.Event{out}
	}
	return results, c.hook(in)
}

func (copier) Close() error { return nil }

const orderTable = "CREATE TABLE rows_ (event_id BINARY(16) NOT NULL PRIMARY KEY, root VARCHAR(64))"

// openSink opens the real SQL sink on table rows_.
func (p *plant) openSink() *sqlsink.Sink {
	p.t.Helper()
	s, err := sqlsink.Open(p.t.Context(), sqlsink.Config{
		DSN: spec.Secret(p.dsn), Pipeline: "order", Generation: "live", Node: "rows", LeaseTTL: 2 * time.Second,
		Options: sqlsink.Options{Connection: "store", Table: "rows_", Columns: []sqlsink.Column{{Name: "root", From: "root_id"}}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// rootsIn lists the roots of a table.
func (p *plant) rootsIn(table string) []string {
	p.t.Helper()
	rows, err := p.db.Query("SELECT root FROM " + table)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			p.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// sink runs s over the journal until done or a crash. A sink with a position of
// its own is started from it, as the engine does.
func (l *life) sink(s node.Sink, letters func(u underLease) stage.DeadLetterStore, done func() bool) {
	l.t.Helper()
	var start event.Position
	if p, ok := s.(node.Positioned); ok {
		var err error
		if start, err = p.Position(l.ctx, stream.Journal, 0, event.Position{Epoch: l.log.Epoch()}); err != nil {
			l.t.Fatal(err)
		}
	}
	cfg, lease := l.config("rows", start)
	if !start.IsZero() {
		if err := l.log.Align(l.ctx, lease, "rows@live", stream.Journal, 0, start); err != nil {
			l.t.Fatal(err)
		}
	}
	l.until(func() error {
		return stage.RunSink(l.ctx, stage.SinkConfig{
			Config: cfg, Sink: s, Edges: fromPlant, Retry: tries, Letters: letters(underLease{life: l, lease: lease}),
		})
	}, done)
}
