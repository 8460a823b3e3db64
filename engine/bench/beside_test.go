//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// deadLetters drains a feed of which every tenth reading is refused: by the decode
// node, or by the table.
func (tb *table) deadLetters() {
	for _, bad := range []struct {
		by    string
		spoil func(p *amqp091.Publishing)
	}{
		{"the decode node", func(p *amqp091.Publishing) { p.Body = p.Body[:len(p.Body)-1] }},
		{"the table", func(p *amqp091.Publishing) {
			p.Body = []byte(strings.Replace(string(p.Body), "machine-", strings.Repeat("machine-", 10), 1))
		}},
	} {
		tb.empty()
		pourSpoiled(tb.t, tb.rabbit.AMQPURL(), tb.n, func(n int, p *amqp091.Publishing) {
			if n%10 == 9 {
				bad.spoil(p)
			}
		})
		dsn, db := tb.store(0)
		p := tb.start("bench_refused_by_"+strings.Fields(bad.by)[1], "strict", dsn)
		took := p.drain(tb.t, ingestedMetric, tb.n*9/10)
		start := time.Now()
		for p.metric("millrace_dead_letters_total") < float64(tb.n/10) {
			pause(5 * time.Millisecond)
		}
		tb.add(line{"(m) engine, a tenth refused by " + bad.by, tb.n, took + time.Since(start), p.stop(tb.t)})
		expect(tb.t, db, tb.n*9/10)
	}
}

// besideReplay measures the way of readings that come at a steady rate, alone and
// while the journal is replayed over and over.
func (tb *table) besideReplay() {
	fill(tb.t, tb.rabbit.AMQPURL(), tb.n)
	dsn, db := tb.store(0)
	p := tb.start("bench_beside", "strict", dsn)
	p.drain(tb.t, ingestedMetric, tb.n)
	fmt.Printf("(n) live at %d/s alone: %s\n", tb.rate, tb.steady(p, db, tb.n))
	done, wg := make(chan struct{}), sync.WaitGroup{}
	replayed := 0
	wg.Go(func() { replayed = tb.replayUntil(p, done) })
	fmt.Printf("(n) live at %d/s beside a replay: %s", tb.rate, tb.steady(p, db, 2*tb.n))
	close(done)
	wg.Wait()
	fmt.Printf("; %d replays of %d readings meanwhile\n", replayed, tb.n)
	p.stop(tb.t)
}

// replayUntil replays the journal again and again and returns how often it came to an end.
func (tb *table) replayUntil(p *process, done <-chan struct{}) (n int) {
	for ; ; n++ {
		select {
		case <-done:
			return n
		default:
		}
		name := fmt.Sprint("again", n)
		cmd := exec.Command(tb.bin, "replay", p.file, "--server", "http://"+p.listen, "--from", "earliest", "--sinks", "none", "--name", name)
		cmd.Env, cmd.Stderr = p.cmd.Env, os.Stderr
		must(tb.t, cmd.Run())
	}
}
