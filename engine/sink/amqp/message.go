package amqpsink

import (
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

// Headers that every message carries if the event has what they tell.
const (
	headerRoot   = "root_id"
	headerKey    = "key"
	headerPlugin = "plugin"
)

// outgoing is one event on its way.
type outgoing struct {
	index         int // in the unit
	id            event.ID
	exchange, key string
	body          amqp091.Publishing
}

// form turns events into messages. It is immutable and safe for concurrent use.
type form struct {
	queue, exchange string
	exchangeFrom    *expr.Program // nil: exchange
	routingKey      *expr.Program // nil: the queue, or ""
	headers         map[string]*expr.Program
}

func newForm(o *Options) (*form, error) {
	f := &form{queue: o.Queue, exchange: o.Exchange, headers: map[string]*expr.Program{}}
	for _, p := range []struct {
		src string
		to  **expr.Program
	}{{o.ExchangeFrom, &f.exchangeFrom}, {o.RoutingKey, &f.routingKey}} {
		if p.src == "" {
			continue
		}
		program, err := expr.Compile(p.src)
		if err != nil {
			return nil, err
		}
		*p.to = program
	}
	for name, src := range o.Headers {
		program, err := expr.Compile(src)
		if err != nil {
			return nil, err
		}
		f.headers[name] = program
	}
	return f, nil
}

// messages returns one message for each event, or an error that names all events that
// can have none.
func (f *form) messages(events []*event.Event) ([]outgoing, error) {
	out := make([]outgoing, 0, len(events))
	var rejects []node.EventReject
	for i, e := range events {
		m, reject := f.message(e)
		if reject != nil {
			rejects = append(rejects, node.EventReject{Index: i, Reject: *reject})
			continue
		}
		m.index = i
		out = append(out, m)
	}
	if len(rejects) > 0 {
		return nil, &node.RejectedError{Rejects: rejects}
	}
	return out, nil
}

func reject(code, format string, args ...any) *node.Reject {
	return &node.Reject{Record: -1, Code: code, Text: fmt.Sprintf(format, args...)}
}

func (f *form) message(e *event.Event) (m outgoing, _ *node.Reject) {
	m.id, m.exchange, m.key = e.ID, f.exchange, f.queue
	for _, p := range []struct {
		what    string
		program *expr.Program
		to      *string
	}{{"exchange_from", f.exchangeFrom, &m.exchange}, {"routing_key", f.routingKey, &m.key}} {
		if p.program == nil {
			continue
		}
		text, err := p.program.EvalString(e)
		switch {
		case err != nil:
			return m, reject("bad_expression", "%s: %v", p.what, err)
		case text == "":
			return m, reject("bad_expression", "%s: %s gives nothing", p.what, p.program)
		case len(text) > shortText:
			return m, reject("too_long", "%s: %d bytes, the protocol has %d", p.what, len(text), shortText)
		}
		*p.to = text
	}
	body, refused := f.body(e)
	m.body = body
	return m, refused
}

func (f *form) body(e *event.Event) (amqp091.Publishing, *node.Reject) {
	out := amqp091.Publishing{
		MessageId: e.ID.String(), DeliveryMode: amqp091.Persistent, Body: e.Payload, ContentType: e.ContentType,
	}
	if e.Record != nil {
		out.Body, out.ContentType = e.Record.AppendJSON(nil), "application/json"
	}
	if len(out.ContentType) > shortText {
		return out, reject("too_long", "content type: %d bytes, the protocol has %d", len(out.ContentType), shortText)
	}
	if e.Time != 0 {
		out.Timestamp = time.UnixMilli(e.Time)
	}
	headers, refused := f.table(e)
	out.Headers = headers
	return out, refused
}

// table returns the event's own headers, then what the engine tells of it, then what
// the options add.
func (f *form) table(e *event.Event) (amqp091.Table, *node.Reject) {
	headers := make([]event.Header, 0, len(e.Headers)+3+len(f.headers))
	for _, h := range e.Headers {
		if passes(h.Name) {
			headers = append(headers, h)
		}
	}
	for _, h := range [...]struct{ name, text string }{{headerRoot, e.RootID}, {headerKey, e.Key}, {headerPlugin, e.Plugin}} {
		if h.text != "" {
			headers = append(headers, event.Header{Name: h.name, Value: event.String(h.text)})
		}
	}
	for name, program := range f.headers {
		v, err := program.Eval(e)
		if err != nil {
			return nil, reject("bad_expression", "headers.%s: %v", name, err)
		}
		if !v.IsNull() {
			headers = append(headers, event.Header{Name: name, Value: v})
		}
	}
	return link.Table(headers), nil
}

// passes keeps back headers that would make the broker route a message elsewhere as
// well, or refuse it, and those that the protocol has no room for.
func passes(name string) bool { return name != "CC" && name != "BCC" && len(name) <= shortText }
