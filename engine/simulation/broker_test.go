package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// broker is one queue that forgets a message when it is acknowledged and puts what
// is not back in its old place when its consumer goes.
type broker struct {
	w *world

	mu       sync.Mutex
	ready    []delivery // in the order of arrival; guarded by mu, as the rest
	unacked  []delivery
	arrivals int
	consumer *session
	changed  chan struct{} // closed by the next change
}

type delivery struct {
	node.Message
	arrival   int
	delivered bool
}

// session is one consumer's connection.
type session struct {
	owner *engine
	base  uint64 // Seq before its first delivery
	tags  uint64
	ended bool          // guarded by broker.mu
	acks  chan uint64   // capacity 1: the newest that is to be sent
	done  chan struct{} // closed with ended
}

func newBroker(w *world) *broker { return &broker{w: w, changed: make(chan struct{})} }

func (b *broker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *broker) publish(m node.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrivals++
	b.ready = append(b.ready, delivery{Message: m, arrival: b.arrivals})
	b.wake()
}

// consume makes s the queue's one consumer.
func (b *broker) consume(s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumer != nil || s.ended {
		return false
	}
	b.consumer = s
	return true
}

// end takes back what s has not acknowledged, and returns its last Seq.
func (b *broker) end(s *session) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.ended {
		return s.base + s.tags
	}
	s.ended = true
	close(s.done)
	if b.consumer == s {
		b.consumer = nil
		b.ready = append(b.unacked, b.ready...)
		b.unacked = nil
		slices.SortFunc(b.ready, func(x, y delivery) int { return x.arrival - y.arrival })
	}
	b.wake()
	return s.base + s.tags
}

// drop ends the connection of e.
func (b *broker) drop(e *engine) {
	b.mu.Lock()
	s := b.consumer
	b.mu.Unlock()
	if s != nil && s.owner == e {
		b.end(s)
	}
}

const prefetch = 12

// take delivers up to n messages to s.
func (b *broker) take(s *session, n int) []node.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumer != s {
		return nil
	}
	n = min(n, len(b.ready), prefetch-len(b.unacked))
	var list []node.Message
	for _, d := range b.ready[:max(n, 0)] {
		s.tags++
		d.Seq, d.Redelivered, d.delivered = s.base+s.tags, d.delivered, true
		b.unacked = append(b.unacked, d)
		list = append(list, d.Message)
	}
	b.ready = b.ready[len(list):]
	return list
}

// ack forgets everything of s up to seq.
func (b *broker) ack(s *session, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumer != s {
		return
	}
	b.unacked = slices.DeleteFunc(b.unacked, func(d delivery) bool { return d.Seq <= seq })
	b.wake()
}

// waiting tells whether there is something for s, and when to look again.
func (b *broker) waiting(s *session) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.ended || len(b.ready) > 0 && len(b.unacked) < prefetch, b.changed
}

func (b *broker) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ready)+len(b.unacked) == 0
}

// source is the queue as an engine's source node.
type source struct {
	e *engine
	b *broker

	mu   sync.Mutex
	sess *session // guarded by mu
	seq  uint64   // of the last message of sessions that are over; guarded by mu
	took int      // batches asked for; used by Receive alone
}

var _ node.Source = (*source)(nil)

const reconnectPause = 300 * time.Millisecond

// Receive implements [node.Source].
func (s *source) Receive(ctx context.Context) ([]node.Message, error) {
	for ctx.Err() == nil {
		sess := s.session()
		if sess == nil {
			if !s.connect(ctx) {
				s.e.waitFor(ctx, reconnectPause)
			}
			continue
		}
		something, changed := s.b.waiting(sess)
		if !something {
			select {
			case <-changed:
			case <-ctx.Done():
			case <-s.e.gone:
				<-ctx.Done()
			}
			continue
		}
		if list := s.deliver(sess); len(list) > 0 {
			if s.e.w.control == ackEarly {
				s.b.ack(sess, list[len(list)-1].Seq)
			}
			return list, nil
		}
	}
	return nil, ctx.Err()
}

func (s *source) session() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sess
}

func (s *source) connect(ctx context.Context) bool {
	s.mu.Lock()
	sess := &session{owner: s.e, base: s.seq, acks: make(chan uint64, 1), done: make(chan struct{})}
	s.mu.Unlock()
	ok := false
	if s.e.w.call(s.e, "broker.consume", "", func() { ok = s.b.consume(sess) }) != answered || !ok || ctx.Err() != nil {
		s.b.end(sess)
		return false
	}
	s.mu.Lock()
	s.sess = sess
	s.mu.Unlock()
	s.e.w.tasks.Go(func() { s.sendAcks(sess) })
	return true
}

