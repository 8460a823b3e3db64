package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/node"
)

// maxPending bounds the points between two ticks: a follower that brings more
// makes the tick itself.
const maxPending = 65536

// Hub follows streams and serves their points. One goroutine follows each lane,
// whoever looks; what they read is put into the window and into a ring of ticks,
// from which every viewer reads at its own pace.
type Hub struct {
	cfg     Config
	log     *slog.Logger
	streams []string
	cursors *cursors
	count   counters
	ready   chan struct{}   // closed once every lane has its place
	life    context.Context // ends with Run: viewers say bye
	end     context.CancelFunc
	running atomic.Bool
	pumps   sync.WaitGroup
	next    atomic.Pointer[Hub] // that draws in the place of this one
	handed  chan struct{}       // closed when next is there
	floor   chan struct{}       // capacity GOMAXPROCS: which classes build frames for many viewers and write them
	asking  chan struct{}       // capacity Config.MaxPast: who asks about the past
	reading chan struct{}       // capacity 1: who of them reads the log

	mu      sync.Mutex
	groups  []*group             // guarded by mu; append-only
	series  []*series            // guarded by mu; append-only
	byName  map[groupName]*group // guarded by mu
	byLine  map[lineName]*series // guarded by mu
	places  []place              // guarded by mu; what the last tick and pending cover
	moved   bool                 // guarded by mu; places changed since the last tick
	pending []point              // guarded by mu; points since the last tick
	ring    ring                 // guarded by mu
	changed chan struct{}        // guarded by mu; closed at the next tick
	classes map[classKey]*class  // guarded by mu
	clients int                  // guarded by mu
	arrival chan struct{}        // guarded by mu; closed when a viewer comes and none was there
	away    []error              // guarded by mu; by lane, nil while the log answers
	behind  []bool               // guarded by mu; by lane: the log held more than the last read took
	wake    chan struct{}        // capacity 1: there is something to make a tick of
}

// group is one chart that viewers see: one value of a sink's chart expression.
type group struct {
	index int // in Hub.groups
	chart int // in Config.Charts
	key   string
}

type groupName struct {
	chart int
	key   string
}

type lineName struct {
	groupName
	series string
}

// series is one line of a chart. Its column is guarded by the hub's mu, the rest
// never changes.
type series struct {
	id     int32 // in Hub.series
	group  *group
	key    string
	unit   string
	limit  int
	column column
}

// New returns an idle hub. It serves viewers once [Hub.Run] runs.
func New(cfg Config) (*Hub, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("live hub: %w", err)
	}
	h := &Hub{
		cfg: cfg, log: cfg.Logger, streams: cfg.streams(),
		ready: make(chan struct{}), handed: make(chan struct{}),
		byName: map[groupName]*group{}, byLine: map[lineName]*series{}, classes: map[classKey]*class{},
		changed: make(chan struct{}), arrival: make(chan struct{}), wake: make(chan struct{}, 1),
		floor: make(chan struct{}, runtime.GOMAXPROCS(0)), asking: make(chan struct{}, cfg.MaxPast), reading: make(chan struct{}, 1),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.ring.limit = cfg.Recent
	return h, nil
}

// Run follows the streams until ctx ends, then says bye to every viewer. It
// returns nil after ctx, or the log's fatal error. It may be called once. When it
// returns, nothing that it started is left.
func (h *Hub) Run(ctx context.Context) error {
	if h.running.Swap(true) {
		return errors.New("live hub: Run was called twice")
	}
	group, ctx := errgroup.WithContext(ctx)
	defer h.pumps.Wait()
	defer h.close()
	starts, err := h.starts(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	h.begin(starts)
	for i, p := range starts {
		name, lane := h.laneOf(i)
		group.Go(func() error { return h.follow(ctx, name, lane, i, p.position(h.cursors.epoch)) })
	}
	group.Go(func() error { h.flushLoop(ctx); return nil })
	return group.Wait()
}

// Ready is closed once every lane has its place and viewers are served.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Replace lets the viewers of h go on with next, which must be ready, on the
// connections that they have: they are told a reset and get next's history. It is
// called once; h may then be ended. It does not wait for the viewers.
func (h *Hub) Replace(next *Hub) {
	h.next.Store(next)
	close(h.handed)
}

// close lets every viewer and pump end; none begins after it.
func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}

// laneOf returns the stream and lane of a place's index.
func (h *Hub) laneOf(index int) (string, int) {
	lanes := h.cfg.Log.Lanes()
	return h.streams[index/lanes], index % lanes
}

