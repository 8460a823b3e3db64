package simulation

import (
	"math/rand/v2"
	"strings"
	"time"
)

// point names one kind of call that crosses the engine's border.
type point string

// points are all of them, in an event's order. A call that is not listed fails its
// run; a listed point that is never reached fails TestFaultCrashPointExhaustive.
var points = []point{
	"redis.hello", "redis.info", "redis.open", "redis.streams", "redis.head", "redis.facts", "redis.ensure", "redis.register", // start
	"redis.acquire", "redis.renew", "redis.release", // leases
	"redis.epoch", "redis.usage", "redis.stats", "redis.peek", "redis.expire", "redis.trim", // background
	"broker.consume", "broker.deliver", "redis.append", "redis.letters.source", "broker.ack", "broker.suspend", // ingest
	"redis.position.stage", "redis.read.stage", "redis.state", "redis.commit.stage", // stage
	"redis.position.sink", "table.position", "redis.align", "redis.read.sink", "redis.letters.sink",
	"table.move", "table.insert", "table.commit", "redis.commit.sink", // sink
}

var listed = func() map[point]bool {
	m := map[point]bool{}
	for _, p := range points {
		m[p] = true
	}
	return m
}()

func (p point) part() string {
	part, _, _ := strings.Cut(string(p), ".")
	return part
}

// fault is what goes wrong with one call.
type fault struct {
	kind string
	hold time.Duration // how long a stalled call lasts
}

// The kinds of fault of one call.
const (
	none        = ""
	crashBefore = "crash before"   // the process ends; the call is never made
	crashAfter  = "crash after"    // the call is done, then the process ends
	failed      = "error"          // the other side refuses, with nothing done
	cut         = "cut before"     // the connection breaks, with nothing done
	answerLost  = "answer lost"    // the call is done, the connection breaks
	timeout     = "timeout"        // the call is done, its answer comes when nobody waits any more
	swallowed   = "timeout undone" // the call is never done and never answered
	late        = "late"           // the call is done after the caller has given up and gone on
)

// planner decides what goes wrong at the n-th call (from 0) of actor at p.
type planner interface {
	fault(w *world, p point, actor string, n int) fault
}

// outcome is what the caller of a call sees.
type outcome int

const (
	answered outcome = iota
	refused          // an error answer, nothing was done
	broke            // no answer: nobody can tell
)

// call makes one call of e that crosses its border. do is what it does outside.
func (w *world) call(e *engine, p point, actor string, do func()) outcome {
	if w.isAway(p.part()) { // at once and uncounted: who has a connection already learns no more than who opens one
		return broke
	}
	n, f := w.begin(e, p, actor)
	r := w.dice(string(p)+e.name+actor, n)
	if !e.pause(latency(p, actor, r)) || !e.thaw() {
		return broke
	}
	switch f.kind {
	case crashBefore:
		e.crash()
		return broke
	case failed:
		return refused
	case cut:
		return broke
	case swallowed:
		e.pause(f.hold)
		return broke
	case late:
		return w.late(e, p, f.hold, do)
	}
	do()
	switch f.kind {
	case crashAfter:
		e.crash()
		return broke
	case answerLost:
		return broke
	case timeout:
		e.pause(f.hold)
		return broke
	}
	if !e.pause(latency(p, actor, r)) || !e.thaw() {
		return broke
	}
	return answered
}

// latency is half of a call's time. Hardly two calls take the same, so that what
// comes first depends on the seed. Several connections may be opened at one
// moment, and nothing tells them apart: that takes no time. Neither do calls of
// which one follows the other and no other part of the engine knows.
func latency(p point, actor string, r *rand.Rand) time.Duration {
	if p == "redis.hello" || p == "redis.info" && actor != "server" || p == "redis.trim" || p == "redis.head" {
		return 0
	}
	return between(r, 50*time.Microsecond, 700*time.Microsecond)
}

// late leaves the call in the network for hold: the end of its sender stops it no
// more. The log's client gives up by itself, the others after their patience.
func (w *world) late(e *engine, p point, hold time.Duration, do func()) outcome {
	if p.part() == "redis" {
		w.wait(hold)
		do()
		return broke
	}
	w.tasks.Go(func() {
		w.wait(hold)
		do()
	})
	e.pause(hold / 2)
	return broke
}

// begin counts the call and asks what goes wrong with it.
func (w *world) begin(e *engine, p point, actor string) (int, fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !listed[p] {
		w.broken = append(w.broken, "a call that is not listed: "+string(p)+" "+actor)
	}
	if e.isGone() {
		return 0, fault{}
	}
	actor = e.name + " " + actor
	n := w.calls[string(p)+" "+actor]
	w.calls[string(p)+" "+actor]++
	w.hits[p]++
	var f fault
	if w.faults != nil && time.Since(w.began) < w.calm {
		f = w.faults.fault(w, p, actor, n)
	}
	if f.kind != none {
		w.injected[f.kind]++
	}
	if w.traced {
		w.trace = append(w.trace, step{time.Since(w.began), p, actor, n, f.kind})
	}
	return n, f
}
