package live

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	writeChunk  = 64 << 10 // bytes of one write: each has the whole write timeout
	flushBytes  = 256 << 10
	readyWithin = 5 * time.Second
)

var _ http.Handler = (*Hub)(nil)

// ServeHTTP serves GET /api/v1/live. schemas/live.md documents the protocol: a
// stream of server-sent events, or with Accept: application/json or text/csv one
// snapshot. A stream goes on behind its return if its connection can be taken from the
// HTTP server; it ends when the viewer is gone, too slow, or the hub has stopped, and
// [Hub.Run] waits for it.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	q, err := parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !h.awaitReady(r.Context()) {
		unavailable(w, "the log cannot be read yet")
		return
	}
	q.class.reduction.span = h.span(q.class.reduction)
	topics, err := h.findTopics(r.Context(), q)
	if err != nil {
		refuse(w, err)
		return
	}
	if !q.stream {
		h.serveSnapshot(w, q, states(r.Context(), topics))
		return
	}
	h.serveStream(w, r, q, topics)
}

// span is how much time reduced lines show: what was asked for, or the longest window.
func (h *Hub) span(how reduction) int64 {
	if how.px == 0 {
		return 0
	}
	return cmp.Or(how.span, h.cfg.window().Milliseconds())
}

// refuse answers with the error's code, 400 if it has none.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		code = refusal.Code
	}
	http.Error(w, err.Error(), code)
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, text, http.StatusServiceUnavailable)
}

// awaitReady waits a while for the hub to begin; false if it has not or has ended.
func (h *Hub) awaitReady(ctx context.Context) bool {
	timer := time.NewTimer(readyWithin)
	defer timer.Stop()
	if h.life.Err() != nil {
		return false
	}
	select {
	case <-h.ready:
		return true
	case <-ctx.Done():
	case <-timer.C:
	case <-h.life.Done():
	}
	return false
}

func (h *Hub) serveStream(w http.ResponseWriter, r *http.Request, q query, topics []*Topic) {
	c := h.join(q.class)
	if next := h.next.Load(); c == nil && next != nil {
		next.serveStream(w, r, q, topics) // which came in between
		return
	}
	if c == nil {
		unavailable(w, "too many viewers, or the engine is stopping")
		return
	}
	head := w.Header()
	head.Set("Content-Type", q.class.wire.contentType())
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		h.leave(c)
		return
	}
	v := &viewer{hub: h, class: c, peer: r.RemoteAddr, out: answer{w, http.NewResponseController(w)}}
	v.turn.Lock()
	v.listen(topics)
	own, err := takeOver(w, r)
	switch {
	case err != nil:
		h.leave(c) // the viewer is gone
	case own == nil:
		v.over(v.follow(r.Context(), q))
	default:
		v.keep(own)
		h.attend(v, q)
	}
}

// viewer is one connection. It is used by whoever holds its turn: the goroutine that
// serves it, but while that waits, its class.
type viewer struct {
	hub     *Hub
	class   *class
	peer    string // its address
	out     outlet
	at      uint64 // tick up to which everything was written or told as a gap
	total   uint64 // points up to at, as in tick
	told    int    // lines told of, in order of their ids
	pending int    // bytes written and not flushed
	topics  []*follower
	every   time.Duration // between two looks at the topics; 0: there are none

	turn   sync.Mutex
	own    *own          // out, if it is a connection of its own that can be tried; else nil
	wake   chan struct{} // capacity 1: with own, something is left to do
	rest   []byte        // of what the class wrote
	failed error         // what the class met
	slot   int           // in class.direct; guarded by class.mu
}

// keep gives the viewer a connection of its own.
func (v *viewer) keep(o *own) {
	v.out = o
	if o.raw != nil {
		v.own, v.wake = o, make(chan struct{}, 1)
	}
}

// attend serves a viewer in a goroutine of the hub, until it is gone or is another
// hub's. It is of the class that it has joined, and its turn is held.
func (h *Hub) attend(v *viewer, q query) {
	attended := h.host(func() {
		err := v.serve(h.life, q)
		if !errors.Is(err, errHanded) {
			v.over(err)
			return
		}
		if v.hub = h.next.Load(); v.joins(q) {
			v.hub.attend(v, query{class: q.class, handed: true})
			return
		}
		v.over(nil)
	})
	if !attended {
		v.hub.leave(v.class)
		v.over(nil)
	}
}

// host runs f in a goroutine that Run waits for; false if the hub has ended.
func (h *Hub) host(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return false
	}
	h.pumps.Go(f)
	return true
}

