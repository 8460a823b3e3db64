package amqp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// wire is a connection from which a prepared stream of frames is read, in steps.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

func frame(kind byte, size int) []byte {
	f := append([]byte{kind, 0, 1}, binary.BigEndian.AppendUint32(nil, uint32(size))...)
	return append(append(f, make([]byte, size)...), 0xce)
}

// content is one message with body bytes in two body frames.
func content(body int) []byte {
	return bytes.Join([][]byte{frame(1, 40), frame(frameHeader, 30), frame(frameBody, body/2), frame(frameBody, body-body/2)}, nil)
}

func TestMeterCountsFramesAtEveryCut(t *testing.T) {
	stream := bytes.Join([][]byte{frame(1, 100), content(1001), frame(8, 0), content(0), content(7)}, nil)
	for step := 1; step < 60; step++ {
		m := newMeter(wire{nil, stepReader{bytes.NewReader(stream), step}}, 1<<40, time.Second)
		got, err := io.ReadAll(m)
		if err != nil || !bytes.Equal(got, stream) {
			t.Fatalf("step %d: read %d bytes, %v; want %d unchanged", step, len(got), err, len(stream))
		}
		if n, size := m.inflight(); n != 3 || size != 1008+3*messageOverhead {
			t.Fatalf("step %d: %d messages, %d bytes, want 3 and %d", step, n, size, 1008+3*messageOverhead)
		}
	}
}

type stepReader struct {
	r    io.Reader
	step int
}

func (s stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }

func TestMeterStopsAtTheLimitAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := bytes.Repeat(content(1000), 100)
		m := newMeter(wire{nil, stepReader{bytes.NewReader(stream), 500}}, 10_000, time.Second)
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(m)
			read <- err
		}()
		for released := int64(0); released < 100; {
			synctest.Wait()
			n, size := m.inflight()
			if size > 10_000+1000+2*messageOverhead {
				t.Fatalf("%d bytes held, limit 10000", size)
			}
			<-time.After(time.Second / 2) // less than the patience
			m.release(n, n*1000)
			released += n
		}
		if err := <-read; err != nil {
			t.Fatalf("read = %v", err)
		}
	})
}

func TestMeterEndsAfterItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(wire{nil, bytes.NewReader(bytes.Repeat(content(100_000), 10))}, 150_000, 5*time.Second)
		start := time.Now()
		if _, err := io.ReadAll(m); !errors.Is(err, errHeld) {
			t.Fatalf("read = %v, want errHeld", err)
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		if n := m.fitting(); n < 1 || n > 2 {
			t.Errorf("fitting = %d messages of 100 kB in 150 kB", n)
		}
	})
}

func TestMeterLetsOneLargeMessagePass(t *testing.T) {
	m := newMeter(wire{nil, bytes.NewReader(content(1 << 20))}, 1000, time.Hour)
	if got, err := io.ReadAll(m); err != nil || len(got) == 0 {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
}

// TestControlWithoutBudget: with the bound out of the way the client takes
// whatever the prefetch allows.
func TestControlWithoutBudget(t *testing.T) {
	const n, size = 100, 100_000
	b := newBroker(t)
	b.declare(t, nil)
	messages := make([]amqp091.Publishing, n)
	for i := range messages {
		messages[i].Body = make([]byte, size)
	}
	b.publish(t, messages...)
	s := b.source(t, nil)
	next(t, s)
	eventually(t, "ten times the budget of the next test in memory", func() bool {
		_, held := s.sess.meter.inflight()
		return held >= 9<<20
	})
}

// TestLargeMessagesStayWithinTheBudget fills a queue with far more bytes than
// the budget, lets nothing be acknowledged, and then drains it.
func TestLargeMessagesStayWithinTheBudget(t *testing.T) {
	const n, size, budget = 200, 100_000, 1 << 20
	b := newBroker(t)
	b.declare(t, nil)
	messages := make([]amqp091.Publishing, n)
	for i := range messages {
		messages[i] = amqp091.Publishing{Body: append([]byte{byte(i)}, make([]byte, size)...)}
	}
	b.publish(t, messages...)
	s := b.source(t, func(c *Config) { c.MaxInflightBytes = budget })
	s.patience = 200 * time.Millisecond

	next(t, s)
	eventually(t, "the budget's end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sess == nil {
			return true
		}
		if _, held := s.sess.meter.inflight(); held > budget+readBuffer+size {
			t.Fatalf("%d bytes held, budget %d", held, budget)
		}
		return s.sess.why() != nil
	})
	s.patience = limit // from here on every batch is acknowledged, however late
	for want := 0; want < n; {
		batch := next(t, s)
		if batch[0].Body[0] == 0 {
			want = 0 // sent again from the start
		}
		for _, m := range batch {
			if m.Body[0] != byte(want) {
				t.Fatalf("message %d, want %d", m.Body[0], want)
			}
			want++
		}
		if s.cfg.Prefetch != DefaultPrefetch || s.sess.sizes == nil {
			t.Fatal("the configured prefetch was changed")
		}
		if err := s.Ack(batch[len(batch)-1].Seq); err != nil {
			t.Fatalf("Ack = %v", err)
		}
	}
}
