package faults

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/testserver"
)

// stockReader reads one stream with the subscriber of watermill-redisstream in its
// own settings, but for the pending entries, which it may claim sooner than after a
// minute.
type stockReader struct {
	t     *testing.T
	redis *testserver.RedisServer
	group string
	idle  time.Duration
}

const orderedStream = "ordered"

// publish appends the numbers 0..n-1.
func (s stockReader) publish(n int) {
	s.t.Helper()
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: s.client()}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer pub.Close()
	for i := range n {
		if err := pub.Publish(orderedStream, message.NewMessage(strconv.Itoa(i), nil)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s stockReader) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
}

// live takes messages until more says that it is enough; the last one is in flight
// when the reader ends, as some are when a process is killed.
func (s stockReader) live(more func(n int) bool) {
	s.t.Helper()
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: s.client(), ConsumerGroup: s.group, OldestId: "0",
		ClaimInterval: 50 * time.Millisecond, MaxIdleTime: s.idle,
		ShouldStopOnReadErrors: func(error) bool { return true }, // or a reader outlives its close
	}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	in, err := sub.Subscribe(ctx, orderedStream)
	if err != nil {
		s.t.Fatal(err)
	}
	for msg := range in {
		n, err := strconv.Atoi(msg.UUID)
		if err != nil {
			s.t.Fatal(err)
		}
		if !more(n) {
			break
		}
		msg.Ack()
	}
	if err := sub.Close(); err != nil {
		s.t.Fatal(err)
	}
	if ctx.Err() != nil {
		s.t.Fatal("the subscriber did not hand out what it ought to within a minute")
	}
}

// TestFaultControlConsumerGroupBreaksOrder restarts a reader with a message in
// flight, as TestFaultRestartOrder does with engines. The stock subscriber hands
// out what comes after that message first, and the message itself when it has been
// idle: this is why lanes have no consumer group. Without the restarts it keeps the
// order.
func TestFaultControlConsumerGroupBreaksOrder(t *testing.T) {
	const messages, restarts = 60, 5
	server := testserver.Redis(t)
	s := stockReader{t, server, "undisturbed", time.Minute}
	s.publish(messages)
	if got := s.read(messages, 0); !slices.IsSorted(got) {
		t.Fatalf("out of order without a restart: %v", got)
	}
	s.group, s.idle = "restarted", 2*time.Second
	got := s.read(messages, restarts)
	if slices.IsSorted(got) {
		t.Fatalf("in order over %d restarts: TestFaultRestartOrder proves nothing", restarts)
	}
	t.Logf("over %d restarts it took %v", restarts, got)
}

// read takes every message once, over a number of restarts after ten each, and
// returns the numbers in the order in which they were finished.
func (s stockReader) read(messages, restarts int) (took []int) {
	s.t.Helper()
	for range restarts {
		left := 10
		s.live(func(n int) bool {
			if left--; left < 0 {
				return false
			}
			took = append(took, n)
			return true
		})
	}
	s.live(func(n int) bool {
		took = append(took, n)
		return len(took) < messages
	})
	return took
}
