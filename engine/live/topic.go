package live

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"
)

// Topics finds what viewers may subscribe to beside charts. It is called
// concurrently.
type Topics interface {
	// Find returns the topics of the subscription kind:name, the same ones whoever
	// asks. An error is told to the viewer; it may be a [*Refusal].
	Find(ctx context.Context, kind, name string) ([]*Topic, error)
}

// Refusal is an error that is answered with a code of its own.
type Refusal struct {
	Code int // of HTTP
	Text string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

const (
	topicTimeout = 2 * time.Second // of one reading of a topic
	topicIdle    = 5 * time.Second // after which a topic that tells what passes begins anew
)

// Topic is something that all its viewers see alike. It is read when the first of
// them asks after its time and encoded once; nothing runs while nobody looks. A
// viewer that reads slowly misses items, of which it is told; nobody waits for it.
type Topic struct {
	event string
	sub   string
	every time.Duration
	keep  int
	fresh bool // a newcomer gets none of what was
	state bool // equal items are one
	read  func(ctx context.Context, anew bool) ([]any, error)

	mu    sync.Mutex
	asked time.Time // guarded by mu
	last  uint64    // guarded by mu; number of the newest item
	items []*item   // guarded by mu; the newest, at most keep
}

// item is one event's data and its bytes on each wire that was asked for.
type item struct {
	data []byte
	body [wires][]byte
}

// NewState returns the topic of a state, sent as event to those who subscribed to
// sub: read at most once in every, sent when it has changed. A state that cannot be
// read stays as it was.
func NewState(event, sub string, every time.Duration, read func(ctx context.Context) (any, error)) *Topic {
	return &Topic{event: event, sub: sub, every: every, keep: 1, state: true, read: func(ctx context.Context, _ bool) ([]any, error) {
		v, err := read(ctx)
		return []any{v}, err
	}}
}

// NewLog returns the topic of what happens now and then, of which the newest keep
// items are told to newcomers. read returns what is new since it was called last.
func NewLog(event, sub string, every time.Duration, keep int, read func(ctx context.Context) ([]any, error)) *Topic {
	return &Topic{event: event, sub: sub, every: every, keep: keep, read: func(ctx context.Context, _ bool) ([]any, error) { return read(ctx) }}
}

// NewPassing returns the topic of what passes: nobody is told what was before. read
// returns what is new since it was called last, or, with anew, begins with now.
func NewPassing(event, sub string, every time.Duration, read func(ctx context.Context, anew bool) ([]any, error)) *Topic {
	return &Topic{event: event, sub: sub, every: every, keep: 4, fresh: true, read: read}
}

// follower is one viewer's place in a topic.
type follower struct {
	topic *Topic
	at    uint64 // the last item that was sent or told as missed
	began bool
}

// next appends what is new for the follower, and returns how many items it missed.
func (f *follower) next(ctx context.Context, dst []byte, w wire) (_ []byte, missed uint64) {
	t := f.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh(ctx)
	first := t.last - uint64(len(t.items)) + 1
	if !f.began {
		f.began, f.at = true, first-1
		if t.fresh {
			f.at = t.last
		}
	}
	if f.at+1 < first {
		missed = first - f.at - 1
		f.at = first - 1
	}
	for ; f.at < t.last; f.at++ {
		dst = append(dst, t.items[f.at+1-first].on(w, t.event)...)
	}
	return dst, missed
}

// refresh reads the topic if it is time to. mu is held: those who come meanwhile
// get what is read now.
func (t *Topic) refresh(ctx context.Context) {
	now := time.Now()
	idle := now.Sub(t.asked)
	if idle < t.every {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	list, err := t.read(ctx, idle > max(topicIdle, 2*t.every))
	t.asked = now
	if err != nil {
		return // the health of what is read is told elsewhere
	}
	for _, v := range list {
		if data, err := json.Marshal(v); err == nil { // or it holds a number that JSON has not
			t.add(data)
		}
	}
}

func (t *Topic) add(data []byte) {
	if n := len(t.items); t.state && n > 0 && bytes.Equal(t.items[n-1].data, data) {
		return
	}
	t.last++
	t.items = append(t.items, &item{data: data})
	if over := len(t.items) - t.keep; over > 0 {
		t.items = append([]*item(nil), t.items[over:]...)
	}
}

func (i *item) on(w wire, event string) []byte {
	if i.body[w] == nil {
		i.body[w] = w.event(nil, event, "", i.data)
	}
	return i.body[w]
}

// stateOf is one topic of a snapshot.
type stateOf struct {
	Sub   string     `json:"sub"`
	Event string     `json:"event"`
	Data  marshalled `json:"data"`
}

// marshalled is JSON already.
type marshalled []byte

// MarshalJSON implements json.Marshaler.
func (m marshalled) MarshalJSON() ([]byte, error) { return m, nil }

// states returns the newest item of every topic that has one.
func states(ctx context.Context, topics []*Topic) []stateOf {
	var out []stateOf
	for _, t := range topics {
		t.mu.Lock()
		t.refresh(ctx)
		if n := len(t.items); n > 0 {
			out = append(out, stateOf{t.sub, t.event, t.items[n-1].data})
		}
		t.mu.Unlock()
	}
	return out
}

// findTopics returns the topics of what q subscribed to, or what to answer instead.
func (h *Hub) findTopics(ctx context.Context, q query) ([]*Topic, error) {
	var out []*Topic
	for _, s := range q.others {
		if h.cfg.Topics == nil {
			return nil, &Refusal{400, "sub=" + s.kind + ":" + s.name + ": only charts are served here"}
		}
		list, err := h.cfg.Topics.Find(ctx, s.kind, s.name)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// listen follows topics from now on.
func (v *viewer) listen(topics []*Topic) {
	every := time.Duration(0)
	for _, t := range topics {
		v.topics = append(v.topics, &follower{topic: t})
		if every == 0 || t.every < every {
			every = t.every
		}
	}
	v.every = max(every, v.class.key.every)
}

// tell writes what is new of the topics.
func (v *viewer) tell(ctx context.Context) error {
	var body []byte
	for _, f := range v.topics {
		var missed uint64
		before := len(body)
		body, missed = f.next(ctx, body, v.wire())
		if missed == 0 {
			continue
		}
		v.hub.count.skipped.Add(missed)
		told := v.wire().event(nil, "gap", "", marshal(gap{Reason: "slow", Sub: f.topic.sub, Items: missed}))
		body = append(body[:before:before], append(told, body[before:]...)...)
	}
	return v.writeAll(body)
}
