// Package mqttsink publishes events to an MQTT 5 broker with QoS 1, at the end of an
// event's way. A unit is written when the broker has acknowledged each of its
// messages. A broker keeps no position for us: a unit that was under way when the
// engine ended is published again, under the same ids, at least once. While the
// engine lives the sink knows what of a unit was acknowledged and does not publish
// that again.
package mqttsink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/health"
	"github.com/millrace/millrace/engine/sink/taken"
	"github.com/millrace/millrace/engine/source/mqtt/link"
)

// ErrClosed is wrapped by errors of a closed sink.
var ErrClosed = errors.New("sink is closed")

// What the status topic says.
const (
	online  = "online"
	offline = "offline"
)

// Config is everything that a sink needs.
type Config struct {
	Options
	URLs []string // of the brokers, tried in turn; an entry may hold several, separated by commas
	Name string   // begins the client's id
	Log  *slog.Logger
}

// Sink is a [node.Sink]. It connects when it is first written to, and again, to the
// next broker of its list, when the connection is gone; the pause between attempts is
// the caller's. Methods may be called from any goroutine.
type Sink struct {
	cfg     Config
	topic   *expr.Program
	brokers []link.Broker
	health  health.Lanes

	mu     sync.Mutex // guards what follows
	conn   *conn
	next   int // broker to try first
	lanes  map[laneKey]*taken.Unit
	closed bool
}

// laneKey names one lane of one input stream.
type laneKey struct {
	stream string
	number int
}

// conn is one connection, and the schemas that were published over it.
type conn struct {
	*link.Conn
	mu      sync.Mutex
	schemas map[string]string // guarded by mu; by topic
}

var _ node.Sink = (*Sink)(nil)

// New checks cfg and returns a Sink that has connected to nothing yet. Errors never
// hold a URL.
func New(cfg Config) (*Sink, error) {
	for _, e := range cfg.Check() {
		return nil, fmt.Errorf("sink mqtt: %w", e)
	}
	brokers, err := link.Parse(cfg.URLs)
	if err != nil {
		return nil, fmt.Errorf("sink mqtt: %w", err)
	}
	topic, err := expr.Compile(cfg.Topic)
	if err != nil {
		return nil, fmt.Errorf("sink mqtt: topic: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sink{cfg: cfg, topic: topic, brokers: brokers, lanes: map[laneKey]*taken.Unit{}}, nil
}

// Write implements [node.Sink]. Events that the broker refuses for what they are get
// rejected once their neighbours have been published: those are not published again
// when the rest of the unit comes. Every error that is no reject is [node.Away].
func (s *Sink) Write(ctx context.Context, u *node.Unit) error {
	err := ctx.Err()
	var messages []outgoing
	if err == nil {
		messages, err = s.messages(u.Events)
	}
	if err == nil && len(messages) > 0 {
		err = s.publish(ctx, u, messages)
	}
	if err != nil && node.ClassOf(err) == node.Unsure {
		err = node.AsAway(err)
	}
	s.health.Note(u.Stream, u.Lane, err)
	return err
}

func (s *Sink) publish(ctx context.Context, u *node.Unit, messages []outgoing) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Cut)()
	ctx, end := c.While(ctx)
	defer end()
	done := s.lane(u)
	done.Begin(u)
	var rejects []node.EventReject
	for _, m := range messages {
		if done.Has(m.id) {
			continue
		}
		refused, err := s.send(ctx, c, m)
		if err != nil {
			s.drop(c)
			return fmt.Errorf("broker %s: %w", c.Broker, err)
		}
		if refused != nil {
			rejects = append(rejects, *refused)
			continue
		}
		done.Add(m.id)
	}
	if len(rejects) > 0 {
		return &node.RejectedError{Rejects: rejects}
	}
	return nil
}

