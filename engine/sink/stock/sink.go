// Package stocksink delivers events to other programs through watermill's own
// publishers: RabbitMQ (`sink: amqp` with `driver: stock`) and Redis streams (`sink: redisstream`). It
// stands at the last step of an event's way. Each event becomes one message whose
// id is the event's id; there is no position in the outside system, so a unit that
// is written again after a crash is published again, under the same ids: at least
// once. It is for compatibility with other watermill programs, not for speed.
package stocksink

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
)

// Metadata of a message. Those with this prefix are read back into a message's own
// fields by Millrace's sources; programs that do not know them see plain headers.
const (
	metaContentType = "millrace_content_type"
	metaTimestamp   = "millrace_timestamp" // event time, ms since the Unix epoch
	metaRoot        = "root_id"
	metaKey         = "key"
	metaPlugin      = "plugin"
)

// outlet is where a sink publishes: one server, one stream or exchange.
type outlet struct {
	name string // for people: what is written
	open func(ctx context.Context) (message.Publisher, error)
	// ready reports, before each unit, whether what is published will rest somewhere.
	ready func(p message.Publisher) error
	keep  bool          // an error does not close the publisher: it reconnects by itself
	topic *expr.Program // of each event; nil: fixed
	fixed string
	log   *slog.Logger
}

// Sink is a [node.Sink] over a watermill publisher, which it opens when it is first
// written to, and again after an error if it has other brokers to try. Methods may be called from any goroutine.
type Sink struct {
	out    outlet
	status atomic.Pointer[node.Status]

	mu     sync.Mutex // guards pub and closed
	pub    message.Publisher
	closed bool
}

var _ node.Sink = (*Sink)(nil)

func newSink(out outlet) *Sink {
	if out.log == nil {
		out.log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{out: out}
	s.status.Store(&node.Status{Ready: true})
	return s
}

// Write implements [node.Sink]. An error that is not a reject is [node.Away]; part
// of the unit may have been published then.
func (s *Sink) Write(ctx context.Context, u *node.Unit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	runs, err := s.runs(ctx, u)
	if err != nil {
		return err
	}
	pub, err := s.publisher(ctx)
	if err == nil {
		err = s.publish(pub, runs)
	}
	if err != nil {
		s.reset(pub)
		err = fmt.Errorf("%s: %w", s.out.name, err)
		s.status.Store(&node.Status{Reason: strings.ReplaceAll(err.Error(), "\n", "; ")})
		return node.AsAway(err)
	}
	s.status.Store(&node.Status{Ready: true})
	return nil
}

// run is consecutive messages of one topic.
type run struct {
	topic    string
	messages []*message.Message
}

// runs turns a unit into messages. Events whose topic cannot be computed are
// rejected, all at once.
func (s *Sink) runs(ctx context.Context, u *node.Unit) ([]run, error) {
	var out []run
	var rejects []node.EventReject
	for i, e := range u.Events {
		topic, err := s.topic(e)
		if err != nil {
			rejects = append(rejects, node.EventReject{Index: i, Reject: node.Reject{Record: -1, Code: "bad_expression", Text: err.Error()}})
			continue
		}
		msg := toMessage(e)
		msg.SetContext(ctx)
		if n := len(out); n == 0 || out[n-1].topic != topic {
			out = append(out, run{topic: topic})
		}
		last := &out[len(out)-1]
		last.messages = append(last.messages, msg)
	}
	if len(rejects) > 0 {
		return nil, &node.RejectedError{Rejects: rejects}
	}
	return out, nil
}

func (s *Sink) topic(e *event.Event) (string, error) {
	if s.out.topic == nil {
		return s.out.fixed, nil
	}
	topic, err := s.out.topic.EvalString(e)
	if err == nil && topic == "" {
		err = fmt.Errorf("%s gives nothing", s.out.topic)
	}
	return topic, err
}

func (s *Sink) publish(pub message.Publisher, runs []run) error {
	if s.out.ready != nil {
		if err := s.out.ready(pub); err != nil {
			return err
		}
	}
	for _, r := range runs {
		if err := pub.Publish(r.topic, r.messages...); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

func (s *Sink) publisher(ctx context.Context) (message.Publisher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("sink is closed")
	}
	if s.pub != nil {
		return s.pub, nil
	}
	pub, err := s.out.open(ctx)
	if err != nil {
		return nil, err
	}
	s.pub = pub
	return pub, nil
}

// reset closes a publisher that has failed; the next Write opens another.
func (s *Sink) reset(pub message.Publisher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pub == nil || s.pub != pub || s.out.keep {
		return
	}
	s.pub = nil
	if err := pub.Close(); err != nil {
		s.out.log.Debug("close of publisher", "of", s.out.name, "error", err)
	}
}

// Status implements [node.Sink].
func (s *Sink) Status() node.Status { return *s.status.Load() }

// Close implements [node.Sink].
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	pub := s.pub
	s.pub = nil
	if pub == nil {
		return nil
	}
	return pub.Close()
}

// toMessage turns an event into a message: a record as a JSON object, a payload as
// it is.
func toMessage(e *event.Event) *message.Message {
	body, contentType := e.Payload, e.ContentType
	if e.Record != nil {
		body, contentType = e.Record.AppendJSON(nil), "application/json"
	}
	msg := message.NewMessage(e.ID.String(), body)
	for _, h := range e.Headers {
		msg.Metadata[h.Name] = h.Value.Format()
	}
	set := func(name, value string) {
		if value != "" {
			msg.Metadata[name] = value
		}
	}
	set(metaContentType, contentType)
	set(metaRoot, e.RootID)
	set(metaKey, e.Key)
	set(metaPlugin, e.Plugin)
	if e.Time != 0 {
		set(metaTimestamp, strconv.FormatInt(e.Time, 10))
	}
	return msg
}

func watermillLog(log *slog.Logger) watermill.LoggerAdapter {
	if log == nil {
		return watermill.NopLogger{}
	}
	return watermill.NewSlogLogger(log)
}
