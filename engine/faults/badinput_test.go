package faults

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/dlq"
)

// What no plant should send, and some do.

// badMessage is one message that cannot become a row as it is.
type badMessage struct {
	name   string
	queue  int // 0: JSON, 1: CSV
	body   []byte
	id     string // message id; default bad-<name>
	code   string // of its dead letter; "": it is fine after all
	reason string // part of the letter's text
}

// readingWith is a reading in which the device or another value is as given, raw.
func readingWith(device, ts, value string) []byte {
	return fmt.Appendf(nil, `{"id":"x","device":%s,"metric":"t","ts":%s,"n":1,"value":%s,"unit":"C"}`, device, ts, value)
}

// bomb is a hundred megabytes, packed.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 100 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func badMessages(t *testing.T) []badMessage {
	const ts, device = `"2026-03-01T12:00:00Z"`, `"press"`
	return []badMessage{
		{name: "100MiB", body: append(readingWith(device, ts, "1"), bytes.Repeat([]byte(" "), 100<<20)...), code: "message_too_large", reason: "16777216"},
		{name: "text", body: []byte("hello"), code: "bad_json"},
		{name: "empty", body: nil, code: "no_payload"},
		{name: "zipbomb", body: bomb(t), code: "bad_json"},
		{name: "NaN", body: readingWith(device, ts, "NaN"), code: "bad_json"},
		{name: "Infinity", body: readingWith(device, ts, "-Infinity"), code: "bad_json"},
		{name: "1e999", body: readingWith(device, ts, "1e999"), code: "bad_number", reason: "column value"},
		{name: "wrongtype", body: readingWith(device, ts, `"warm"`), code: "bad_number", reason: "column value"},
		{name: "year9999", body: readingWith(device, `"9999-12-31T23:59:59Z"`, "1"), code: ""},
		{name: "year10000", body: readingWith(device, `"10000-01-01T00:00:00Z"`, "1"), code: "bad_time", reason: "ts"},
		{name: "utf8", body: readingWith("\"pre\xff\xfess\"", ts, "1"), code: "bad_text"},
		{name: "1MiBkey", body: readingWith(`"`+strings.Repeat("k", 1<<20)+`"`, ts, "1"), code: "key_too_long", reason: "4096"},
		{name: "longid", id: strings.Repeat("i", 200), body: readingWith(device, ts, "1"), code: "too_long", reason: "source_id"},
		{name: "deep", body: []byte(strings.Repeat("[", 200_000)), code: "too_deep"},
		{name: "openquote", queue: 1, body: []byte("id,device,ts,n,value\nx,\"press,2026-03-01T12:00:00Z,1,2\n"), code: "bad_quote"},
	}
}

const badNodes = `  - id: plant1
    source: amqp
    with: { connection: plants, queue: master.plant1, prefetch: 100, identity: "message_id ?? payload.id" }
  - id: plant2
    source: amqp
    with: { connection: plants, queue: master.plant2, prefetch: 100, identity: message_id }
  - id: readings
    transform: json
    inputs: [plant1]
    with: { time: ts }
  - id: csv_rows
    transform: csv
    inputs: [plant2]
    with: { header: true, time: ts }
  - id: named
    transform: select
    inputs: [readings, csv_rows]
    key: device
    with: { drop: [unit] }
` + sinkNode + "    inputs: [named]\n"

// TestFaultBadInput sends monsters between good readings: each becomes a dead letter
// with a reason, or is harmless, none holds its neighbours up, and memory stays
// bounded.
func TestFaultBadInput(t *testing.T) {
	r := newRig(t, setup{nodes: badNodes})
	e := r.start("bad")
	r.awaitReady(e)
	p := &producer{url: r.amqp}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	bad := badMessages(t)
	good, fine := 0, 0
	for i, m := range bad {
		for range 20 {
			id := fmt.Sprintf("good-%d", good)
			r.publishBody(p, 0, id, reading(id, good))
			good++
		}
		if m.id == "" {
			m.id = "bad-" + m.name
		}
		bad[i].id = m.id
		r.publishBody(p, m.queue, m.id, m.body)
		if m.name == "year9999" {
			fine++
		}
	}
	r.awaitRows(good + fine)
	list := r.awaitLetters(e, len(bad)-fine)
	for _, m := range bad {
		if m.name != "year9999" {
			wantLetter(t, &list, m)
		}
	}
	if n := r.rows(); n != good+fine {
		t.Errorf("%d rows, want %d", n, good+fine)
	}
	r.awaitReady(e)
	peak := r.peakMemory(e)
	t.Logf("%d bad messages, peak memory %d MB", len(bad), peak>>20)
	if peak > memoryBound+2*(100<<20) {
		t.Errorf("peak memory %d MB", peak>>20)
	}
}

func (r *rig) publishBody(p *producer, queueNumber int, id string, body []byte) {
	r.t.Helper()
	c, err := p.ch.PublishWithDeferredConfirm("", queue(queueNumber), true, false, amqp091.Publishing{
		ContentType: "application/octet-stream", DeliveryMode: amqp091.Persistent, MessageId: id, Body: body,
	})
	if err != nil || !c.Wait() {
		r.t.Fatalf("message %.40s of %d bytes: %v", id, len(body), err)
	}
}

// wantLetter fails unless the message has exactly one letter, with its reason.
func wantLetter(t *testing.T, list *dlq.Listing, m badMessage) {
	t.Helper()
	found := 0
	for _, d := range list.Letters {
		if d.RootID != m.id && !(strings.HasPrefix(d.RootID, "~") && d.Code == m.code) {
			continue
		}
		found++
		t.Logf("%s: %s %s: %.120s", m.name, d.Node, d.Code, d.Text)
		if m.code != "" && d.Code != m.code || !strings.Contains(d.Text, m.reason) || d.Text == "" {
			t.Errorf("%s: code %s, text %q; want %s, %q", m.name, d.Code, d.Text, m.code, m.reason)
		}
	}
	if found != 1 {
		t.Errorf("%s: %d letters", m.name, found)
	}
}
