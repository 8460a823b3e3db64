package canary

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// FlowOptions say what a flow sends and where it is received.
type FlowOptions struct {
	Queue   string
	Publish []Endpoint // tried in turn
	Consume []Endpoint // tried in turn
	Rate    int        // messages per second, 1 to 1000
}

// inFlight bounds the messages whose confirm is waited for.
const inFlight = 500

// Flow sends numbered persistent messages into a queue, reads and acknowledges them,
// and keeps the account. It goes on by itself when a node goes away. A message whose
// confirm is lost is not sent again: nobody has promised anything about it.
type Flow struct {
	o    FlowOptions
	stop context.CancelFunc // ends the publisher
	kill context.CancelFunc // ends the consumer
	wait sync.WaitGroup
	done chan struct{} // closed when the publisher has ended

	mu        sync.Mutex
	sent      int               // guarded by mu, as all below
	confirmed map[int]bool      // by number
	received  map[int]int       // by number, how often
	marked    int               // deliveries marked as redelivered
	doubled   int               // deliveries of an acknowledged message that were not marked
	mark      time.Time         // set by Mark
	after     map[int]time.Time // when a message was sent, for those since the mark
	first     time.Duration     // from the mark to the first delivery of a message sent since
	came      time.Time         // when the last delivery came
	silence   time.Duration     // longest time between two deliveries
	again     time.Duration     // from the mark to the first marked delivery
	breaks    int               // connections lost
	last      error             // why a connection was lost last
}

// Ledger is the account of a flow.
type Ledger struct {
	Sent        int           `json:"sent"`
	Confirmed   int           `json:"confirmed"`
	Received    int           `json:"received"`    // different messages
	Lost        []int         `json:"lost"`        // confirmed, never received
	Doubled     int           `json:"doubled"`     // received again without a mark
	Redelivered int           `json:"redelivered"` // received again, or for the first time after a failure, and marked so
	Breaks      int           `json:"breaks"`      // connections lost
	Silence     time.Duration `json:"silence"`     // longest time between two deliveries, in ns
	First       time.Duration `json:"first"`       // from the mark to the first delivery of a message sent after it, in ns; 0: none
	Again       time.Duration `json:"again"`       // from the mark to the first marked delivery, in ns; 0: none
}

// NewFlow starts a flow; [Flow.Finish] ends it.
func NewFlow(ctx context.Context, o FlowOptions) *Flow {
	f := &Flow{o: o, done: make(chan struct{}), confirmed: map[int]bool{}, received: map[int]int{}, after: map[int]time.Time{}}
	var publishing, consuming context.Context
	publishing, f.stop = context.WithCancel(ctx)
	consuming, f.kill = context.WithCancel(ctx)
	f.wait.Go(func() {
		defer close(f.done)
		f.keep(publishing, o.Publish, f.publish)
	})
	f.wait.Go(func() { f.keep(consuming, o.Consume, f.consume) })
	return f
}

// keep runs work on one connection after another until ctx ends.
func (f *Flow) keep(ctx context.Context, endpoints []Endpoint, work func(context.Context, *amqp091.Connection) error) {
	for i := 0; ctx.Err() == nil; i++ {
		err := f.once(ctx, endpoints[i%len(endpoints)], work)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		f.breaks++
		f.last = err
		f.mu.Unlock()
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (f *Flow) once(ctx context.Context, e Endpoint, work func(context.Context, *amqp091.Connection) error) error {
	dialing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dial(dialing, e, "millrace flow")
	if err != nil {
		return err
	}
	defer conn.CloseDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // it may be lost already
	return work(ctx, conn)
}

func (f *Flow) publish(ctx context.Context, conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	closed := conn.NotifyClose(make(chan *amqp091.Error, 1))
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation, inFlight))
	tick := time.NewTicker(time.Second / time.Duration(f.o.Rate))
	defer tick.Stop()
	numbers := map[uint64]int{}
	for {
		next := tick.C
		if len(numbers) >= inFlight {
			next = nil // only confirms make room
		}
		select {
		case <-ctx.Done():
			return f.settle(numbers, confirms)
		case err := <-closed:
			return lostConnection(err)
		case c, ok := <-confirms:
			if !ok {
				return errors.New("the channel is closed")
			}
			f.confirm(numbers, c)
		case <-next:
			tag, n := ch.GetNextPublishSeqNo(), f.next()
			numbers[tag] = n
			message := amqp091.Publishing{DeliveryMode: amqp091.Persistent, MessageId: strconv.Itoa(n), Body: []byte(strconv.Itoa(n))}
			if err := ch.PublishWithContext(ctx, "", f.o.Queue, true, false, message); err != nil {
				return err
			}
		}
	}
}

