package simulation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// engine is one process: what it knows ends with it.
type engine struct {
	w    *world
	id   string        // engine id; several processes in a row share it
	name string        // id and number of the process
	gone chan struct{} // closed by its crash
	stop context.CancelCauseFunc
	log  *stream.Log

	appending chan struct{} // capacity 1: held while a control appends

	mu     sync.Mutex
	conns  []net.Conn // guarded by mu, as the rest
	frozen time.Time  // until when nothing gets through
	ended  bool       // gone is closed
	hungUp bool       // its connections are closed
}

// spawn starts one process and returns a channel that is closed when it has ended
// or is dead.
func (w *world) spawn(id string) (*engine, <-chan error) {
	w.mu.Lock()
	number := 0
	for _, e := range w.engines {
		if e.id == id {
			number++
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	e := &engine{w: w, id: id, name: fmt.Sprintf("%s%d", id, number), gone: make(chan struct{}), stop: stop, appending: make(chan struct{}, 1)}
	w.engines = append(w.engines, e)
	w.mu.Unlock()
	ended := make(chan error, 1)
	w.tasks.Go(func() {
		err := e.run(ctx)
		e.hangUp()
		if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
			err = c
		}
		ended <- err
	})
	return e, ended
}

var errCrash = errors.New("crash")

// keepAlive starts processes of one id, one after another, as a supervisor does.
func (w *world) keepAlive(id string) {
	e, ended := w.spawn(id)
	w.tasks.Go(func() {
		for {
			var err error
			select {
			case err = <-ended:
			case <-e.gone:
				err = errCrash
			case <-w.over:
				return
			}
			if !w.mayRestart(e, err) || !w.wait(100*time.Millisecond) {
				return
			}
			e, ended = w.spawn(id)
		}
	})
}

// mayRestart reports whether a process that ended with err gets a successor.
func (w *world) mayRestart(e *engine, err error) bool {
	if errors.Is(err, stream.ErrReplaced) {
		return false
	}
	if err != nil && !errors.Is(err, errCrash) {
		if node.ClassOf(err) == node.Fatal {
			w.wrong("engine %s stopped for good: %v", e.name, err)
			return false
		}
		w.count("start failed")
	}
	return true
}

// stopAll ends every process as a signal does.
func (w *world) stopAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.engines {
		e.stop(nil)
	}
}

func (e *engine) isGone() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// crash ends the process as SIGKILL does: from here on nothing of it reaches the
// outside but what is on the way already.
func (e *engine) crash() {
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		return
	}
	e.ended = true
	close(e.gone)
	e.mu.Unlock()
	e.stop(errCrash)
	e.hangUp()
	e.w.broker.drop(e)
}

// hangUp closes all connections, as the end of a process does.
func (e *engine) hangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hungUp = true
	for _, c := range e.conns {
		_ = c.Close()
	}
}

func (e *engine) adopt(c net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns = append(e.conns, c)
	if e.hungUp {
		_ = c.Close()
	}
}

// freeze lets nothing of e through for d: what it asks and what it is answered
// waits. The broker takes its connection for dead.
func (e *engine) freeze(d time.Duration) {
	e.mu.Lock()
	e.frozen = time.Now().Add(d)
	e.mu.Unlock()
	e.w.broker.drop(e)
}

// thaw waits while e is frozen and reports whether e still lives.
func (e *engine) thaw() bool {
	e.mu.Lock()
	until := e.frozen
	e.mu.Unlock()
	if time.Now().Before(until) {
		return e.pause(time.Until(until))
	}
	return !e.isGone()
}

// pause lets d pass and reports whether e still lives.
func (e *engine) pause(d time.Duration) bool { return e.waitFor(context.Background(), d) }

func (e *engine) waitFor(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return !e.isGone()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return !e.isGone()
	case <-e.gone:
	case <-ctx.Done():
	}
	return false
}

// run is the process's main: it opens the log and keeps every part under its lease,
// as package runtime does.
func (e *engine) run(ctx context.Context) error {
	log, err := stream.Open(ctx, stream.Config{
		URL: "redis://127.0.0.1:6379", Pipeline: "sim", EngineID: e.id, Lanes: lanes, LeaseTTL: leaseTime,
		Logger: e.w.logger, OnFatal: func(err error) { e.stop(err) }, Dial: e.dial, Jitter: func() float64 { return 0.5 },
	})
	if err != nil {
		return err
	}
	e.log = log
	defer log.Close()
	if err := e.prepare(ctx); err != nil {
		return err
	}
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	var services sync.WaitGroup
	services.Go(func() { _ = log.Run(background) }) // what stops it is heard through OnFatal
	e.runAll(ctx)
	end()
	services.Wait()
	return nil
}

func (e *engine) prepare(ctx context.Context) error {
	if err := e.log.EnsureStreams(ctx, []string{stream.Journal, readings}); err != nil {
		return err
	}
	if err := e.log.RegisterReader(ctx, stageReader, stream.Journal, false); err != nil {
		return err
	}
	return e.log.RegisterReader(ctx, sinkReader, readings, e.w.control != sinkPositionOff)
}

// runAll runs all parts until ctx ends, and ends them upstream first.
func (e *engine) runAll(ctx context.Context) {
	var sources, stages, sinks sync.WaitGroup
	afterSources, endStages := context.WithCancel(context.WithoutCancel(ctx))
	afterStages, endSinks := context.WithCancel(context.WithoutCancel(ctx))
	defer endStages()
	defer endSinks()
	sinks.Go(func() { e.keep(afterStages, "sink:"+sinkReader, e.runSink) })
	stages.Go(func() { e.keep(afterSources, "stage:"+stageReader, e.runStage) })
	sources.Go(func() { e.keep(ctx, "source:"+sourceID, e.runSource) })
	<-ctx.Done()
	sources.Wait()
	endStages()
	stages.Wait()
	endSinks()
	sinks.Wait()
}

const restartPause = 2 * time.Second

// keep runs one part under its lease until ctx ends, as package runtime does. There
// it is left to chance whether a part that lost its lease pauses, as two goroutines
// hear of the loss; here it never does, so that a seed does the same again.
func (e *engine) keep(ctx context.Context, part string, run func(context.Context, *stream.Lease) error) {
	for ctx.Err() == nil {
		lease, err := e.log.Acquire(ctx, part)
		if err != nil {
			lifecycle.Sleep(ctx, restartPause)
			continue
		}
		e.w.leased(part, e)
		if lost, err := e.runUnder(ctx, lease, run); err != nil && !lost && ctx.Err() == nil {
			e.w.logger.Info("part ended", "engine", e.name, "part", part, "error", err)
			lifecycle.Sleep(ctx, restartPause)
		}
	}
}

func (e *engine) runUnder(ctx context.Context, lease *stream.Lease, run func(context.Context, *stream.Lease) error) (lost bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-lease.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	err = run(ctx, lease)
	select {
	case <-lease.Lost():
		lost = true
	default:
	}
	release, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	_ = lease.Release(release) // else it expires
	return lost, err
}

// leased counts a part that goes to another engine while its last one lives.
func (w *world) leased(part string, e *engine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.owner[part]; before != "" && before != e.name {
		for _, other := range w.engines {
			if other.name == before && !other.isGone() {
				w.injected["lease taken over"]++
			}
		}
	}
	w.owner[part] = e.name
}
