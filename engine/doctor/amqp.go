package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqpsink "github.com/millrace/millrace/engine/sink/amqp"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

func (c *checker) amqp(ctx context.Context) []Finding {
	return slices.Concat(atOnce(c.connections("amqp"), func(name string) []Finding { return c.cluster(ctx, name) })...)
}

// need is a queue or an exchange that a node uses.
type need struct {
	component string
	kind      string // queue or exchange
	name      string
	declare   bool // the engine makes it
	alone     bool // the engine wants no other consumer
}

// needs returns what the nodes of one connection use, sorted by node.
func (c *checker) needs(connection string) []need {
	var out []need
	for id, o := range optionsOf[*amqp.Options](c.Pipeline) {
		if o.Connection == connection {
			out = append(out, need{"source " + id, "queue", o.Queue, o.Declare, o.Alone()})
		}
	}
	for id, o := range optionsOf[*amqpsink.Options](c.Pipeline) {
		if o.Connection == connection && o.Queue != "" {
			out = append(out, need{"sink " + id, "queue", o.Queue, o.Declare, false})
		} else if o.Connection == connection && o.Exchange != "" {
			out = append(out, need{"sink " + id, "exchange", o.Exchange, false, false})
		}
	}
	slices.SortFunc(out, func(a, b need) int { return cmp.Compare(a.component, b.component) })
	return out
}

// answer is what one broker of a cluster said.
type answer struct {
	broker, vhost string
	x             *amqp.Examination
	err           error
}

// cluster looks at every broker of a connection.
func (c *checker) cluster(ctx context.Context, name string) []Finding {
	a := about{component: "amqp " + name}
	conn := c.Pipeline.Connections[name]
	if conn.Embedded() {
		return embedded(a.component)
	}
	brokers, err := link.Parse([]string{conn.Address().Reveal()})
	if err != nil {
		a.add(Problem, err.Error(), a.urls("HOST:PORT"))
		return a.findings
	}
	needs := c.needs(name)
	answers := atOnce(brokers, func(b link.Broker) answer {
		ctx, done := c.patience(ctx)
		defer done()
		x, err := amqp.Examine(ctx, b, named(needs, "queue"), named(needs, "exchange"))
		return answer{b.String(), b.Vhost(), x, err}
	})
	a.brokers(answers)
	for _, n := range needs {
		a.findings = append(a.findings, n.judge(answers)...)
	}
	return a.findings
}

func named(needs []need, kind string) []string {
	var out []string
	for _, n := range needs {
		if n.kind == kind && !slices.Contains(out, n.name) {
			out = append(out, n.name)
		}
	}
	return out
}

// name is the connection's name in the file.
func (a *about) name() string { return a.component[strings.IndexByte(a.component, ' ')+1:] }

func (a *about) urls(address string) string {
	return fmt.Sprintf("connections.%s.amqp.urls: amqp://USER:PASSWORD@%s", a.name(), address)
}

// brokers tells which answer. One that does not is only a warning while another
// stands in for it.
func (a *about) brokers(answers []answer) {
	silent := Unknown
	if slices.ContainsFunc(answers, func(b answer) bool { return b.err == nil }) {
		silent = Warning
	}
	for _, b := range answers {
		switch {
		case b.err == nil:
			a.add(OK, fmt.Sprintf("%s: %s %s", b.broker, b.x.Product, b.x.Version))
		case errors.Is(b.err, amqp.ErrVhost):
			a.add(Problem, b.err.Error(), "rabbitmqctl add_vhost "+shell(b.vhost), permissions(b.vhost))
		case errors.Is(b.err, amqp.ErrLogin):
			a.add(Problem, b.err.Error(), a.urls(b.broker)+"  # reserved characters percent-encoded")
		default:
			a.add(silent, b.err.Error(), "start it, or name another: "+a.urls("HOST:PORT"))
		}
	}
}

func permissions(vhost string) string {
	return fmt.Sprintf("rabbitmqctl set_permissions -p %s USER '.*' '.*' '.*'", shell(vhost))
}

// judge tells whether the brokers that answer have what is needed.
func (n need) judge(answers []answer) []Finding {
	a := about{component: n.component}
	var have *amqp.QueueState
	var lack []answer
	for _, b := range answers {
		switch s := n.state(b.x); {
		case s == nil: // the broker has not answered, which is told already
		case s.Err == nil:
			have = cmp.Or(have, s)
		case errors.Is(s.Err, amqp.ErrMissing):
			lack = append(lack, b)
		default:
			a.add(Problem, fmt.Sprintf("%s %s on %s: %v", n.kind, n.name, b.broker, s.Err), permissions(b.vhost))
		}
	}
	switch {
	case have != nil:
		a.present(n, have, lack)
	case lack != nil && n.declare:
		a.add(Info, fmt.Sprintf("%s %s is not there yet: the engine declares it", n.kind, n.name))
	case lack != nil:
		a.add(Problem, n.missing(lack), n.mend(lack[0].vhost)...)
	}
	return a.findings
}

// state finds n in what a broker says; nil if the broker has said nothing.
func (n need) state(x *amqp.Examination) *amqp.QueueState {
	if x == nil {
		return nil
	}
	if n.kind == "exchange" {
		for _, e := range x.Exchanges {
			if e.Name == n.name {
				return &amqp.QueueState{Name: e.Name, Err: e.Err}
			}
		}
	}
	for i := range x.Queues {
		if n.kind == "queue" && x.Queues[i].Name == n.name {
			return &x.Queues[i]
		}
	}
	return nil
}

func (a *about) present(n need, s *amqp.QueueState, lack []answer) {
	found := fmt.Sprintf("%s %s", n.kind, n.name)
	if n.kind == "queue" {
		found += fmt.Sprintf(": %s, %s", count(s.Messages, "message"), count(s.Consumers, "consumer"))
	}
	if n.alone && s.Consumers > 0 {
		a.add(Info, found+": an engine may be running; another one waits until the queue is free")
	} else {
		a.add(OK, found)
	}
	if lack != nil {
		a.add(Warning, n.missing(lack), n.mend(lack[0].vhost)...)
	}
}

func (n need) missing(lack []answer) string {
	names := make([]string, len(lack))
	for i, b := range lack {
		names[i] = b.broker
	}
	return fmt.Sprintf("%s %s: there is none on %s", n.kind, n.name, strings.Join(names, ", "))
}

func (n need) mend(vhost string) []string {
	admin := "rabbitmqadmin"
	if vhost != "/" {
		admin += " -V " + shell(vhost)
	}
	if n.kind == "exchange" {
		return []string{fmt.Sprintf("%s declare exchange name=%s type=topic durable=true", admin, shell(n.name))}
	}
	return []string{fmt.Sprintf("%s declare queue name=%s durable=true", admin, shell(n.name)), "with: { declare: true }"}
}
