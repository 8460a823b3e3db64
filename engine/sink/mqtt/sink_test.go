package mqttsink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
	"github.com/millrace/millrace/engine/source/mqtt/link"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// limit is how long a test waits for what must happen.
const limit = time.Minute

// good returns a reading with an id of its own.
func good(n int) *event.Event {
	root := &event.Event{RootID: fmt.Sprint("root-", n), Key: "k", Time: 1_700_000_000_000 + int64(n)}
	e := root.Derive("decode", n, 0)
	e.Record = &event.Record{Fields: []event.Field{{Name: "device", Value: event.String("d1")}, {Name: "value", Value: event.Decimal("1.50")}}}
	return e
}

// bad returns an event whose topic nobody can publish to.
func bad(n int) *event.Event {
	e := good(n)
	e.Record = e.Record.With("device", event.String("a/#"))
	return e
}

// broker is a broker with a subscriber that keeps all messages of a tree of topics.
type broker struct {
	url string

	mu       sync.Mutex
	messages []*paho.Publish
	topics   string
	conn     *link.Conn
}

func subscribe(t *testing.T, url, topics string) *broker {
	t.Helper()
	b := &broker{url: url, topics: topics}
	b.connect(t)
	t.Cleanup(func() { b.conn.Close() })
	return b
}

// connect goes on with the subscriber's session, which the broker keeps.
func (b *broker) connect(t *testing.T) {
	t.Helper()
	brokers, err := link.Parse([]string{b.url})
	if err != nil {
		t.Fatal(err)
	}
	var conn *link.Conn
	var ready sync.WaitGroup
	ready.Add(1)
	conn, err = link.Open(t.Context(), brokers[0], link.Options{ClientID: "subscriber", Keep: time.Hour, Receive: func(p *paho.Publish) {
		ready.Wait()
		b.mu.Lock()
		b.messages = append(b.messages, p)
		b.mu.Unlock()
		_ = conn.Ack(p)
	}})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	b.conn = conn
	ready.Done()
	if _, err := conn.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: b.topics, QoS: 1}}}); err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
}

func (b *broker) got() []*paho.Publish {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*paho.Publish(nil), b.messages...)
}

// await waits for a number of messages.
func (b *broker) await(t *testing.T, n int) []*paho.Publish {
	t.Helper()
	testserver.Eventually(t, limit, "messages", func() error {
		if have := len(b.got()); have < n {
			return fmt.Errorf("%d of %d are there", have, n)
		}
		return nil
	})
	return b.got()
}

func (b *broker) open(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	cfg := Config{Options: Options{Topic: "'out/' + device"}, URLs: []string{b.url}, Name: "test"}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *broker) Features() sinktest.Features              { return sinktest.Features{Ordered: true} }
func (b *broker) Good(_ *testing.T, n int) *event.Event    { return good(n) }
func (b *broker) Bad(_ *testing.T, n int) *event.Event     { return bad(n) }
func (b *broker) Open(t *testing.T, _, _ string) node.Sink { return b.open(t, nil) }

// Stored sends a message behind all others and returns what came before it.
func (b *broker) Stored(t *testing.T) []event.ID {
	t.Helper()
	mark := fmt.Sprint(rand.Uint64())
	if _, err := b.conn.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: "out/mark", Payload: []byte(mark)}); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	var ids []event.ID
	testserver.Eventually(t, limit, "the mark", func() error {
		ids = nil
		for _, p := range b.got() {
			if string(p.Payload) == mark {
				return nil
			}
			if id, err := event.ParseID(p.Properties.User.Get(propertyID)); err == nil {
				ids = append(ids, id)
			}
		}
		return errors.New("it has not come")
	})
	return ids
}

func mosquitto(t *testing.T) string { return "mqtt://" + testserver.Mosquitto(t).Addr() }

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return subscribe(t, mosquitto(t), "out/#") })
}

func unitOf(events ...*event.Event) *node.Unit {
	return &node.Unit{Stream: "s", Last: event.Position{Epoch: 1, Ms: rand.Uint64()}, Events: events}
}

func write(t *testing.T, s *Sink, u *node.Unit) {
	t.Helper()
	if err := s.Write(context.Background(), u); err != nil {
		t.Fatalf("Write = %v", err)
	}
}

func TestMessageIsRetainedWithItsSchema(t *testing.T) {
	url := mosquitto(t)
	early := subscribe(t, url, "out/#")
	s := early.open(t, func(c *Config) { c.Schema = "/schema" })
	e := good(1)
	e.Plugin = "scale@1.0.0#12345678"
	e.Headers = []event.Header{{Name: "n", Value: event.Int(-7)}}
	write(t, s, unitOf(e, good(2)))
	early.await(t, 3)
	late := &broker{url: url, topics: "out/#"}
	early.conn.Close()
	late.connect(t)
	defer late.conn.Close()
	kept := map[string]*paho.Publish{}
	testserver.Eventually(t, limit, "what the broker keeps", func() error {
		for _, p := range late.got() {
			if p.Retain { // others were not acknowledged before the connection ended
				kept[p.Topic] = p
			}
		}
		if len(kept) < 2 {
			return fmt.Errorf("%d messages", len(kept))
		}
		return nil
	})
	value, schema := kept["out/d1"], kept["out/d1/schema"]
	if value == nil || schema == nil || string(value.Payload) != `{"device":"d1","value":1.50}` || value.Properties.ContentType != "application/json" {
		t.Fatalf("kept: %+v", kept)
	}
	if want := `{"fields":[{"name":"device","type":"string"},{"name":"value","type":"decimal"}]}`; string(schema.Payload) != want {
		t.Errorf("schema %s, want %s", schema.Payload, want)
	}
	first := early.got()[1]
	for name, want := range map[string]string{"message_id": e.ID.String(), "root_id": "root-1", "key": "k", "plugin": e.Plugin, "n": "-7"} {
		if got := first.Properties.User.Get(name); got != want {
			t.Errorf("property %s = %q, want %q", name, got, want)
		}
	}
}