func (s *source) deliver(sess *session) []node.Message {
	var list []node.Message
	s.took++
	n := 1 + s.e.w.dice("batch "+s.e.name, s.took).IntN(4)
	if s.e.w.call(s.e, "broker.deliver", "", func() { list = s.b.take(sess, n) }) != answered || s.e.w.isEnded(sess) {
		s.lose(sess)
		return nil
	}
	return list
}

func (w *world) isEnded(s *session) bool {
	w.broker.mu.Lock()
	defer w.broker.mu.Unlock()
	return s.ended
}

// lose gives up a connection that broke.
func (s *source) lose(sess *session) {
	last := s.b.end(sess)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sess == sess {
		s.sess, s.seq = nil, last
	}
}

// Ack implements [node.Source].
func (s *source) Ack(seq uint64) error {
	if s.e.w.control == ackEarly {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sess == nil || seq <= s.sess.base {
		return nil
	}
	select {
	case <-s.sess.acks: // the newer one says it too
	default:
	}
	s.sess.acks <- seq
	return nil
}

func (s *source) sendAcks(sess *session) {
	for {
		select {
		case seq := <-sess.acks:
			if s.e.w.isEnded(sess) {
				return // of two that are ready the seed decides, not select
			}
			if s.e.w.call(s.e, "broker.ack", "", func() { s.b.ack(sess, seq) }) != answered {
				s.lose(sess)
				return
			}
		case <-sess.done:
			return
		}
	}
}

// Suspend implements [node.Source]: it closes the connection.
func (s *source) Suspend(context.Context) error {
	if sess := s.session(); sess != nil {
		s.e.w.call(s.e, "broker.suspend", "", func() { s.b.end(sess) })
		s.lose(sess) // a connection that broke is over as well
	}
	return nil
}

// Status implements [node.Source].
func (s *source) Status() node.Status { return node.Status{Ready: s.session() != nil} }

// Close implements [node.Source].
func (s *source) Close() error { return s.Suspend(context.Background()) }

// feed publishes a run's messages and knows which of them are confirmed.
type feed struct {
	w *world

	mu        sync.Mutex
	confirmed []string          // in order of arrival, each once; guarded by mu, as the rest
	device    map[string]string // by id
	number    map[string]int
	poison    map[string]string // what is wrong with a message
	finished  bool
}

const devices = 3

func newFeed(w *world) *feed {
	return &feed{w: w, device: map[string]string{}, number: map[string]int{}, poison: map[string]string{}}
}

func (f *feed) run() {
	r := f.w.dice("feed", 0)
	poison := f.w.poison
	if poison == nil && r.IntN(10) < 7 {
		poison = map[int]string{r.IntN(f.w.messages): poisons[r.IntN(len(poisons))]}
	}
	for n := range f.w.messages {
		if n%(1+r.IntN(5)) == 0 && !f.w.wait(between(r, time.Millisecond, 120*time.Millisecond)) {
			return
		}
		for f.w.isAway("broker") {
			f.w.wait(50 * time.Millisecond)
		}
		what := poison[n]
		if what != "" {
			f.w.count("poisonous event")
		}
		m := f.message(n, what)
		f.w.broker.publish(m)
		if r.IntN(12) == 0 && what != malformed { // no confirm: published again
			f.w.count("duplicate publish")
			f.w.broker.publish(m)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished = true
}

// What can be wrong with a message, and who finds out.
const (
	malformed   = "malformed"   // ingest: it has no identity
	undecodable = "undecodable" // the decode node rejects it
	crashing    = "crashing"    // the number node fails at it
	unstorable  = "unstorable"  // the sink rejects it
)

var poisons = []string{malformed, undecodable, crashing, unstorable}

func (f *feed) message(n int, poison string) node.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("m%03d", n)
	f.device[id], f.number[id] = fmt.Sprintf("d%d", n%devices), n
	f.confirmed = append(f.confirmed, id)
	m := node.Message{
		Exchange: id, MessageID: id, Queue: "q", RoutingKey: f.device[id], ContentType: "application/json",
		Body: fmt.Appendf(nil, `{"device":%q,"n":%d,"poison":%q}`, f.device[id], n, poison),
	}
	if poison != "" {
		f.poison[id] = poison
	}
	switch poison {
	case malformed:
		m.MessageID, m.Body = "", []byte("{")
	case undecodable:
		m.Body = []byte("{")
	}
	return m
}

// settled reports whether every confirmed message has come out somewhere.
func (f *feed) settled() bool { return f.unsettled() == "" }

func (f *feed) unsettled() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.finished || !f.w.broker.empty() {
		return "the queue is not empty"
	}
	out := f.w.settledIDs()
	var missing []string
	for _, id := range f.confirmed {
		if !out[id] {
			missing = append(missing, id)
		}
	}
	return strings.Join(missing, " ")
}
