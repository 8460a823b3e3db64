package stock

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/millrace/millrace/engine/node"
)

// ErrQueuesClosed is returned by Publish after Close.
var ErrQueuesClosed = errors.New("embedded queues are closed")

// Queues is the embedded stand-in of a message broker: one watermill GoChannel
// for each queue. A GoChannel keeps nothing and forgets a message whose reader
// goes away; so Publish waits for a reader, and for its ack, and publishes again
// if the ack does not come: at least once and in order, as long as the process
// lives. Methods may be called from any goroutine.
type Queues struct {
	log    *slog.Logger
	closed chan struct{}

	mu     sync.Mutex // guards queues
	queues map[string]*queue
}

// NewQueues returns queues that exist from their first use on. log may be nil.
func NewQueues(log *slog.Logger) *Queues {
	return &Queues{log: log, closed: make(chan struct{}), queues: map[string]*queue{}}
}

type queue struct {
	name    string
	channel *gochannel.GoChannel
	turn    chan struct{} // capacity 1: held by the one message on its way

	mu      sync.Mutex // guards what follows
	number  uint64     // of the message on its way
	acked   uint64
	readers int
	change  chan struct{} // closed and replaced when readers grows
}

func (q *Queues) queue(name string) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.queues[name]
	if out == nil {
		channel := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, nil)
		out = &queue{name: name, channel: channel, turn: make(chan struct{}, 1), change: make(chan struct{})}
		q.queues[name] = out
	}
	return out
}

// Publish hands m to the queue's reader and returns once it is acknowledged. It
// waits while there is no reader. After ctx ends or Close the message may still
// arrive.
func (q *Queues) Publish(ctx context.Context, name string, m node.Message) error {
	to := q.queue(name)
	select {
	case to.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closed:
		return ErrQueuesClosed
	}
	m.Queue = name
	done := make(chan error, 1)
	go func() {
		done <- q.deliver(ctx, to, &m)
		<-to.turn
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closed:
		return ErrQueuesClosed
	}
}

// deliver publishes m until a reader has acknowledged it.
func (q *Queues) deliver(ctx context.Context, to *queue, m *node.Message) error {
	to.mu.Lock()
	to.number++
	number := to.number
	to.mu.Unlock()
	for {
		if err := to.awaitReader(ctx, q.closed); err != nil {
			return err
		}
		msg := toMessage(m)
		msg.Metadata[metaNumber] = strconv.FormatUint(number, 10)
		if err := to.channel.Publish(to.name, msg); err != nil {
			return ErrQueuesClosed
		}
		if to.isAcked(number) {
			return nil
		}
		m.Redelivered = true
	}
}

func (to *queue) awaitReader(ctx context.Context, closed <-chan struct{}) error {
	for {
		to.mu.Lock()
		readers, change := to.readers, to.change
		to.mu.Unlock()
		if readers > 0 {
			return ctx.Err()
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return ErrQueuesClosed
		}
	}
}

func (to *queue) isAcked(number uint64) bool {
	to.mu.Lock()
	defer to.mu.Unlock()
	return to.acked >= number
}

func (to *queue) ack(msg *message.Message) {
	number, err := strconv.ParseUint(msg.Metadata[metaNumber], 10, 64)
	if err != nil {
		return
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.acked = max(to.acked, number)
}

// Source returns a source of the named queue. A queue has one source at a time.
func (q *Queues) Source(name string) *Source {
	from := q.queue(name)
	return newSource(config{
		name: "embedded queue " + strconv.Quote(name), subscribe: from.subscribe, keep: true, onAck: from.ack, log: q.log,
	})
}

func (to *queue) subscribe(context.Context) (*subscription, error) {
	life, end := context.WithCancel(context.Background())
	messages, err := to.channel.Subscribe(life, to.name)
	if err != nil {
		end()
		return nil, node.AsFatal(ErrQueuesClosed)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.readers++
	close(to.change)
	to.change = make(chan struct{})
	return &subscription{messages, func() error {
		to.mu.Lock()
		to.readers--
		to.mu.Unlock()
		end()
		return nil
	}}, nil
}

// Close ends every queue; what was not acknowledged is gone.
func (q *Queues) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.closed:
		return nil
	default:
		close(q.closed)
	}
	var errs []error
	for _, one := range q.queues {
		errs = append(errs, one.channel.Close())
	}
	return errors.Join(errs...)
}