// follow serves a viewer until it is gone, from one hub to the next.
func (v *viewer) follow(ctx context.Context, q query) error {
	err := v.watch(ctx, q)
	for errors.Is(err, errHanded) {
		if v.hub = v.hub.next.Load(); !v.joins(q) {
			return nil
		}
		err = v.watch(ctx, query{class: q.class, handed: true})
	}
	return err
}

// over ends a viewer's time with err. Its turn is held for ever.
func (v *viewer) over(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.hub.count.cutOff.Add(1)
		v.hub.log.Info("viewer cut off: it took nothing", "for", v.hub.cfg.WriteTimeout, "viewer", v.peer)
	}
	if o, ok := v.out.(*own); ok {
		_ = o.Close() // nothing is left to say
	}
}

func (v *viewer) wire() wire { return v.class.key.wire }

// errHanded ends a viewer's time at a hub that another one has taken the place of.
var errHanded = errors.New("another hub draws the charts")

// errOver ends a viewer to whom everything is said.
var errOver = errors.New("the stream is over")

// joins lets the viewer go on at its hub, with a class there.
func (v *viewer) joins(q query) bool {
	v.class = v.hub.join(q.class)
	return v.class != nil
}

// watch serves a viewer until ctx ends or what it watches does.
func (v *viewer) watch(ctx context.Context, q query) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.hub.life, cancel)()
	return v.serve(ctx, q)
}

// serve shows the viewer what its hub draws, and takes it out of its class.
func (v *viewer) serve(ctx context.Context, q query) error {
	defer v.hub.leave(v.class)
	if err := v.greet(ctx, q); err != nil {
		return v.end(ctx, err)
	}
	if v.own == nil {
		ping := time.NewTicker(v.hub.cfg.Ping)
		defer ping.Stop()
		return v.run(ctx, ping.C)
	}
	v.class.enlist(v)
	defer v.class.discharge(v)
	return v.run(ctx, nil)
}

// run writes until ctx or the hub ends, or the viewer takes nothing any more. Without
// ping it leaves to its class what that can write.
func (v *viewer) run(ctx context.Context, ping <-chan time.Time) error {
	look, stop := v.looks()
	defer stop()
	for {
		more, err := v.advance()
		if err != nil {
			return err
		}
		if v.own != nil {
			more = v.wake
		}
		cue := v.pause(ctx, more, ping, look)
		if err := v.settle(); err != nil {
			return err
		}
		if err := v.answer(ctx, cue); err != nil {
			return err
		}
	}
}

// cue is what ends a viewer's pause.
type cue uint8

const (
	cueMore cue = iota
	cueHanded
	cueOver
	cuePing
	cueLook
)

// pause gives the viewer's turn away until there is something to do, and returns what.
func (v *viewer) pause(ctx context.Context, more <-chan struct{}, ping, look <-chan time.Time) cue {
	v.turn.Unlock()
	defer v.turn.Lock()
	select {
	case <-v.hub.handed:
		return cueHanded
	case <-ctx.Done():
		return cueOver
	case <-ping:
		return cuePing
	case <-look:
		return cueLook
	case <-more:
		return cueMore
	}
}

// answer does what a cue asks for besides writing what has come.
func (v *viewer) answer(ctx context.Context, c cue) error {
	switch c {
	case cueHanded:
		return errHanded
	case cueOver:
		return cmp.Or(v.end(ctx, nil), errOver)
	case cuePing:
		return v.writeAll(v.hub.ping(v.wire()))
	case cueLook:
		return v.tell(ctx)
	default:
		return nil
	}
}

// greet begins a connection, or goes on with one that another hub has begun.
func (v *viewer) greet(ctx context.Context, q query) error {
	if q.handed {
		if v.class.key.none {
			return v.begin(ctx, q)
		}
		return v.reset("the charts have changed")
	}
	if err := v.writeAll(v.hub.hello(v.wire())); err != nil {
		return err
	}
	if err := v.begin(ctx, q); err != nil {
		return err
	}
	return v.tell(ctx)
}

// looks ticks whenever it is time to look at the topics.
func (v *viewer) looks() (<-chan time.Time, func()) {
	if v.every == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(v.every)
	return t.C, t.Stop
}

// end says bye, unless there is another hub to go on with or err is not for want of
// time.
func (v *viewer) end(ctx context.Context, err error) error {
	switch {
	case v.hub.next.Load() != nil && (err == nil || ctx.Err() != nil):
		return errHanded
	case err != nil:
		return err
	}
	return v.bye("shutdown")
}

