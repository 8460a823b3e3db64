// Package sourcetest holds every implementation of [node.Source] to the promises
// of its contract: order, bounded inflight, acknowledgement up to a Seq, sending
// again what was not acknowledged, and an orderly end. It stands beside an
// event's way, not on it: only tests import it.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// limit is how long the suite waits for what must happen.
const limit = time.Minute

// quiet is how long it waits for what must not happen.
const quiet = 300 * time.Millisecond

// Features says what the outside system behind a source can do.
type Features struct {
	// Inflight is the bound on unacknowledged messages that Open configures; 0: the
	// source has none of its own.
	Inflight int
	// Redelivers: what was not acknowledged comes again after Close and Open.
	Redelivers bool
	// TypedHeaders: numbers, bools and times in headers keep their types; otherwise
	// every header arrives as a string.
	TypedHeaders bool
	// Concurrency of one: the next message comes only after the Ack of the last.
	OneByOne bool
}

// Harness is one outside queue, empty at first, and the way to a source of it.
type Harness interface {
	Features() Features
	// Publish hands messages to the queue in order. It uses the fields Body,
	// ContentType, MessageID and Headers.
	Publish(t *testing.T, messages ...node.Message)
	// Open returns a new source of the queue. At most one is open at a time.
	Open(t *testing.T) node.Source
}

// Run runs the suite; fresh is called once for each subtest.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"messages come in order with rising seqs and nothing between", inOrder},
		{"a message keeps what it was published with", keepsContent},
		{"headers keep their types", keepsHeaders},
		{"received and unacknowledged messages are bounded", boundedInflight},
		{"ack frees every message up to seq", ackUpTo},
		{"what is acknowledged never comes again", ackedStayGone},
		{"what is not acknowledged comes again after close", redelivers},
		{"suspend gives back and the next receive consumes again", suspends},
		{"ack of a seq of an earlier connection is ignored", ignoresOldSeq},
		{"receive ends with its context", endsWithContext},
		{"close ends a blocked receive", closeEndsReceive},
		{"an idle queue gives no phantom message", noPhantom},
		{"status tells whether the source consumes", reportsStatus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, fresh(t)) })
	}
}

// numbered returns messages with bodies "m<from>".."m<to-1>".
func numbered(from, to int) []node.Message {
	var out []node.Message
	for i := from; i < to; i++ {
		out = append(out, node.Message{Body: fmt.Appendf(nil, "m%d", i), MessageID: fmt.Sprintf("id-%d", i)})
	}
	return out
}

// open opens a source that is closed with the test.
func open(t *testing.T, h Harness) node.Source {
	t.Helper()
	s := h.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

// receive returns the next batch.
func receive(t *testing.T, s node.Source) []node.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	batch, err := s.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive = %v (status %+v)", err, s.Status())
	}
	if len(batch) == 0 {
		t.Fatal("Receive returned neither message nor error")
	}
	return batch
}

// collect receives n messages, acknowledging each batch if ack is set.
func collect(t *testing.T, s node.Source, n int, ack bool) []node.Message {
	t.Helper()
	var got []node.Message
	for len(got) < n {
		batch := receive(t, s)
		got = append(got, batch...)
		if ack {
			acknowledge(t, s, batch[len(batch)-1].Seq)
		}
	}
	if len(got) != n {
		t.Fatalf("received %d messages, published %d", len(got), n)
	}
	return got
}

func acknowledge(t *testing.T, s node.Source, seq uint64) {
	t.Helper()
	if err := s.Ack(seq); err != nil {
		t.Fatalf("Ack(%d) = %v", seq, err)
	}
}

// expectBodies checks that got is "m<from>", "m<from+1>", ... with rising seqs.
func expectBodies(t *testing.T, got []node.Message, from int) {
	t.Helper()
	for i, m := range got {
		if want := fmt.Sprintf("m%d", from+i); string(m.Body) != want {
			t.Fatalf("message %d is %q, want %q", i, m.Body, want)
		}
		if i > 0 && m.Seq <= got[i-1].Seq {
			t.Fatalf("seq %d follows %d", m.Seq, got[i-1].Seq)
		}
	}
}

