package stocksink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/expr"
	amqpsink "github.com/millrace/millrace/engine/sink/amqp"
	"github.com/millrace/millrace/engine/spec"
)

func checkDriver(name string) []spec.FieldError {
	if name == "" || name == "stock" {
		return nil
	}
	return []spec.FieldError{{Field: "driver", Message: fmt.Sprintf("%q is not a driver; leave it out or write stock", name)}}
}

// errURL stands for errors whose own text may hold a URL with its password.
var errURL = errors.New("not a usable URL")

// AMQP returns a sink with `driver: stock`, that connects when it is first written
// to. Errors never hold a URL.
func AMQP(cfg amqpsink.Config) (*Sink, error) {
	for _, e := range cfg.Check() {
		return nil, fmt.Errorf("sink amqp: %w", e)
	}
	urls := strings.Split(strings.Join(cfg.URLs, ","), ",")
	for i := range urls {
		urls[i] = strings.TrimSpace(urls[i])
		if _, err := amqp091.ParseURI(urls[i]); err != nil {
			return nil, fmt.Errorf("sink amqp: broker URL %d: %w", i+1, errURL)
		}
	}
	// The stock publisher reconnects, but only to the broker it had; closed while it
	// tries, it leaves a goroutine behind. So it is given up only for another broker.
	out := outlet{name: "exchange " + strconv.Quote(cfg.Exchange), log: cfg.Log, keep: len(urls) == 1}
	if cfg.Queue != "" {
		out.name, out.fixed, out.ready = "queue "+strconv.Quote(cfg.Queue), cfg.Queue, func(p message.Publisher) error { return queueThere(&cfg, p) }
	}
	if cfg.RoutingKey != "" {
		program, err := expr.Compile(cfg.RoutingKey)
		if err != nil {
			return nil, fmt.Errorf("sink amqp: routing_key: %w", err)
		}
		out.topic = program
	}
	var attempt atomic.Uint32
	out.open = func(context.Context) (message.Publisher, error) {
		url := urls[int(attempt.Add(1)-1)%len(urls)]
		return wamqp.NewPublisher(stockConfig(&cfg, url), watermillLog(cfg.Log))
	}
	return newSink(out), nil
}

func stockConfig(c *amqpsink.Config, url string) wamqp.Config {
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("millrace stock sink " + c.Name)
	exchange := c.Exchange
	out := wamqp.NewDurableQueueConfig(url)
	out.Connection.AmqpConfig = &amqp091.Config{Heartbeat: 10 * time.Second, Properties: properties, Dial: amqp091.DefaultDial(10 * time.Second)}
	out.Connection.Reconnect = &wamqp.ReconnectConfig{
		BackoffInitialInterval: 100 * time.Millisecond, BackoffRandomizationFactor: 0.5, BackoffMultiplier: 2, BackoffMaxInterval: 2 * time.Second,
	}
	out.Exchange.GenerateName = func(string) string { return exchange }
	out.Publish.ConfirmDelivery = true
	out.Marshaler = marshaler{}
	out.TopologyBuilder = passive{}
	return out
}

// queueThere looks the queue up: the stock publisher has no eye for messages that
// no queue takes, and the broker confirms those too.
func queueThere(c *amqpsink.Config, p message.Publisher) error {
	pub, ok := p.(*wamqp.Publisher)
	if !ok || !pub.IsConnected() {
		return errors.New("not connected")
	}
	ch, err := pub.Connection().Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	defer ch.Close()
	if c.Declare {
		_, err = ch.QueueDeclare(c.Queue, true, false, false, false, nil)
	} else {
		_, err = ch.QueueDeclarePassive(c.Queue, false, false, false, false, nil)
	}
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	return nil
}

// passive looks exchanges up instead of creating them.
type passive struct{ wamqp.DefaultTopologyBuilder }

// ExchangeDeclare implements watermill-amqp's contract.
func (passive) ExchangeDeclare(ch *amqp091.Channel, name string, _ wamqp.Config) error {
	if err := ch.ExchangeDeclarePassive(name, "", true, false, false, false, nil); err != nil {
		return fmt.Errorf("look up exchange: %w", err)
	}
	return nil
}

// BuildTopology implements watermill-amqp's contract; a publisher has no queues.
func (passive) BuildTopology(*amqp091.Channel, string, string, wamqp.Config, watermill.LoggerAdapter) error {
	return nil
}

// marshaler puts what AMQP has properties for into them.
type marshaler struct{ wamqp.DefaultMarshaler }

// Marshal implements watermill-amqp's contract.
func (m marshaler) Marshal(msg *message.Message) (amqp091.Publishing, error) {
	out, err := m.DefaultMarshaler.Marshal(msg)
	if err != nil {
		return out, err
	}
	out.MessageId = msg.UUID
	out.ContentType = msg.Metadata[metaContentType]
	if ms, err := strconv.ParseInt(msg.Metadata[metaTimestamp], 10, 64); err == nil {
		out.Timestamp = time.UnixMilli(ms)
	}
	delete(out.Headers, metaContentType)
	return out, nil
}