// starts finds where each lane is read from: one window before the newest entry,
// so that a chart shows its last points even if nothing came for a while. Events
// are appended a little after their time, hence the minute more.
func (h *Hub) starts(ctx context.Context) ([]place, error) {
	heads := make([]place, len(h.streams)*h.cfg.Log.Lanes())
	var newest uint64
	for i := range heads {
		name, lane := h.laneOf(i)
		head, err := h.head(ctx, name, lane)
		if err != nil {
			return nil, err
		}
		heads[i] = head
		newest = max(newest, head.ms)
	}
	back := uint64((h.cfg.window() + time.Minute).Milliseconds())
	from := place{ms: newest - min(back, newest)}
	for i, head := range heads {
		if from.less(head) {
			heads[i] = from
		}
	}
	return heads, nil
}

// head asks for a lane's newest entry until the log answers.
func (h *Hub) head(ctx context.Context, name string, lane int) (place, error) {
	pause := retryFirst
	for {
		at, err := h.cfg.Log.Head(ctx, name, lane)
		if err == nil || ctx.Err() != nil {
			return placeOf(at), ctx.Err()
		}
		if node.ClassOf(err) == node.Fatal {
			return place{}, fmt.Errorf("charts: head of stream %q lane %d: %w", name, lane, err)
		}
		sleep(ctx, pause)
		pause = min(2*pause, retryMost)
	}
}

func (h *Hub) begin(starts []place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cursors = newCursors(h.cfg.Log.Epoch(), h.streams, h.cfg.Log.Lanes())
	h.places = append([]place(nil), starts...)
	h.away = make([]error, len(starts))
	h.behind = make([]bool, len(starts))
	h.moved = true
	h.tickLocked()
	close(h.ready)
}

// seriesOf finds or makes the series of a chart; nil once there are too many.
func (h *Hub) seriesOf(chartIndex int, chartKey, key, unit string) *series {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := groupName{chartIndex, chartKey}
	if s := h.byLine[lineName{name, key}]; s != nil || len(h.series) >= h.cfg.MaxSeries {
		return s
	}
	g := h.byName[name]
	if g == nil {
		g = &group{index: len(h.groups), chart: chartIndex, key: strings.Clone(chartKey)}
		h.groups = append(h.groups, g)
		h.byName[groupName{chartIndex, g.key}] = g
	}
	limit := h.cfg.Charts[chartIndex].Sink.Options.MaxPoints
	s := &series{id: int32(len(h.series)), group: g, key: strings.Clone(key), unit: strings.Clone(unit), limit: limit}
	h.series = append(h.series, s)
	h.byLine[lineName{groupName{chartIndex, g.key}, s.key}] = s
	return s
}

// publish adds what one read of a lane brought and moves the lane's place.
func (h *Hub) publish(lane int, at place, points []point, frames int) {
	h.mu.Lock()
	h.places[lane] = at
	h.behind[lane] = frames == readFrames
	h.moved = true
	h.pending = append(h.pending, points...)
	if len(h.pending) >= maxPending {
		h.tickLocked()
	}
	h.mu.Unlock()
	h.count.frames.Add(uint64(frames))
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// flushLoop makes a tick as soon as there is something, and then none for the
// time of one flush: a lone event waits for nothing.
func (h *Hub) flushLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		h.mu.Lock()
		h.tickLocked()
		h.mu.Unlock()
		sleep(ctx, h.cfg.Flush)
	}
}

// tickLocked moves the pending points into the window and the ring. mu is held.
func (h *Hub) tickLocked() {
	if !h.moved {
		return
	}
	for _, p := range h.pending {
		s := h.series[p.series]
		if s.column.insert(p.t, p.v, s.limit) {
			h.count.late.Add(1)
		}
	}
	h.count.points.Add(uint64(len(h.pending)))
	h.ring.push(h.pending, h.cursors.id(h.places), len(h.series))
	h.pending = make([]point, 0, len(h.pending))
	h.moved = false
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Hub) caughtUp(lane int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behind[lane] = false
}

func (h *Hub) setAway(lane int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if (err == nil) != (h.away[lane] == nil) {
		name, n := h.laneOf(lane)
		h.log.Info("charts follow", "stream", name, "lane", n, "away", err != nil, "error", err)
	}
	h.away[lane] = err
}

// watched returns nil while somebody looks, else a channel that is closed when
// somebody comes.
func (h *Hub) watched() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients > 0 {
		return nil
	}
	return h.arrival
}

// Status reports whether every lane can be followed. It never blocks on the log.
func (h *Hub) Status() node.Status {
	select {
	case <-h.ready:
	default:
		return node.Status{Reason: "charts wait for the log"}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, err := range h.away {
		if err != nil {
			name, lane := h.laneOf(i)
			return node.Status{Reason: fmt.Sprintf("charts cannot read stream %q lane %d: %v", name, lane, err)}
		}
	}
	return node.Status{Ready: true}
}
