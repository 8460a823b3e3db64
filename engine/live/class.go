package live

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"
)

// Bounds of a class's ring of messages, which is the mailbox of all its viewers.
const (
	maxMessages     = 1024
	maxMessageBytes = 1 << 20
	historyChunk    = 4096        // points of one frame of a history
	historyAge      = time.Second // how long one encoded history serves newcomers
)

// cohortSize is how many viewers of one query a class takes; for more there is another
// one. The writes of one frame to all of a class are what its last viewer waits for.
// Classes that reduce take all: what they keep is large.
const cohortSize = 256

// classKey is what viewers of one class have in common. Frames are built once for
// the class and shared by its viewers.
type classKey struct {
	format format
	every  time.Duration // least time between two frames; 0: as the hub flushes
	charts string        // sorted keys or ids of charts, "\x00" between; "" is all
	wire   wire

	reduction reduction // zero: every point

	subscribed bool // with sub: what else came into the protocol later is sent, too
	none       bool // no charts at all

	cohort int // from 0; tells apart classes of the same query
}

// class builds the messages of its viewers. Each viewer is a cursor into its ring:
// what a publication costs does not depend on how many look or how slow they are.
type class struct {
	hub    *Hub
	key    classKey
	charts map[string]bool // nil is all
	stop   context.CancelFunc
	scan   uint64        // ticks up to here are looked through; the pump's own
	seeded chan struct{} // closed once viewers may begin

	gatherer gatherer // the pump's own

	mu       sync.Mutex
	viewers  int           // guarded by Hub.mu
	messages []message     // guarded by mu; rising, without overlap
	bytes    int           // guarded by mu; of messages
	dropped  uint64        // guarded by mu; messages up to this tick have left the ring
	sent     uint64        // guarded by mu; last tick of the newest message
	series   int           // guarded by mu; lines told of with the newest message
	more     chan struct{} // guarded by mu; closed at the next message
	direct   []*viewer     // guarded by mu; whom the class itself writes to

	reducer   *reducer // guarded by mu; nil: every point is sent
	reducedTo *tick    // guarded by mu; what the reducer holds goes up to here

	historyMu sync.Mutex
	history   *history // guarded by historyMu; for newcomers
}

// message is one or two events, encoded: a schema if lines are new, and a frame
// with the points of ticks (from, to]. Ticks before from and behind the message
// before it have no points for this class.
type message struct {
	from, to uint64
	total    uint64 // points up to and including to, as in tick
	lines    int    // lines told of up to and including this message
	body     []byte
}

// history is the encoded window at one tick.
type history struct {
	seq   uint64
	total uint64
	lines int // told of
	made  time.Time
	body  []byte
}

func (h *Hub) newClass(key classKey, last *tick) *class {
	c := &class{
		hub: h, key: key, scan: last.seq,
		dropped: last.seq, sent: last.seq, series: last.series, more: make(chan struct{}), seeded: make(chan struct{}),
	}
	if key.charts != "" {
		c.charts = map[string]bool{}
		for name := range strings.SplitSeq(key.charts, "\x00") {
			c.charts[name] = true
		}
	}
	return c
}

// pass reports whether the class's viewers asked for the line.
func (c *class) pass(s *series) bool {
	if c.charts == nil {
		return true
	}
	return c.charts[s.group.key] || c.charts[chartID(c.hub.cfg.Charts[s.group.chart].Sink.ID, s.group.key)]
}

// pump builds messages until ctx ends.
func (c *class) pump(ctx context.Context) {
	if !c.seed(ctx) {
		return
	}
	for ctx.Err() == nil {
		changed := c.hub.change()
		var begun time.Time
		var did emitted
		c.inTurn(func() { begun, did = time.Now(), c.emit() })
		switch did {
		case idle:
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		case lost:
			c.lose(ctx)
		}
		c.forgetHistory()
		if rest := c.key.every - time.Since(begun); rest > 0 {
			sleep(ctx, rest)
		}
	}
}

// emitted is what came of an emit.
type emitted uint8

const (
	idle emitted = iota // the ticks hold nothing for this class
	sent                // a message was built
	lost                // ticks are gone that were not looked through
)

// emit builds a message of the ticks that came since the last.
func (c *class) emit() emitted {
	ticks, lines, ok := c.hub.ticksAfter(c.scan)
	if !ok {
		return lost
	}
	for len(ticks) > 0 && len(ticks[0].points) == 0 {
		c.scan = ticks[0].seq
		ticks = ticks[1:]
	}
	if len(ticks) == 0 {
		return idle
	}
	runs := c.runs(ticks, lines)
	last := ticks[len(ticks)-1]
	from := c.scan
	c.scan = last.seq
	if len(runs) == 0 {
		return idle
	}
	m, before := c.put(from, last, lines, runs)
	c.broadcast(func(v *viewer) { v.push(c, m, before) })
	return sent
}

// runs are what ticks bring the class's viewers.
func (c *class) runs(ticks []*tick, lines []*series) []run {
	if c.key.reduction.px > 0 {
		return c.advance(ticks, lines)
	}
	return c.gatherer.gather(ticks, lines, c.pass)
}

