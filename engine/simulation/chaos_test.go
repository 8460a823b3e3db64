package simulation

import "time"

// chaos draws faults from the run's seed. What happens to a call depends on the
// seed, the call's point, its caller and its number, and on nothing else.
type chaos struct{}

// stalls last longer than any caller waits.
const (
	longestWait = 15 * time.Second // of the log's client for an answer
	tableWait   = 5 * time.Second
)

func patienceOf(p point) time.Duration {
	if p.part() == "redis" {
		return longestWait
	}
	return tableWait
}

// background are calls that change nothing but leases.
var background = map[point]bool{
	"redis.info": true, "redis.head": true, "redis.facts": true, "redis.epoch": true, "redis.usage": true,
	"redis.stats": true, "redis.peek": true, "redis.trim": true, "redis.streams": true,
}

func (chaos) fault(w *world, p point, actor string, n int) fault {
	if p == "redis.hello" {
		return fault{} // see latency
	}
	rate := [...]float64{0.005, 0.02, 0.05}[w.dice("rate", 0).IntN(3)]
	if background[p] {
		rate /= 5
	}
	r := w.dice("fault "+string(p)+actor, n)
	if r.Float64() >= rate {
		return fault{}
	}
	hold := patienceOf(p) + between(r, time.Second, 5*time.Second)
	switch x := r.IntN(100); {
	case x < 28:
		return fault{kind: answerLost}
	case x < 40:
		return fault{kind: failed}
	case x < 55:
		return fault{kind: cut}
	case x < 70:
		return fault{kind: crashAfter}
	case x < 80:
		return fault{kind: crashBefore}
	case x < 84:
		return fault{kind: timeout, hold: hold}
	case x < 88:
		return fault{kind: swallowed, hold: hold}
	case x < 93:
		return fault{kind: late, hold: hold}
	}
	return fault{kind: answerLost}
}

// accidents are the faults of a run that belong to no call.
func accidents(w *world) {
	r := w.dice("accidents", 0)
	for _, a := range []struct {
		percent int
		happen  func(*world)
	}{
		{25, func(w *world) { w.outage("table", between(r, 100*time.Millisecond, 6*time.Second)) }},
		{15, func(w *world) { w.outage("redis", between(r, 100*time.Millisecond, 6*time.Second)) }},
		{15, func(w *world) {
			w.outage("broker", between(r, 100*time.Millisecond, 3*time.Second))
			w.dropConsumer()
		}},
		{15, func(w *world) { // a broken connection: everything unacknowledged comes again
			w.count("redelivery")
			w.dropConsumer()
		}},
		{20, func(w *world) { // a second engine waits, the first falls silent and comes back
			w.keepAlive("b")
			if w.wait(between(r, 10*time.Millisecond, 500*time.Millisecond)) {
				w.count("frozen")
				w.youngest("a").freeze(leaseTime + between(r, 500*time.Millisecond, 4*time.Second))
			}
		}},
		{10, func(w *world) { // the same engine is started again while it runs
			w.count("second process")
			w.keepAlive("a")
		}},
		{15, func(w *world) {
			w.count("kill")
			w.youngest("a").crash()
		}},
	} {
		if r.IntN(100) >= a.percent {
			continue
		}
		if !w.wait(between(r, 5*time.Millisecond, 700*time.Millisecond)) {
			return
		}
		a.happen(w)
	}
}

func (w *world) dropConsumer() {
	w.broker.mu.Lock()
	s := w.broker.consumer
	w.broker.mu.Unlock()
	if s != nil {
		w.broker.end(s)
	}
}

// youngest is the newest process of an engine id.
func (w *world) youngest(id string) *engine {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found *engine
	for _, e := range w.engines {
		if e.id == id {
			found = e
		}
	}
	return found
}
