package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// lane is one lane's stream to the plugin. A unit holds the lane from its sending to
// its answer, so that the lane moves to another worker only between two units.
type lane struct {
	number int

	mu     sync.Mutex
	work   *worker       // guarded by mu: that the next unit goes to
	moved  chan struct{} // guarded by mu: closed when work changes
	inst   *instance     // guarded by mu, as all below: that stream belongs to; nil: no stream
	stream stream
	cancel context.CancelFunc
	unit   uint64
	frame  event.Frame
	req    pluginv1.ProcessRequest
	resp   pluginv1.ProcessResponse

	suspect suspect // guarded by mu

	began   atomic.Int64            // when the unit in hand was sent, ns since the epoch; 0: none
	failure atomic.Pointer[string]  // of the last unit; nil: it succeeded
	sampler atomic.Pointer[sampler] // who wants to see some of the next unit; nil: nobody
}

func newLane(number int, w *worker) *lane {
	return &lane{number: number, work: w, moved: make(chan struct{})}
}

func (l *lane) busyFor(now time.Time) time.Duration {
	if began := l.began.Load(); began != 0 {
		return time.Duration(now.UnixNano() - began)
	}
	return 0
}

func (l *lane) lastFailure() string {
	if text := l.failure.Load(); text != nil {
		return *text
	}
	return ""
}

// process sends in as the lane's next unit and gathers the answer. It waits while
// there is no process.
func (l *lane) process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	for {
		l.mu.Lock()
		w, moved := l.work, l.moved
		inst, changed := w.running()
		if inst != nil {
			results, err := l.attempt(ctx, inst, in)
			l.mu.Unlock()
			return results, laidTo(w, err)
		}
		l.mu.Unlock()
		if err := w.wait(ctx, changed, moved); err != nil {
			return nil, laidTo(w, err)
		}
	}
}

func laidTo(w *worker, err error) error {
	if err == nil {
		return nil
	}
	return &node.MakerError{Maker: w.stamp, Err: err}
}

func (l *lane) attempt(ctx context.Context, inst *instance, in *node.Batch) ([]node.Result, error) {
	l.began.Store(time.Now().UnixNano())
	defer l.began.Store(0)
	results, err := l.deliver(ctx, inst, in)
	if ctx.Err() == nil {
		l.work.tally.count(len(in.Events), results, err)
	}
	if err != nil {
		return nil, l.failed(err)
	}
	l.suspect.passed(in)
	if l.failure.Load() != nil {
		l.failure.Store(nil)
	}
	if s := l.sampler.Load(); s != nil {
		s.offer(in)
	}
	return results, nil
}

// move gives the lane another worker, after the unit in hand. It returns for how
// long no unit could begin.
func (l *lane) move(w *worker) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := time.Now()
	l.drop()
	l.work, l.suspect = w, suspect{} // another version is suspected of nothing
	close(l.moved)
	l.moved = make(chan struct{})
	if inst, _ := w.running(); inst != nil {
		_ = l.open(inst) // the unit that needs the stream will find the same error
	}
	return time.Since(start)
}

// deliver takes a unit to the process and back, or through a probe once it has cost
// two processes.
func (l *lane) deliver(ctx context.Context, inst *instance, in *node.Batch) ([]node.Result, error) {
	if l.suspect.proven(in) {
		return l.probe(ctx, in)
	}
	if err := l.open(inst); err != nil {
		return nil, err
	}
	results, err := l.carry(ctx, in)
	if err == nil {
		inst.units.Add(1)
		return results, nil
	}
	if inst.why() == nil || ctx.Err() != nil || inst.proc.attached { // which has one process, and no other for a probe
		return nil, err
	}
	l.suspect.crashed(in)
	if !l.suspect.proven(in) {
		return nil, err
	}
	return l.probe(ctx, in)
}

// carry takes a unit with its state over the open stream and back.
func (l *lane) carry(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	state, err := l.work.gather(in)
	if err != nil {
		return nil, err
	}
	results, err := l.exchange(ctx, in, state)
	if err == nil {
		err = l.work.put(ctx, state, in.State)
	}
	return results, err
}

// exchange takes a unit over the open stream and back, within CallDeadline.
func (l *lane) exchange(ctx context.Context, in *node.Batch, state *unitState) ([]node.Result, error) {
	inst, deadline := l.inst, l.work.cfg.CallDeadline
	timer := time.AfterFunc(deadline, func() { inst.giveUp(&deadlineError{len(in.Events), deadline}) })
	stop := context.AfterFunc(ctx, l.cancel)
	l.unit++
	x := exchange{lane: l, in: in, state: state, results: make([]node.Result, len(in.Events))}
	err := x.run()
	timer.Stop()
	if !stop() || err != nil {
		err = l.settle(ctx, err)
	}
	return x.results, err
}

func (l *lane) failed(err error) error {
	text := err.Error()
	l.failure.Store(&text)
	return err
}

// open makes sure that there is a stream to inst.
func (l *lane) open(inst *instance) error {
	if l.inst == inst {
		return nil
	}
	l.drop()
	stream, cancel, err := inst.open()
	if err != nil {
		inst.autopsy(fmt.Errorf("opening a stream: %w", err))
		return node.AsUnsure(inst.why())
	}
	l.inst, l.stream, l.cancel, l.unit = inst, stream, cancel, 0
	l.req = pluginv1.ProcessRequest{Lane: uint32(l.number)}
	return nil
}

// drop ends the stream; the plugin forgets the unit that it was at.
func (l *lane) drop() {
	if l.inst != nil {
		l.cancel()
		l.inst, l.stream = nil, nil
	}
}

// close ends the stream of a lane that gets no more units.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
}

// answerError is an error that the plugin gave as its answer; the stream is sound.
type answerError struct{ err error }

// Error is what the plugin says.
func (e *answerError) Error() string { return e.err.Error() }

// Unwrap returns the error with its class.
func (e *answerError) Unwrap() error { return e.err }

// refusedError is a unit or an answer that the host refuses for good; the plugin
// may be in the midst of it.
type refusedError struct{ text string }

// Error says what is refused, and the limit.
func (e *refusedError) Error() string { return e.text }

func refused(format string, args ...any) error { return &refusedError{fmt.Sprintf(format, args...)} }

// brokenError is an answer that no plugin may give.
type brokenError struct{ text string }

// Error says what the contract forbids.
func (e *brokenError) Error() string { return "it broke the contract: " + e.text }

func broken(format string, args ...any) error { return &brokenError{fmt.Sprintf(format, args...)} }

// deadlineError is the answer that did not come.
type deadlineError struct {
	events int // of the unit
	limit  time.Duration
}

// Error names the unit's size and the limit.
func (e *deadlineError) Error() string {
	return fmt.Sprintf("no answer to a unit of %d events within %s", e.events, e.limit)
}

// settle decides what an error of an exchange means for the stream, the process
// and the unit.
func (l *lane) settle(ctx context.Context, err error) error {
	if answer, ok := errors.AsType[*answerError](err); ok {
		return answer.err
	}
	inst := l.inst
	l.drop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*refusedError](err); ok {
		return node.AsRejected(err)
	}
	if status.Code(err) == codes.ResourceExhausted {
		return node.AsRejected(fmt.Errorf("its answer does not fit in a message of %d bytes: %s",
			pluginv1.MaxMessageBytes, status.Convert(err).Message()))
	}
	if _, ok := errors.AsType[*brokenError](err); ok {
		inst.giveUp(err)
	} else {
		inst.autopsy(fmt.Errorf("its stream broke: %w", err))
	}
	return node.AsUnsure(inst.why())
}