// lose begins anew at the newest tick, because the pump was starved for longer
// than the hub keeps ticks. Viewers find themselves fallen behind and tell a gap.
func (c *class) lose(ctx context.Context) {
	if c.key.reduction.px > 0 {
		if c.reseed(ctx) != nil {
			sleep(ctx, retryFirst) // the log is away: again
		}
		return
	}
	here, _, lines := c.hub.here()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scan, c.sent, c.dropped, c.series = here.seq, here.seq, here.seq, len(lines)
	c.messages, c.bytes = nil, 0
	close(c.more)
	c.more = make(chan struct{})
}

// put adds a message to the ring and returns it, and the tick up to which those before
// it went.
func (c *class) put(from uint64, last *tick, lines []*series, runs []run) (m message, before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := c.appendSchema(make([]byte, 0, c.room()), lines[min(c.series, last.series):last.series])
	body = appendFrame(body, c.key, last.id, runs, part{})
	c.series = last.series
	m, before = message{from: from, to: last.seq, total: last.total, lines: last.series, body: body}, c.sent
	c.messages = append(c.messages, m)
	c.bytes += len(body)
	c.sent = last.seq
	c.trim()
	close(c.more)
	c.more = make(chan struct{})
	c.hub.count.messages.Add(1)
	return m, before
}

// room is how much memory the next message is given at first. mu is held.
func (c *class) room() int {
	if n := len(c.messages); n > 0 {
		return len(c.messages[n-1].body) * 5 / 4
	}
	return 512
}

// trim keeps the ring within its bounds. mu is held.
func (c *class) trim() {
	drop := 0
	for n := len(c.messages); drop < n-1 && (n-drop > maxMessages || c.bytes > maxMessageBytes); drop++ {
		c.bytes -= len(c.messages[drop].body)
		c.dropped = c.messages[drop].to
	}
	if drop == 0 {
		return
	}
	clear(c.messages[:drop])
	c.messages = c.messages[drop:]
}

// passing returns those of lines that the class's viewers asked for.
func (c *class) passing(lines []*series) []*series {
	var mine []*series
	for _, s := range lines {
		if c.pass(s) {
			mine = append(mine, s)
		}
	}
	return mine
}

// appendSchema appends a schema event of those lines that pass, or nothing.
func (c *class) appendSchema(dst []byte, lines []*series) []byte {
	mine := c.passing(lines)
	if len(mine) == 0 {
		return dst
	}
	return c.key.wire.event(dst, "schema", "", marshal(c.hub.schemaOf(mine, c.key)))
}

// verdict is what a viewer does next.
type verdict uint8

const (
	wait   verdict = iota // until more is closed
	send                  // the messages join on to the viewer's tick
	patch                 // first build ticks up to upTo for this viewer alone
	fallen                // the ring has moved past the viewer
)

// next says how a viewer goes on that has everything up to tick seq.
func (c *class) next(seq uint64) (v verdict, list []message, upTo uint64, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq < c.dropped {
		return fallen, nil, c.sent, nil
	}
	at := sort.Search(len(c.messages), func(i int) bool { return c.messages[i].to > seq })
	if at == len(c.messages) {
		return wait, nil, 0, c.more
	}
	if m := c.messages[at]; seq > m.from {
		return patch, nil, m.to, nil
	}
	return send, append([]message(nil), c.messages[at:]...), 0, nil
}

// historyNow returns the encoded window, at most one second old.
func (c *class) historyNow() *history {
	c.historyMu.Lock()
	defer c.historyMu.Unlock()
	if c.history == nil || time.Since(c.history.made) > historyAge {
		c.history = c.makeHistory()
	}
	return c.history
}

// forgetHistory frees an encoded window that is too old to be used.
func (c *class) forgetHistory() {
	if !c.historyMu.TryLock() {
		return
	}
	defer c.historyMu.Unlock()
	if c.history != nil && time.Since(c.history.made) > historyAge {
		c.history = nil
	}
}

func (c *class) makeHistory() *history {
	w := c.windowNow()
	return &history{seq: w.at.seq, total: w.at.total, lines: w.at.series, made: time.Now(), body: c.encodeHistory(w)}
}

func (c *class) windowNow() view {
	if c.key.reduction.px > 0 {
		return c.reducedNow()
	}
	return c.hub.window(c.pass, 0, 0)
}

// encodeHistory writes the schema and the window. Only its last frame has an id:
// who was cut off before it begins anew.
func (c *class) encodeHistory(w view) []byte {
	body := c.key.wire.event(nil, "schema", "", marshal(c.hub.schemaOf(w.lines, c.key)))
	list := chunks(w.runs, historyChunk)
	for i, runs := range list {
		p := part{history: true, begin: i == 0, end: i == len(list)-1}
		id := ""
		if p.end {
			id = w.at.id
		}
		body = appendFrame(body, c.key, id, runs, p)
	}
	return body
}
