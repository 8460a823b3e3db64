// Package canary sends messages through a cluster's nodes and waits for them on
// another one: what no status page can prove. It uses queues of its own and takes
// them away again.
package canary

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/spec"
)

// Endpoint is how to log in to one node.
type Endpoint struct {
	Node     string // its name in the cluster file
	Address  string // host:port
	User     string
	Password spec.Secret
	VHost    string
	TLS      bool
	Trust    string // file with the authority's certificate, with TLS; "": the system's
}

// Result is what became of the canary of one node.
type Result struct {
	Took time.Duration // from publish to receipt
	Err  error         // why it did not arrive
}

// dial logs in to a node. Errors do not show the password.
func dial(ctx context.Context, e Endpoint, name string) (*amqp091.Connection, error) {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(e.User, e.Password.Reveal()), Host: e.Address, Path: "/" + e.VHost, RawPath: "/" + url.PathEscape(e.VHost)}
	if e.TLS {
		u.Scheme = "amqps"
	}
	if e.Trust != "" {
		u.RawQuery = url.Values{"cacertfile": {e.Trust}}.Encode()
	}
	brokers, err := link.Parse([]string{strings.ReplaceAll(u.String(), ",", "%2C")}) // a comma would part two
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Node, err)
	}
	return link.Open(ctx, brokers[0], link.Options{Name: name})
}

// Fly publishes one message through each of from and waits for all of them on to,
// for limit at most. The queue is exclusive: it goes with its connection. It
// returns a result for each node.
func Fly(ctx context.Context, to Endpoint, from []Endpoint, limit time.Duration) map[string]Result {
	results := map[string]Result{}
	conn, queue, deliveries, err := nest(ctx, to)
	if err != nil {
		for _, e := range from {
			results[e.Node] = Result{Err: fmt.Errorf("nothing can be received on %s: %w", to.Node, err)}
		}
		return results
	}
	defer conn.Close()
	arrived := make(chan arrival, len(from)) // room for all: a late one blocks nobody
	go watch(deliveries, arrived)
	var mu sync.Mutex
	var wait sync.WaitGroup
	sent := map[string]time.Time{}
	for _, e := range from {
		wait.Go(func() {
			at, err := send(ctx, e, queue)
			mu.Lock()
			defer mu.Unlock()
			sent[e.Node] = at
			if err != nil {
				results[e.Node] = Result{Err: err}
			}
		})
	}
	wait.Wait()
	collect(ctx, results, sent, arrived, limit)
	return results
}

type arrival struct {
	node string
	at   time.Time
}

// nest declares an exclusive queue on a node and consumes it.
func nest(ctx context.Context, to Endpoint) (*amqp091.Connection, string, <-chan amqp091.Delivery, error) {
	conn, err := dial(ctx, to, "millrace canary")
	if err != nil {
		return nil, "", nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, "", nil, errors.Join(err, conn.Close())
	}
	name := "millrace.canary." + rand.Text()
	if _, err := ch.QueueDeclare(name, false, true, true, false, nil); err != nil {
		return nil, "", nil, errors.Join(err, conn.Close())
	}
	deliveries, err := ch.Consume(name, "", true, true, false, false, nil)
	if err != nil {
		return nil, "", nil, errors.Join(err, conn.Close())
	}
	return conn, name, deliveries, nil
}

func watch(deliveries <-chan amqp091.Delivery, arrived chan<- arrival) {
	for d := range deliveries {
		select {
		case arrived <- arrival{d.MessageId, time.Now()}:
		default:
		}
	}
	close(arrived)
}

// send publishes one message through a node and waits for its confirm.
func send(ctx context.Context, e Endpoint, queue string) (time.Time, error) {
	conn, err := dial(ctx, e, "millrace canary")
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return time.Time{}, err
	}
	if err := ch.Confirm(false); err != nil {
		return time.Time{}, err
	}
	returned := ch.NotifyReturn(make(chan amqp091.Return, 1))
	at := time.Now()
	message := amqp091.Publishing{MessageId: e.Node, Body: []byte("canary " + strconv.FormatInt(at.UnixMilli(), 10))}
	confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, message)
	if err != nil {
		return at, err
	}
	if ok, err := confirm.WaitContext(ctx); err != nil || !ok {
		return at, fmt.Errorf("%s does not confirm: %w", e.Node, errors.Join(err, context.Cause(ctx)))
	}
	select {
	case r, ok := <-returned:
		if ok {
			return at, fmt.Errorf("%s does not know the queue: %s", e.Node, r.ReplyText)
		}
	default:
	}
	return at, nil
}

func collect(ctx context.Context, results map[string]Result, sent map[string]time.Time, arrived <-chan arrival, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for len(results) < len(sent) {
		select {
		case a, ok := <-arrived:
			if !ok {
				missing(results, sent, errors.New("the receiving connection is lost"))
				return
			}
			if _, failed := results[a.node]; !failed {
				results[a.node] = Result{Took: a.at.Sub(sent[a.node])}
			}
		case <-timer.C:
			missing(results, sent, fmt.Errorf("confirmed, and not received within %s", limit))
		case <-ctx.Done():
			missing(results, sent, context.Cause(ctx))
		}
	}
}

func missing(results map[string]Result, sent map[string]time.Time, err error) {
	for node := range sent {
		if _, known := results[node]; !known {
			results[node] = Result{Err: err}
		}
	}
}
