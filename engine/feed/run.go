package feed

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// flushGrace is how long Run waits for confirms after its context has ended.
const flushGrace = 5 * time.Second

// RunOptions says how fast a data set is published.
type RunOptions struct {
	Rate float64 // records (readings, rows) a second; 0: as fast as the broker confirms
	// Progress, if set, is called about every Every (default 200 ms) and once at the end.
	Progress func(Progress)
	Every    time.Duration
}

// Progress is how far a Run has come.
type Progress struct {
	Messages int   `json:"messages"` // handed to the broker
	Records  int   `json:"records"`  // readings or rows in them
	Total    int   `json:"total"`    // records in all, -1 if there is no end
	Bytes    int64 `json:"bytes"`    // of message bodies
	Stats
	Elapsed time.Duration `json:"-"`
	Seconds float64       `json:"seconds"`
}

// Rate returns the records published per second so far.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Records) / p.Elapsed.Seconds()
}

// Left returns how long the rest will take at this rate, 0 if nobody can tell.
func (p Progress) Left() time.Duration {
	if p.Total < 0 || p.Rate() == 0 {
		return 0
	}
	return time.Duration(float64(p.Total-p.Records) / p.Rate() * float64(time.Second))
}

// Run publishes data until its end and returns once everything is confirmed or
// returned. If ctx ends first, Run waits a moment for what is on its way and
// returns without error.
func Run(ctx context.Context, data Data, p *Publisher, o RunOptions) (Progress, error) {
	if o.Every <= 0 {
		o.Every = 200 * time.Millisecond
	}
	r := &runner{publisher: p, options: o, start: time.Now(), progress: Progress{Total: data.Total()}}
	r.told = r.start
	err := r.all(ctx, data)
	if err == nil {
		err = r.flush(ctx)
	}
	r.report(time.Now(), true)
	return r.progress, err
}

type runner struct {
	publisher *Publisher
	options   RunOptions
	start     time.Time
	told      time.Time
	progress  Progress
}

func (r *runner) all(ctx context.Context, data Data) error {
	pace := newPace(r.options.Rate)
	for ctx.Err() == nil {
		now := time.Now()
		messages, records, err := data.Next(now)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.publish(ctx, messages, records); err != nil {
			return ignoreEnd(ctx, err)
		}
		r.report(now, false)
		if err := pace.wait(ctx, records); err != nil {
			return ignoreEnd(ctx, err)
		}
	}
	return nil
}

// ignoreEnd drops an error that is only the end of ctx.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *runner) publish(ctx context.Context, messages []node.Message, records int) error {
	for i := range messages {
		if err := r.publisher.Publish(ctx, &messages[i]); err != nil {
			return err
		}
		r.progress.Messages++
		r.progress.Bytes += int64(len(messages[i].Body))
	}
	r.progress.Records += records
	return nil
}

func (r *runner) flush(ctx context.Context) error {
	err := r.publisher.Flush(ctx)
	if ctx.Err() == nil {
		return err
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushGrace)
	defer cancel()
	return ignoreEnd(ctx, r.publisher.Flush(grace))
}

func (r *runner) report(now time.Time, last bool) {
	if !last && now.Sub(r.told) < r.options.Every {
		return
	}
	r.told = now
	r.progress.Stats = r.publisher.Stats()
	r.progress.Elapsed = now.Sub(r.start)
	r.progress.Seconds = r.progress.Elapsed.Seconds()
	if r.options.Progress != nil {
		r.options.Progress(r.progress)
	}
}
