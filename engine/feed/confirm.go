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

// settle says what became of the oldest open message and then takes it out: an
// empty list means that every message has been told of. Only the session's own
// confirm goroutine calls it, and the list is not replaced before that has ended.
func (p *Publisher) settle(s *outgoing, acked bool, returned map[string]string) {
	m := p.oldest(s)
	if m == nil { // given up: the next session sends it again
		return
	}
	reason, back := take(returned, m)
	switch {
	case !acked:
	case !back && p.cfg.OnConfirm != nil:
		p.cfg.OnConfirm(m)
	case back && p.cfg.OnReturn != nil:
		p.cfg.OnReturn(m, reason)
	}
	p.mu.Lock()
	p.open[0] = nil
	p.open = p.open[1:]
	switch {
	case !acked:
		p.again = append(p.again, m)
	case back:
		p.stats.Returned++
	default:
		p.stats.Confirmed++
	}
	p.mu.Unlock()
	select {
	case p.room <- struct{}{}:
	default:
	}
}

func (p *Publisher) oldest(s *outgoing) *node.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sess != s || len(p.open) == 0 {
		return nil
	}
	return p.open[0]
}

// take looks m up among the returned messages and removes it.
func take(returned map[string]string, m *node.Message) (reason string, found bool) {
	if len(returned) == 0 {
		return "", false
	}
	mark := fingerprint(m.Exchange, m.RoutingKey, m.MessageID, m.Body)
	reason, found = returned[mark]
	delete(returned, mark)
	return reason, found
}
