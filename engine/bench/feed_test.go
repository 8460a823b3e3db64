//go:build bench

package bench

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// queues are the four plant queues; message i goes to queue i mod 4.
var queues = [4]string{"master.plant1", "master.plant2", "master.plant3", "master.plant4"}

const devices = 32

// reading is one JSON reading of about 150 bytes; n is its arrival counter
// and, plus a half, its value.
func reading(n int, at time.Time) []byte {
	b := make([]byte, 0, 160)
	b = fmt.Appendf(b, `{"id":"plant%d-%012d","device":"machine-%02d","metric":"temperature","ts":"%s","value":%s,"unit":"C"}`,
		n%4+1, n, n/4%devices, at.UTC().Format("2006-01-02T15:04:05.000Z"), strconv.FormatFloat(float64(n)+0.5, 'f', -1, 64))
	return b
}

func messageID(n int) string { return fmt.Sprintf("plant%d-%012d", n%4+1, n) }

// fill declares the four durable queues, empties them and publishes count persistent readings,
// confirmed, before it returns.
func fill(t testing.TB, url string, count int) {
	t.Helper()
	conn, ch := dial(t, url)
	defer conn.Close()
	declare(t, ch)
	for _, q := range queues {
		if _, err := ch.QueuePurge(q, false); err != nil {
			t.Fatal(err)
		}
	}
	pour(t, url, count)
}

// pour publishes count persistent readings into the queues that are there.
func pour(t testing.TB, url string, count int) {
	t.Helper()
	pourSpoiled(t, url, count, func(int, *amqp091.Publishing) {})
}

// pourSpoiled does so after spoil has been at each.
func pourSpoiled(t testing.TB, url string, count int, spoil func(n int, p *amqp091.Publishing)) {
	t.Helper()
	conn, ch := dial(t, url)
	defer conn.Close()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation, count))
	const window = 5000
	now := time.Now()
	for n := range count {
		p := publishing(n, now)
		spoil(n, &p)
		send(t, ch, n, p)
		if n >= window {
			if c := <-confirms; !c.Ack {
				t.Fatal("publish refused")
			}
		}
	}
	for range min(window, count) {
		if c := <-confirms; !c.Ack {
			t.Fatal("publish refused")
		}
	}
}

func publishing(n int, at time.Time) amqp091.Publishing {
	return amqp091.Publishing{
		ContentType: "application/json", DeliveryMode: amqp091.Persistent, MessageId: messageID(n), Body: reading(n, at),
	}
}

func send(t testing.TB, ch *amqp091.Channel, n int, p amqp091.Publishing) {
	if err := ch.PublishWithContext(context.Background(), "", queues[n%4], true, false, p); err != nil {
		t.Fatal(err)
	}
}

func dial(t testing.TB, url string) (*amqp091.Connection, *amqp091.Channel) {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return conn, ch
}

func declare(t testing.TB, ch *amqp091.Channel) {
	t.Helper()
	for _, q := range queues {
		if _, err := ch.QueueDeclare(q, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
}