func TestStatusAndWill(t *testing.T) {
	b := subscribe(t, mosquitto(t), "state/#")
	says := func(n int, want string) {
		t.Helper()
		if last := b.await(t, n)[n-1]; string(last.Payload) != want || last.Topic != "state/out" {
			t.Fatalf("%s says %q, want %q", last.Topic, last.Payload, want)
		}
	}
	s := b.open(t, func(c *Config) { c.Status = "state/out" })
	write(t, s, unitOf(good(1)))
	says(1, online)
	s.conn.Cut()
	says(2, offline) // the will
	testserver.Eventually(t, limit, "another connection", func() error { return s.Write(t.Context(), unitOf(good(2))) })
	says(3, online)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	says(4, offline)
	if err := s.Write(t.Context(), unitOf(good(3))); !errors.Is(err, ErrClosed) {
		t.Errorf("Write of a closed sink = %v", err)
	}
}

func TestBrokerAway(t *testing.T) {
	s, err := New(Config{Options: Options{Topic: "'t'"}, URLs: []string{"mqtt://u:s3cret@127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), unitOf(good(1))); node.ClassOf(err) != node.Away || strings.Contains(err.Error(), "s3cret") || s.Status().Ready {
		t.Errorf("Write = %v (%v)", err, node.ClassOf(err))
	}
	if _, err := New(Config{Options: Options{Topic: "'t'"}, URLs: []string{"http://u:s3cret@h/"}}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("New = %v", err)
	}
}

func TestOptionsCheck(t *testing.T) {
	for field, o := range map[string]Options{
		"topic": {Topic: "1 +"}, "schema": {Topic: "'t'", Schema: "/#"}, "status": {Topic: "'t'", Status: "$SYS/x"},
	} {
		if errs := o.Check(); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("Check of %+v = %v, want one error of %s", o, errs, field)
		}
	}
}

// TestFaultConnectionDropped drops the connection while units are on their way.
func TestFaultConnectionDropped(t *testing.T) {
	server := testserver.Mosquitto(t)
	line := testserver.Proxy(t, server.Addr())
	b := subscribe(t, "mqtt://"+server.Addr(), "out/#")
	s := b.open(t, func(c *Config) { c.URLs = []string{"mqtt://" + line.Addr()} })
	var all []*event.Event
	for i := range 40 {
		u := unitOf()
		for range 20 {
			u.Events = append(u.Events, good(len(all)))
			all = append(all, u.Events[len(u.Events)-1])
		}
		if i%4 == 3 {
			drop := time.AfterFunc(rand.N(4*time.Millisecond), line.Drop)
			defer drop.Stop()
		}
		testserver.Eventually(t, limit, "a stored unit", func() error {
			err := s.Write(t.Context(), u)
			if err != nil && node.ClassOf(err) != node.Away {
				t.Fatalf("Write = %v (%v)", err, node.ClassOf(err))
			}
			return err
		})
	}
	stored := map[event.ID]int{}
	for _, id := range b.Stored(t) {
		stored[id]++
	}
	for i, e := range all {
		if stored[e.ID] == 0 {
			t.Errorf("event %d is lost", i)
		}
	}
	t.Logf("%d messages for %d events", len(b.got())-1, len(all))
}

// TestFaultDroppedControl publishes without waiting for acknowledgements: the same
// count sees the loss.
func TestFaultDroppedControl(t *testing.T) {
	server := testserver.Mosquitto(t)
	line := testserver.Proxy(t, server.Addr())
	b := subscribe(t, "mqtt://"+server.Addr(), "out/#")
	form := b.open(t, nil)
	brokers, err := link.Parse([]string{"mqtt://" + line.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	testserver.Eventually(t, limit, "a loss", func() error {
		conn, err := link.Open(t.Context(), brokers[0], link.Options{ClientID: "control"})
		if err != nil {
			return err
		}
		defer conn.Close()
		for range 500 {
			p := form.packet(good(written), "out/d1")
			p.QoS = 0
			if _, err := conn.Publish(t.Context(), p); err != nil {
				break // what came before counts as written
			}
			written++
		}
		line.Drop()
		if have := len(b.Stored(t)); have >= written {
			return fmt.Errorf("%d of %d are stored", have, written)
		}
		return nil
	})
}