// advance writes everything that is there and returns what to wait for.
func (v *viewer) advance() (<-chan struct{}, error) {
	for {
		verdict, list, upTo, more := v.class.next(v.at)
		var err error
		switch verdict {
		case wait:
			return more, v.flush()
		case send:
			err = v.send(list)
		case patch:
			err = v.patch(upTo)
		case fallen:
			err = v.fall(upTo)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (v *viewer) send(list []message) error {
	for _, m := range list {
		if err := v.write(m.body); err != nil {
			return err
		}
		v.took(m)
	}
	return nil
}

// took notes that the viewer has m.
func (v *viewer) took(m message) {
	v.at, v.total, v.told = m.to, m.total, max(v.told, m.lines)
	v.hub.count.written.Add(1)
}

// patch writes ticks up to upTo built for this viewer alone, because it stands
// between two messages of its class.
func (v *viewer) patch(upTo uint64) error {
	ticks, lines, ok := v.hub.ticksAfter(v.at)
	if !ok {
		return v.fall(upTo)
	}
	for len(ticks) > 0 && ticks[len(ticks)-1].seq > upTo {
		ticks = ticks[:len(ticks)-1]
	}
	return v.merged(ticks, lines)
}

// merged writes one frame of ticks, which are not empty.
func (v *viewer) merged(ticks []*tick, lines []*series) error {
	last := ticks[len(ticks)-1]
	if err := v.frame(ticks, lines, last.id, part{}); err != nil {
		return err
	}
	v.at, v.total = last.seq, last.total
	v.hub.count.merged.Add(1)
	return nil
}

// frame writes one frame built for this viewer alone, behind the lines that it
// was not told of; nothing if the ticks have nothing for it.
func (v *viewer) frame(ticks []*tick, lines []*series, id string, p part) error {
	runs := new(gatherer).gather(ticks, lines, v.class.pass)
	if len(runs) == 0 {
		return nil
	}
	return v.write(appendFrame(v.news(lines), v.class.key, id, runs, p))
}

// news is a schema event of the lines that the viewer was not told of, or nothing.
func (v *viewer) news(lines []*series) []byte {
	fresh := lines[min(v.told, len(lines)):]
	v.told = max(v.told, len(lines))
	return v.class.appendSchema(nil, fresh)
}

// fall catches up a viewer behind which the class's ring has moved on: in one
// merged frame while the hub still has the ticks, else with a gap.
func (v *viewer) fall(upTo uint64) error {
	if v.class.key.reduction.px > 0 {
		return v.again(max(upTo, v.at) - v.at)
	}
	ticks, lines, ok := v.hub.ticksAfter(v.at)
	if ok && len(ticks) > 0 {
		if err := v.tellMerged(len(ticks)); err != nil {
			return err
		}
		return v.merged(ticks, lines)
	}
	here, _, lines := v.hub.here()
	missed := here.total - v.total
	v.hub.count.dropped.Add(missed)
	body := v.wire().event(v.news(lines), "gap", here.id, marshal(gap{Reason: "slow", Points: missed}))
	v.at, v.total = here.seq, here.total
	return v.write(body)
}

// again gives a viewer of reduced lines, which has fallen n ticks behind, the window as
// it is now: what it missed is in there.
func (v *viewer) again(n uint64) error {
	v.hub.count.merged.Add(1)
	if err := v.tellMerged(int(n)); err != nil {
		return err
	}
	return v.history()
}

// tellMerged tells a viewer that subscribed that n frames come as one.
func (v *viewer) tellMerged(n int) error {
	if !v.class.key.subscribed || n < 2 {
		return nil
	}
	return v.write(v.wire().event(nil, "gap", "", marshal(gap{Reason: "merged", Frames: uint64(n)})))
}

// gap is the data of a `gap` event: what this viewer will not get, or not as it was.
type gap struct {
	Reason string `json:"reason"`           // slow: it read too slowly; merged: what comes is whole, in fewer frames
	Points uint64 `json:"points"`           // that are left out
	Frames uint64 `json:"frames,omitempty"` // that were merged into one
	Sub    string `json:"sub,omitempty"`    // with items: of which subscription
	Items  uint64 `json:"items,omitempty"`  // events of it that are left out
}

// write writes b in pieces, each under a deadline of its own.
func (v *viewer) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeChunk)
		if err := v.deadline(); err != nil {
			return err
		}
		if _, err := v.out.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if v.pending += n; v.pending >= flushBytes {
			if err := v.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *viewer) deadline() error {
	err := v.out.SetWriteDeadline(time.Now().Add(v.hub.cfg.WriteTimeout))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func (v *viewer) flush() error {
	if v.pending == 0 {
		return nil
	}
	v.pending = 0
	if err := v.deadline(); err != nil {
		return err
	}
	return v.out.Flush()
}

func (v *viewer) writeAll(b []byte) error {
	if err := v.write(b); err != nil {
		return err
	}
	return v.flush()
}

func (v *viewer) bye(reason string) error {
	return v.writeAll(v.wire().event(nil, "bye", "", marshal(map[string]string{"reason": reason})))
}