func lostConnection(err *amqp091.Error) error {
	if err == nil {
		return errors.New("the connection is closed")
	}
	return err
}

// settle waits for the confirms that are still to come, for some seconds.
func (f *Flow) settle(numbers map[uint64]int, confirms <-chan amqp091.Confirmation) error {
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	for len(numbers) > 0 {
		select {
		case c, ok := <-confirms:
			if !ok {
				return nil
			}
			f.confirm(numbers, c)
		case <-timer.C:
			return nil
		}
	}
	return nil
}

func (f *Flow) next() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	if !f.mark.IsZero() && f.first == 0 {
		f.after[f.sent] = time.Now()
	}
	return f.sent
}

func (f *Flow) confirm(numbers map[uint64]int, c amqp091.Confirmation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, ok := numbers[c.DeliveryTag]; ok && c.Ack {
		f.confirmed[n] = true
	}
	delete(numbers, c.DeliveryTag)
}

func (f *Flow) consume(ctx context.Context, conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(200, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(f.o.Queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return errors.New("the consumer is ended")
			}
			f.note(d)
			if err := d.Ack(false); err != nil {
				return err
			}
		}
	}
}

func (f *Flow) note(d amqp091.Delivery) {
	n, err := strconv.Atoi(d.MessageId)
	if err != nil {
		return // not one of ours
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.came.IsZero() {
		f.silence = max(f.silence, now.Sub(f.came))
	}
	f.came = now
	f.received[n]++
	if d.Redelivered {
		f.marked++
		if f.again == 0 && !f.mark.IsZero() {
			f.again = time.Since(f.mark)
		}
	} else if f.received[n] > 1 {
		f.doubled++
	}
	if _, since := f.after[n]; since && f.first == 0 {
		f.first = time.Since(f.mark)
	}
}

// Mark begins the time that [Ledger.First] and [Ledger.Again] tell.
func (f *Flow) Mark() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mark = time.Now()
}

// Moving reports whether a message that was sent since the mark has arrived.
func (f *Flow) Moving() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first > 0
}

// Confirmed is the number of confirmed messages so far.
func (f *Flow) Confirmed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.confirmed)
}

// Trouble is why a connection was lost last, nil if none was.
func (f *Flow) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Finish ends the publisher, waits until every confirmed message has been received,
// or for limit, and returns the account.
func (f *Flow) Finish(limit time.Duration) Ledger {
	f.stop()
	<-f.done
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && len(f.lost()) > 0; {
		select {
		case <-deadline.C:
			waiting = false
		case <-tick.C:
		}
	}
	f.kill()
	f.wait.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return Ledger{
		Sent: f.sent, Confirmed: len(f.confirmed), Received: len(f.received), Lost: f.missing(),
		Doubled: f.doubled, Redelivered: f.marked, Breaks: f.breaks, Silence: f.silence, First: f.first, Again: f.again,
	}
}

func (f *Flow) lost() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missing()
}

// missing are the confirmed messages that were not received; f.mu is held.
func (f *Flow) missing() []int {
	lost := []int{}
	for n := range f.confirmed {
		if f.received[n] == 0 {
			lost = append(lost, n)
		}
	}
	return lost
}
