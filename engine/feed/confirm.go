package feed

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
)

// confirm handles a session's confirms until the client closes their channel. The
// broker confirms in any order, the client hands confirms over in the order of
// publishing, and a message's return comes before its confirm.
func (p *Publisher) confirm(s *outgoing) {
	defer close(s.done)
	returned := map[string]string{}
	for c := range s.confirms {
		drain(s.returns, returned)
		p.settle(s, c.Ack, returned)
	}
}

func drain(returns <-chan amqp.Return, into map[string]string) {
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				return
			}
			into[fingerprint(r.Exchange, r.RoutingKey, r.MessageId, r.Body)] = r.ReplyText
		default:
			return
		}
	}
}

// fingerprint finds a returned message again: a return carries no delivery tag.
func fingerprint(exchange, key, id string, body []byte) string {
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s", exchange, key, id, body)
}

// settle takes the oldest open message out and says what became of it.
func (p *Publisher) settle(s *outgoing, acked bool, returned map[string]string) {
	p.mu.Lock()
	if p.sess != s || len(p.open) == 0 { // given up: the next session sends it again
		p.mu.Unlock()
		return
	}
	m := p.open[0]
	p.open[0] = nil
	p.open = p.open[1:]
	reason, back := "", false
	switch {
	case !acked:
		p.again = append(p.again, m)
	case len(returned) > 0:
		mark := fingerprint(m.Exchange, m.RoutingKey, m.MessageID, m.Body)
		if reason, back = returned[mark]; back {
			delete(returned, mark)
			p.stats.Returned++
			break
		}
		fallthrough
	default:
		p.stats.Confirmed++
	}
	p.mu.Unlock()
	p.report(m, acked, back, reason)
	select {
	case p.room <- struct{}{}:
	default:
	}
}

func (p *Publisher) report(m *node.Message, acked, back bool, reason string) {
	switch {
	case back && p.cfg.OnReturn != nil:
		p.cfg.OnReturn(m, reason)
	case acked && !back && p.cfg.OnConfirm != nil:
		p.cfg.OnConfirm(m)
	}
}
