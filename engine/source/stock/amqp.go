package stock

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

// uuidHeader is where watermill's AMQP publishers put a message's id.
const uuidHeader = wamqp.DefaultMessageUUIDHeaderKey

// AMQP returns a source of cfg's queue through watermill-amqp: one message at a
// time. It reconnects to the broker that it found first; each new subscription
// tries the next.
func AMQP(cfg amqp.Config) (*Source, error) {
	if _, err := amqp.New(cfg); err != nil { // the same rules for options and URLs
		return nil, err
	}
	if cfg.Prefetch == 0 {
		cfg.Prefetch = amqp.DefaultPrefetch
	}
	urls := strings.Split(strings.Join(cfg.URLs, ","), ",")
	var attempt atomic.Uint32
	return newSource(config{
		name: "queue " + strconv.Quote(cfg.Queue), log: cfg.Log,
		subscribe: func(context.Context) (*subscription, error) {
			url := strings.TrimSpace(urls[int(attempt.Add(1)-1)%len(urls)])
			return subscribeAMQP(&cfg, url)
		},
	}), nil
}

func subscribeAMQP(cfg *amqp.Config, url string) (*subscription, error) {
	if _, err := link.Parse([]string{url}); err != nil {
		return nil, node.AsFatal(err)
	}
	sub, err := wamqp.NewSubscriber(amqpConfig(cfg, url), watermillLog(cfg.Log))
	if err != nil {
		return nil, classifyAMQP(err)
	}
	messages, err := sub.Subscribe(context.Background(), cfg.Queue)
	if err != nil {
		return nil, errors.Join(classifyAMQP(err), sub.Close())
	}
	return &subscription{messages, sub.Close}, nil
}

// classifyAMQP marks what waiting cannot mend.
func classifyAMQP(err error) error {
	e, ok := errors.AsType[*amqp091.Error](err)
	if ok && (e.Code == amqp091.PreconditionFailed || errors.Is(err, amqp091.ErrCredentials) || errors.Is(err, amqp091.ErrVhost)) {
		return node.AsFatal(err)
	}
	return node.AsAway(err)
}

func amqpConfig(cfg *amqp.Config, url string) wamqp.Config {
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("millrace stock source " + cfg.Name)
	dialer := net.Dialer{Timeout: link.Timeout}
	out := wamqp.NewDurableQueueConfig(url)
	out.Connection.AmqpConfig = &amqp091.Config{
		Heartbeat: link.Heartbeat, Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			conn, err := dialer.Dial(network, addr)
			if err != nil {
				return nil, err
			}
			return conn, conn.SetDeadline(time.Now().Add(link.Timeout))
		},
	}
	out.Connection.Reconnect = &wamqp.ReconnectConfig{
		BackoffInitialInterval: firstPause, BackoffRandomizationFactor: 0.5, BackoffMultiplier: 2, BackoffMaxInterval: 2 * time.Second,
	}
	out.Marshaler = marshaler{queue: cfg.Queue}
	out.TopologyBuilder = topology{queue: cfg.Broker()}
	out.Consume.Qos.PrefetchCount = cfg.Prefetch
	out.Consume.Exclusive = cfg.Alone()
	return out
}

func watermillLog(log *slog.Logger) watermill.LoggerAdapter {
	if log == nil {
		return watermill.NopLogger{}
	}
	return watermill.NewSlogLogger(log)
}

// topology looks the queue up, or declares it if it is to be declared: left to
// itself, watermill-amqp creates a deleted queue again, empty.
type topology struct {
	wamqp.DefaultTopologyBuilder
	queue link.Queue
}

// BuildTopology implements watermill-amqp's contract.
func (t topology) BuildTopology(ch *amqp091.Channel, _, _ string, _ wamqp.Config, _ watermill.LoggerAdapter) error {
	return link.Declare(ch, t.queue)
}

// marshaler reads AMQP messages of any program. Watermill's own ends in an endless
// requeue at the first header that is not a string.
type marshaler struct {
	wamqp.DefaultMarshaler
	queue string
}

// errPhantom is the answer to what a closed channel of deliveries yields: an
// empty message that nobody sent. It makes the subscriber start anew.
var errPhantom = errors.New("consumer was cancelled by the broker")

// Unmarshal implements watermill-amqp's contract.
func (m marshaler) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	if d.Acknowledger == nil {
		return nil, errPhantom
	}
	in := link.Message(&d, m.queue, 0)
	id, headers := in.MessageID, in.Headers[:0]
	for _, h := range in.Headers {
		if h.Name != uuidHeader {
			headers = append(headers, h)
		} else if id == "" {
			id = h.Value.Format()
		}
	}
	in.MessageID, in.Headers = id, headers
	return toMessage(&in), nil
}

// Marshal implements watermill-amqp's contract, for the sink.
func (m marshaler) Marshal(msg *message.Message) (amqp091.Publishing, error) {
	in := fromMessage(msg)
	out := amqp091.Publishing{
		Body: in.Body, ContentType: in.ContentType, MessageId: in.MessageID, Timestamp: in.Timestamp,
		DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{uuidHeader: in.MessageID},
	}
	for _, h := range in.Headers {
		out.Headers[h.Name] = tableValue(h.Value)
	}
	return out, out.Headers.Validate()
}

func tableValue(v event.Value) any {
	if v.Kind() == event.KindTime {
		return time.UnixMilli(v.AsInt())
	}
	return v.Any()
}