// expectNothing checks that no message arrives for a while.
func expectNothing(t *testing.T, s node.Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if batch, err := s.Receive(ctx); err == nil {
		t.Fatalf("received %d messages, first %q, want none", len(batch), batch[0].Body)
	}
}

func inOrder(t *testing.T, h Harness) {
	const n = 500
	s := open(t, h)
	done := publish(t, h, numbered(0, n))
	expectBodies(t, collect(t, s, n, true), 0)
	<-done
	expectNothing(t, s)
}

// publish runs in the background: some queues block their publisher until the
// message is acknowledged.
func publish(t *testing.T, h Harness, messages []node.Message) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Publish(t, messages...)
	}()
	return done
}

func keepsContent(t *testing.T, h Harness) {
	s := open(t, h)
	body := []byte("{\"v\": 1}\x00\xff")
	done := publish(t, h, []node.Message{
		{Body: body, ContentType: "application/json", MessageID: "the-id"}, {Body: []byte("x"), MessageID: "other"},
	})
	got := collect(t, s, 2, true)
	<-done
	if string(got[0].Body) != string(body) || got[0].ContentType != "application/json" || got[0].MessageID != "the-id" {
		t.Fatalf("message arrived as %+v", got[0])
	}
	if got[1].ContentType != "" || got[1].MessageID != "other" || got[1].Redelivered {
		t.Fatalf("plain message arrived as %+v", got[1])
	}
}

func keepsHeaders(t *testing.T, h Harness) {
	s := open(t, h)
	sent := []event.Header{
		{Name: "n", Value: event.Int(-7)}, {Name: "ok", Value: event.Bool(true)},
		{Name: "text", Value: event.String("ä")}, {Name: "x", Value: event.Float(1.5)},
	}
	done := publish(t, h, []node.Message{{Body: []byte("m0"), Headers: sent}})
	got := collect(t, s, 1, true)[0].Headers
	<-done
	for _, want := range sent {
		if !h.Features().TypedHeaders {
			want.Value = event.String(want.Value.Format())
		}
		if v, ok := header(got, want.Name); !ok || v != want.Value {
			t.Errorf("header %s arrived as %v %q, want %v %q", want.Name, v.Kind(), v.Format(), want.Value.Kind(), want.Value.Format())
		}
	}
}

func header(headers []event.Header, name string) (event.Value, bool) {
	for _, h := range headers {
		if h.Name == name {
			return h.Value, true
		}
	}
	return event.Null, false
}

func boundedInflight(t *testing.T, h Harness) {
	bound := h.Features().Inflight
	if bound == 0 {
		t.Log("promised nothing: the source has no bound of its own")
		return
	}
	s := open(t, h)
	done := publish(t, h, numbered(0, 2*bound))
	got := collect(t, s, bound, false)
	expectNothing(t, s)
	acknowledge(t, s, got[len(got)-1].Seq)
	rest := collect(t, s, bound, true)
	expectBodies(t, append(got, rest...), 0)
	<-done
}

func ackUpTo(t *testing.T, h Harness) {
	if h.Features().OneByOne || !h.Features().Redelivers {
		t.Log("promised nothing: the outside system hands out one message at a time or keeps none")
		return
	}
	s := h.Open(t)
	h.Publish(t, numbered(0, 9)...)
	got := collect(t, s, 9, false)
	acknowledge(t, s, got[2].Seq)
	acknowledge(t, s, got[5].Seq)
	acknowledge(t, s, got[5].Seq) // a repeat changes nothing
	acknowledge(t, s, got[3].Seq) // nor does a lower one
	closeSource(t, s)
	expectBodies(t, collect(t, open(t, h), 3, true), 6)
}

func closeSource(t *testing.T, s node.Source) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
}

func ackedStayGone(t *testing.T, h Harness) {
	s := h.Open(t)
	done := publish(t, h, numbered(0, 20))
	collect(t, s, 20, true)
	<-done
	expectNothing(t, s) // meanwhile the last ack arrives
	closeSource(t, s)
	again := open(t, h)
	expectNothing(t, again)
}

