package faults

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// Pipelines of other shapes than the usual one, each with a kill on the way.

// TestFaultTwoPipelinesWithEqualNames runs two pipelines whose nodes have the same
// ids, on one Redis and into one table: neither takes the other's place for its own.
func TestFaultTwoPipelinesWithEqualNames(t *testing.T) {
	r := newRig(t, setup{})
	one, two := r.write("one", "", usual(1, 2)), r.write("two", "", usual(3, 4))
	l := newLedger()
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		first, second := r.startFile(one, "e"), r.startFile(two, "e")
		r.awaitRows(1000)
		first.kill()
		r.startFile(one, "e")
		r.awaitRows(r.rows() + 1000)
		second.kill()
		r.startFile(two, "e")
	})
	prove(t, proof{name: "two_pipelines", faults: 2, verdict: r.settle(l)})
	var positions int
	if err := r.db.QueryRow("SELECT COUNT(DISTINCT pipeline) FROM " + r.positionTable()).Scan(&positions); err != nil {
		t.Fatal(err)
	}
	if positions != 2 {
		t.Errorf("positions of %d pipelines; want 2", positions)
	}
}

// positionTable finds the engine's table of positions.
func (r *rig) positionTable() (name string) {
	r.t.Helper()
	const query = "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'pipeline' LIMIT 1"
	if err := r.db.QueryRow(query).Scan(&name); err != nil {
		r.t.Fatal(err)
	}
	return name
}

// TestFaultSinkWithTwoInputStreams: the lanes of two streams have the same numbers,
// and positions of their own.
func TestFaultSinkWithTwoInputStreams(t *testing.T) {
	nodes := sources(1, 2, 3, 4) + strings.Replace(pathNodes, "%s", "plant1, plant2", 1)
	nodes = strings.Replace(nodes, "inputs: [celsius]", "inputs: [celsius, plain]", 1) + `  - id: plain
    transform: json
    inputs: [plant3, plant4]
    key: device
    with: { time: ts }
`
	r := newRig(t, setup{nodes: nodes})
	l := newLedger()
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		for range 4 {
			e := r.start("two")
			r.awaitRows(r.rows() + 700)
			e.kill()
		}
	})
	r.start("two")
	prove(t, proof{name: "two_input_streams", faults: 4, verdict: r.settle(l)})
	var fromPlain, all int
	err := r.db.QueryRow("SELECT SUM(plant IN ('plant3', 'plant4')), COUNT(*) FROM readings").Scan(&fromPlain, &all)
	if err != nil {
		t.Fatal(err)
	}
	if fromPlain*2 < all-4 || fromPlain*2 > all+4 {
		t.Errorf("%d of %d rows came by the second stream; want half", fromPlain, all)
	}
}

// TestFaultForeignStream reads what another program publishes with watermill, one
// event an entry, through the stock driver, kills the engine on the way and
// publishes everything once more.
func TestFaultForeignStream(t *testing.T) {
	const n = 600
	r := newRig(t, setup{nodes: `  - id: foreign
    source: redisstream
    with: { connection: log, stream: other.readings, identity: message_id, driver: stock }
` + strings.Replace(pathNodes, "%s", "foreign", 1)})
	options, err := redis.ParseURL(r.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: redis.NewClient(options)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	l := newLedger()
	publish := func() {
		for i := range n {
			id := "m-" + strconv.Itoa(i)
			l.published[id] = true
			if err := pub.Publish("other.readings", message.NewMessage(id, reading(id, i))); err != nil {
				t.Fatal(err)
			}
			l.confirmed[id] = true
		}
	}
	e := r.start("foreign")
	publish()
	r.awaitRows(n / 10)
	e.kill()
	e = r.start("foreign")
	r.awaitRows(n)
	publish()
	r.awaitMetric(e, "millrace_repeated_messages_total", n)
	v := r.settle(l)
	if prove(t, proof{name: "foreign_stream", faults: 1, verdict: v}); v.rows != n {
		t.Fatalf("%d rows of %d messages", v.rows, n)
	}
}
