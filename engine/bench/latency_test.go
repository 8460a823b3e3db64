//go:build bench

package bench

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/lifecycle"
)

const latencySeconds = 20

// latency measures the way of readings that come at a steady rate.
func (tb *table) latency() {
	dsn, db := tb.store(0)
	tb.empty()
	p := tb.start("bench_latency", "strict", dsn)
	p.awaitUp(tb.t)
	pause(2 * time.Second) // all sources consume by then; nothing is asserted
	told := tb.steady(p, db, 0)
	used := p.stop(tb.t)
	fmt.Printf("latency at %d/s, strict: %s; %.1f CPU s/M, %d MB\n", tb.rate,
		told, used.cpu.Seconds()*1e6/float64(tb.rate*latencySeconds), used.peak>>20)
}

// empty declares the four queues and empties them.
func (tb *table) empty() {
	conn, ch := dial(tb.t, tb.rabbit.AMQPURL())
	defer conn.Close()
	declare(tb.t, ch)
	for _, q := range queues {
		_, err := ch.QueuePurge(q, false)
		must(tb.t, err)
	}
}

// steady publishes readings at a steady rate, numbered from base, and tells how long
// it took from each publish to the moment when another connection saw the row, and
// when a viewer's frame brought the point.
func (tb *table) steady(p *process, db *sql.DB, base int) string {
	total := tb.rate * latencySeconds
	sent := make([]time.Time, total) // by number; written before the reading can be seen
	rows, frames := newSightings(base, total), newSightings(base, total)
	var wg sync.WaitGroup
	wg.Go(func() {
		limit := time.Now().Add((latencySeconds + 30) * time.Second)
		for !rows.complete() && time.Now().Before(limit) {
			rows.poll(tb.t, db, sent)
			pause(time.Millisecond)
		}
	})
	resp, err := http.Get("http://" + p.listen + "/api/v1/live?from=latest")
	must(tb.t, err)
	go frames.follow(resp)
	tb.pace(base, sent)
	wg.Wait()
	for deadline := time.Now().Add(5 * time.Second); !frames.complete() && time.Now().Before(deadline); {
		pause(10 * time.Millisecond)
	}
	_ = resp.Body.Close()
	return fmt.Sprintf("publish -> row %s; publish -> SSE frame %s", rows.report(sent), frames.report(sent))
}

// pace publishes a reading for each place of sent at the rate of the latencies.
func (tb *table) pace(base int, sent []time.Time) {
	tb.paceAt(tb.rate, base, sent, func(int, *amqp091.Publishing) {})
}

// batch is how long a paced publisher waits between the readings that it sends at once.
const batch = 5 * time.Millisecond

// paceAt publishes a reading for each place of sent, rate of them a second, after spoil
// has been at each.
func (tb *table) paceAt(rate, base int, sent []time.Time, spoil func(n int, p *amqp091.Publishing)) {
	conn, ch := dial(tb.t, tb.rabbit.AMQPURL())
	defer conn.Close()
	tick := time.NewTicker(batch)
	defer tick.Stop()
	for n := 0; n < len(sent); {
		<-tick.C
		for end := min(len(sent), n+rate*int(batch)/int(time.Second)); n < end; n++ {
			sent[n] = time.Now()
			p := publishing(base+n, sent[n])
			spoil(base+n, &p)
			send(tb.t, ch, base+n, p)
		}
	}
}

// pause waits: a load generator and a sampler keep a pace.
func pause(d time.Duration) { lifecycle.Sleep(context.Background(), d) }

// sightings notes when each reading was first seen.
type sightings struct {
	base  int       // number of the first
	began time.Time // before it was sent
	mu    sync.Mutex
	at    []time.Time // by number from base; guarded by mu
	next  int         // the first that was not seen; guarded by mu
	left  int         // guarded by mu
}

func newSightings(base, n int) *sightings {
	return &sightings{base: base, began: time.Now(), at: make([]time.Time, n), left: n}
}

func (s *sightings) see(n int, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n -= s.base
	if n >= 0 && n < len(s.at) && s.at[n].IsZero() {
		s.at[n] = at
		s.left--
	}
	for s.next < len(s.at) && !s.at[s.next].IsZero() {
		s.next++
	}
}

func (s *sightings) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left == 0
}

func (s *sightings) report(sent []time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var took []time.Duration
	for n, at := range s.at {
		if !at.IsZero() {
			took = append(took, at.Sub(sent[n]))
		}
	}
	if len(took) == 0 {
		return "never seen"
	}
	slices.Sort(took)
	q := func(p int) time.Duration {
		return took[min(len(took)-1, len(took)*p/1000)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s p99 %s p99.9 %s (%d of %d seen)", q(500), q(990), q(999), len(took), len(sent))
}

func number(id string) int {
	n := -1
	_, rest, _ := strings.Cut(id, "-")
	fmt.Sscanf(rest, "%d", &n)
	return n
}

// poll notes the rows that are new. It asks from the last reading on that was seen
// with all before it: ids begin with the time, and readings are sent in its order.
// More would load the two cores that the engine is measured on.
func (s *sightings) poll(t testing.TB, db *sql.DB, sent []time.Time) {
	s.mu.Lock()
	from := s.began.UnixMilli()
	if s.next > 0 {
		from = sent[s.next-1].UnixMilli()
	}
	s.mu.Unlock()
	r, err := db.Query(fmt.Sprintf("SELECT source_id FROM readings WHERE event_id >= x'%012X%020d'", from, 0))
	must(t, err)
	defer r.Close()
	now := time.Now()
	var id string
	for r.Next() {
		must(t, r.Scan(&id))
		s.see(number(id), now)
	}
	must(t, r.Err())
}

// frame is the data of a viewer's frame event.
type frame struct {
	Series []struct {
		V []float64 `json:"v"`
	} `json:"series"`
}

// follow notes the points of a viewer's frames. A point's value is its reading's
// number, converted by the plugin.
func (s *sightings) follow(resp *http.Response) {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var f frame
		if !ok || json.Unmarshal([]byte(data), &f) != nil {
			continue
		}
		now := time.Now()
		for _, series := range f.Series {
			for _, v := range series.V {
				s.see(numberOf(v), now)
			}
		}
	}
}

// numberOf is the number of the reading whose value the plugin has made v.
func numberOf(v float64) int { return int(math.Round((v-32)/1.8 - 0.5)) }