func redelivers(t *testing.T, h Harness) {
	if !h.Features().Redelivers {
		t.Log("promised nothing: the outside system keeps nothing for a closed source")
		return
	}
	s := h.Open(t)
	done := publish(t, h, numbered(0, 10))
	first := collect(t, s, reach(h, 10), false)
	closeSource(t, s)
	again := collect(t, open(t, h), 10, true)
	expectBodies(t, again, 0)
	<-done
	for i := range first {
		if !again[i].Redelivered && h.Features().TypedHeaders {
			t.Errorf("message %d is not marked as redelivered", i)
		}
	}
}

// reach is how many of n messages arrive without an Ack.
func reach(h Harness, n int) int {
	if h.Features().OneByOne {
		return 1
	}
	return n
}

func suspends(t *testing.T, h Harness) {
	s := open(t, h)
	done := publish(t, h, numbered(0, 10))
	first := collect(t, s, reach(h, 10), false)
	if err := s.Suspend(t.Context()); err != nil {
		t.Fatalf("Suspend = %v", err)
	}
	if s.Status().Ready {
		t.Error("a suspended source says that it is ready")
	}
	again := collect(t, s, 10, true)
	<-done
	expectBodies(t, again, 0)
	if again[0].Seq <= first[len(first)-1].Seq {
		t.Errorf("seq %d after suspend, %d before", again[0].Seq, first[len(first)-1].Seq)
	}
}

func ignoresOldSeq(t *testing.T, h Harness) {
	s := open(t, h)
	done := publish(t, h, numbered(0, 4))
	first := collect(t, s, reach(h, 4), false)
	if err := s.Suspend(t.Context()); err != nil {
		t.Fatalf("Suspend = %v", err)
	}
	acknowledge(t, s, first[len(first)-1].Seq)
	again := collect(t, s, reach(h, 4), false)
	expectBodies(t, again, 0)
	acknowledge(t, s, first[len(first)-1].Seq)
	if err := s.Suspend(t.Context()); err != nil {
		t.Fatalf("Suspend = %v", err)
	}
	expectBodies(t, collect(t, s, 4, true), 0)
	<-done
}

func endsWithContext(t *testing.T, h Harness) {
	s := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := receiveInBackground(ctx, s)
	expectBlocked(t, ended)
	cancel()
	if err := wait(t, ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("Receive = %v, want it to end with its context", err)
	}
	done := publish(t, h, numbered(0, 1))
	expectBodies(t, collect(t, s, 1, true), 0)
	<-done
}

func receiveInBackground(ctx context.Context, s node.Source) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := s.Receive(ctx)
		ended <- err
	}()
	return ended
}

func expectBlocked(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("Receive returned %v from an empty queue", err)
	case <-time.After(quiet):
	}
}

func wait(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		t.Fatal("Receive did not end")
		return nil
	}
}

func closeEndsReceive(t *testing.T, h Harness) {
	s := h.Open(t)
	ended := receiveInBackground(t.Context(), s)
	expectBlocked(t, ended)
	closeSource(t, s)
	if err := wait(t, ended); err == nil {
		t.Fatal("Receive returned messages from an empty queue")
	}
	if _, err := s.Receive(t.Context()); err == nil {
		t.Fatal("Receive of a closed source returned no error")
	}
	if s.Status().Ready {
		t.Error("a closed source says that it is ready")
	}
	closeSource(t, s) // a second Close is harmless
}

func noPhantom(t *testing.T, h Harness) {
	s := open(t, h)
	expectNothing(t, s)
	if err := s.Suspend(t.Context()); err != nil {
		t.Fatalf("Suspend = %v", err)
	}
	expectNothing(t, s)
	done := publish(t, h, numbered(0, 3))
	expectBodies(t, collect(t, s, 3, true), 0)
	<-done
	expectNothing(t, s)
}

func reportsStatus(t *testing.T, h Harness) {
	s := open(t, h)
	if st := s.Status(); st.Ready || st.Reason == "" {
		t.Errorf("status before the first Receive = %+v, want a reason", st)
	}
	done := publish(t, h, numbered(0, 1))
	collect(t, s, 1, true)
	<-done
	if st := s.Status(); !st.Ready || st.Reason != "" {
		t.Errorf("status while consuming = %+v, want ready", st)
	}
}