// send publishes a message, before it the schema if that is new, and waits for the
// broker's acknowledgement.
func (s *Sink) send(ctx context.Context, c *conn, m outgoing) (*node.EventReject, error) {
	if m.schema != nil && c.news(m.packet.Topic, m.schema) {
		_, err := c.Publish(ctx, &paho.Publish{
			QoS: 1, Retain: true, Topic: m.packet.Topic + s.cfg.Schema, Payload: m.schema,
			Properties: &paho.PublishProperties{ContentType: "application/json"},
		})
		if err != nil {
			c.forget(m.packet.Topic)
			return nil, c.why(err)
		}
	}
	answer, err := c.Publish(ctx, m.packet)
	if answer != nil && slices.Contains(hopeless, answer.ReasonCode) {
		r := reject(m.index, "refused", "the broker refuses it: topic %.100q, reason 0x%02x", m.packet.Topic, answer.ReasonCode)
		return &r, nil
	}
	if err != nil {
		return nil, c.why(err)
	}
	return nil, nil
}

// hopeless are the reasons for which a message is refused however often it comes.
var hopeless = []byte{packets.PubackTopicNameInvalid, packets.PubackPayloadFormatInvalid}

// news reports whether a topic's schema has not been published over this connection.
func (c *conn) news(topic string, schema []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schemas[topic] == string(schema) {
		return false
	}
	c.schemas[topic] = string(schema)
	return true
}

func (c *conn) forget(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.schemas, topic)
}

// why returns the reason why the connection went, if it did.
func (c *conn) why(err error) error {
	if c.Gone() {
		return c.Why()
	}
	return err
}

// drop gives up a connection over which something was not acknowledged: what the
// client still holds is not sent by it, but by the next attempt over another one.
func (s *Sink) drop(c *conn) {
	c.Cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		s.conn = nil
	}
}

func (s *Sink) lane(u *node.Unit) *taken.Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := laneKey{u.Stream, u.Lane}
	if s.lanes[key] == nil {
		s.lanes[key] = &taken.Unit{}
	}
	return s.lanes[key]
}

// connect returns the connection of all lanes, or the first that a broker gives.
func (s *Sink) connect(ctx context.Context) (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.conn != nil && !s.conn.Gone() {
		return s.conn, nil
	}
	var errs []error
	for range s.brokers {
		c, err := s.dial(ctx, s.brokers[s.next])
		if err == nil {
			s.conn = c
			return c, nil
		}
		errs = append(errs, errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
		s.next = (s.next + 1) % len(s.brokers)
	}
	return nil, errors.Join(errs...)
}

func (s *Sink) dial(ctx context.Context, b link.Broker) (*conn, error) {
	at, err := link.Open(ctx, b, link.Options{
		ClientID: "millrace-" + s.cfg.Name + "-" + strings.ToLower(rand.Text())[:8], WillTopic: s.cfg.Status, Will: []byte(offline),
	})
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: at, schemas: map[string]string{}}
	if err := s.say(ctx, c, online); err != nil {
		c.Close()
		return nil, fmt.Errorf("broker %s: status: %w", b, err)
	}
	s.cfg.Log.Info("publishing", "sink", s.cfg.Name, "broker", b.String())
	return c, nil
}

// say publishes the sink's status, if it has a topic for it.
func (s *Sink) say(ctx context.Context, c *conn, what string) error {
	if s.cfg.Status == "" {
		return nil
	}
	_, err := c.Publish(ctx, &paho.Publish{QoS: 1, Retain: true, Topic: s.cfg.Status, Payload: []byte(what)})
	return err
}

// Status implements [node.Sink].
func (s *Sink) Status() node.Status { return s.health.Status() }

// Close implements [node.Sink].
func (s *Sink) Close() error {
	s.mu.Lock()
	c := s.conn
	s.conn, s.closed = nil, true
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), link.Timeout)
	defer cancel()
	if !c.Gone() {
		_ = s.say(ctx, c, offline) // if this fails the will says it
	}
	c.Close()
	return nil
}
