package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sourcetest"
	"github.com/millrace/millrace/engine/source/mqtt/link"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

const testInflight = 10 // Mosquitto sends at most 20 unacknowledged

// harness is the suite's: a session that the broker keeps.
type harness struct {
	url, share string
	publisher  *link.Conn
}

func newHarness(t *testing.T, share string) harness {
	t.Helper()
	h := harness{url: "mqtt://" + testserver.Mosquitto(t).Addr(), share: share}
	brokers, err := link.Parse([]string{h.url})
	if err != nil {
		t.Fatal(err)
	}
	if h.publisher, err = link.Open(t.Context(), brokers[0], link.Options{ClientID: "publisher"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.publisher.Close)
	s := h.Open(t).(*Source) // what is published before the first subscription is nobody's
	if _, err := s.session(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	return h
}

func (h harness) Features() sourcetest.Features {
	return sourcetest.Features{Inflight: testInflight, Redelivers: true}
}

func (h harness) Publish(t *testing.T, messages ...node.Message) {
	for _, m := range messages {
		p := &paho.Publish{QoS: 1, Topic: "plant/1", Payload: m.Body, Properties: &paho.PublishProperties{ContentType: m.ContentType}}
		if m.MessageID != "" {
			p.Properties.User.Add(propertyID, m.MessageID)
		}
		for _, header := range m.Headers {
			p.Properties.User.Add(header.Name, header.Value.Format())
		}
		if _, err := h.publisher.Publish(t.Context(), p); err != nil {
			t.Errorf("Publish: %v", err)
		}
	}
}

// publishing publishes in the background; what it returns waits for the end of that.
func (h harness) publishing(t *testing.T, messages []node.Message) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Publish(t, messages...)
	}()
	return func() { <-done }
}

func (h harness) Open(t *testing.T) node.Source { return h.open(t, h.url) }

func (h harness) open(t *testing.T, url string) *Source {
	t.Helper()
	o := NewOptions()
	o.Topics, o.Share, o.Inflight = []string{"plant/+"}, h.share, testInflight
	s, err := New(Config{Options: *o, URLs: []string{url}, Name: "test"})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for _, share := range []string{"", "group"} {
		t.Run("share "+share, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Harness { return newHarness(t, share) })
		})
	}
}

// TestFaultConnectionDropped drops the connection between a message and its
// acknowledgement again and again: each message comes at least once, what was
// acknowledged before everything else is in order.
func TestFaultConnectionDropped(t *testing.T) {
	h := newHarness(t, "")
	line := testserver.Proxy(t, strings.TrimPrefix(h.url, "mqtt://"))
	s := h.open(t, "mqtt://"+line.Addr())
	t.Cleanup(func() { _ = s.Close() })
	const n = 200
	var messages []node.Message
	for i := range n {
		messages = append(messages, node.Message{Body: fmt.Appendf(nil, "m%d", i)})
	}
	defer h.publishing(t, messages)()
	seen, batches, drops := map[string]bool{}, 0, 0
	testserver.Eventually(t, time.Minute, "all messages", func() error {
		batch, err := s.Receive(t.Context())
		if err != nil {
			t.Fatalf("Receive = %v", err)
		}
		for _, m := range batch {
			if body := fmt.Sprintf("m%d", len(seen)); !seen[string(m.Body)] && string(m.Body) != body {
				t.Fatalf("%s came before %s", m.Body, body)
			}
			seen[string(m.Body)] = true
		}
		if batches++; batches%5 == 0 && drops < 8 {
			drops++
			line.Drop()
		} else if err := s.Ack(batch[len(batch)-1].Seq); err != nil {
			t.Fatalf("Ack = %v", err)
		}
		if len(seen) < n {
			return fmt.Errorf("%d of %d have come", len(seen), n)
		}
		return nil
	})
	if drops == 0 {
		t.Error("no connection was dropped")
	}
}

// TestFaultKilledBeforeStoring loses what was received and not yet stored, as a
// crash does. What was not acknowledged comes again; the control acknowledges first,
// and the same count sees the loss.
func TestFaultKilledBeforeStoring(t *testing.T) {
	for _, ackFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("ack first %t", ackFirst), func(t *testing.T) {
			h := newHarness(t, "")
			const n = 40
			var messages []node.Message
			for i := range n {
				messages = append(messages, node.Message{Body: fmt.Appendf(nil, "m%d", i)})
			}
			defer h.publishing(t, messages)()
			stored := map[string]bool{}
			lost := crashing(t, h, stored, n, ackFirst)
			if ackFirst != (lost > 0) {
				t.Errorf("%d messages of %d are lost", lost, n)
			}
		})
	}
}

// crashing stores what comes, but for each third batch, after which another source
// goes on with the session; it returns how many of n messages are missing in the end.
func crashing(t *testing.T, h harness, stored map[string]bool, n int, ackFirst bool) int {
	t.Helper()
	s := h.Open(t)
	for batches, gone := 1, 0; len(stored)+gone < n; batches++ {
		batch, err := s.Receive(t.Context())
		if err != nil {
			t.Fatalf("Receive = %v", err)
		}
		last := batch[len(batch)-1].Seq
		crash := batches%3 == 0
		if ackFirst || !crash {
			if err := s.Ack(last); err != nil {
				t.Fatalf("Ack = %v", err)
			}
		}
		for _, m := range batch {
			if !crash {
				stored[string(m.Body)] = true
			} else if ackFirst {
				gone++
			}
		}
		if crash {
			_ = s.Close()
			s = h.Open(t)
		}
	}
	_ = s.Close()
	return n - len(stored)
}

func TestOptionsCheck(t *testing.T) {
	o := Options{Topics: []string{"a/+/b", "a/#", "#/a", "a+", ""}, Share: "a/b", Inflight: 70000, Identity: "1 +"}
	var fields []string
	for _, e := range o.Check() {
		fields = append(fields, e.Field)
	}
	if got, want := strings.Join(fields, " "), "topics[2] topics[3] topics[4] share inflight identity"; got != want {
		t.Errorf("Check complains of %s, want %s", got, want)
	}
	o = *NewOptions()
	o.Topics = []string{"a"}
	if errs := o.Check(); len(errs) != 1 || !errs[0].Warning {
		t.Errorf("Check of the least options = %v, want a warning", errs)
	}
	if _, err := New(Config{Options: o, URLs: []string{"http://u:s3cret@h/"}}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("New = %v", err)
	}
}
