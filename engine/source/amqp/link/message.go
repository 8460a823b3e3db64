package link

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Names under which message properties that an event has no field for are kept
// as headers.
const (
	HeaderEncoding    = "amqp-content-encoding"
	HeaderCorrelation = "amqp-correlation-id"
	HeaderReplyTo     = "amqp-reply-to"
	HeaderType        = "amqp-type"
	HeaderUser        = "amqp-user-id"
	HeaderApp         = "amqp-app-id"
)

// Message turns a delivery from queue into what the engine knows. The body is not
// copied: the client gives each delivery a body of its own.
func Message(d *amqp.Delivery, queue string, seq uint64) node.Message {
	return node.Message{
		Seq: seq, Body: d.Body, ContentType: d.ContentType, Headers: headers(d),
		Exchange: d.Exchange, RoutingKey: d.RoutingKey, Queue: queue,
		MessageID: d.MessageId, Timestamp: d.Timestamp, Redelivered: d.Redelivered,
	}
}

// headers returns the header table in the order of names (a table has none of
// its own), then the properties that have no field in an event.
func headers(d *amqp.Delivery) []event.Header {
	properties := [...]struct{ name, text string }{
		{HeaderEncoding, d.ContentEncoding}, {HeaderCorrelation, d.CorrelationId}, {HeaderReplyTo, d.ReplyTo},
		{HeaderType, d.Type}, {HeaderUser, d.UserId}, {HeaderApp, d.AppId},
	}
	var out []event.Header
	if len(d.Headers) > 0 {
		out = make([]event.Header, 0, len(d.Headers))
		for name, v := range d.Headers {
			out = append(out, event.Header{Name: name, Value: value(v)})
		}
		slices.SortFunc(out, func(a, b event.Header) int { return strings.Compare(a.Name, b.Name) })
	}
	for i := range properties {
		if properties[i].text != "" {
			out = append(out, event.Header{Name: properties[i].name, Value: event.String(properties[i].text)})
		}
	}
	return out
}

// value keeps the type of a table's field. Times have the protocol's resolution
// of a second; nested tables and arrays become JSON text.
func value(v any) event.Value {
	if i, ok := integer(v); ok {
		return event.Int(i)
	}
	switch v := v.(type) {
	case nil:
		return event.Null
	case bool:
		return event.Bool(v)
	case float32:
		return event.Float(float64(v))
	case float64:
		return event.Float(v)
	case string:
		return event.String(v)
	case []byte:
		return event.Bytes(v)
	case time.Time:
		return event.Time(v.UnixMilli())
	case amqp.Decimal:
		return event.Decimal(decimal(v))
	default:
		return event.JSON(string(appendJSON(nil, v)))
	}
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int64:
		return v, true
	case int:
		return int64(v), true
	default:
		return 0, false
	}
}

// decimal writes value / 10^scale with all its digits.
func decimal(d amqp.Decimal) string {
	digits := strconv.FormatInt(int64(d.Value), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	scale := int(d.Scale)
	if scale == 0 {
		return sign + digits
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	cut := len(digits) - scale
	return sign + digits[:cut] + "." + digits[cut:]
}

// appendJSON writes a nested table, an array or a single field as JSON. What
// JSON cannot say (not-a-number, infinities) becomes null.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case amqp.Table:
		return appendObject(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...)
		}
	case nil, bool, string, []byte, time.Time, amqp.Decimal, float32:
	default:
		if _, ok := integer(v); !ok {
			return append(dst, "null"...)
		}
	}
	return value(v).AppendJSON(dst)
}

func appendObject(dst []byte, t amqp.Table) []byte {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		text, _ := json.Marshal(name) // a string always marshals
		dst = append(append(dst, text...), ':')
		dst = appendJSON(dst, t[name])
	}
	return append(dst, '}')
}

// Table is the way back: headers as a message to be published has them, numbers,
// bools and times with their types. Of headers with one name the last counts; nil if
// there are none.
func Table(headers []event.Header) amqp.Table {
	if len(headers) == 0 {
		return nil
	}
	out := amqp.Table{}
	for _, h := range headers {
		out[h.Name] = h.Value.Any()
		if h.Value.Kind() == event.KindBytes {
			out[h.Name] = []byte(h.Value.Text())
		}
	}
	return out
}
