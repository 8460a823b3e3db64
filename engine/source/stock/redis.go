package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/spec"
)

// RedisOptions is the `with:` of a `source: redisstream` node.
type RedisOptions struct {
	Connection string `yaml:"connection" jsonschema:"required,description=name of a redis connection of this file"`
	Stream     string `yaml:"stream" jsonschema:"required,description=Redis key of a stream that another program writes"`
	Group      string `yaml:"group,omitempty" jsonschema:"description=consumer group of this source alone; default millrace.PIPELINE.NODE"`
	Start      string `yaml:"start,omitempty" jsonschema:"enum=earliest,enum=now,default=earliest,description=where a new group begins"`
	Identity   string `yaml:"identity,omitempty" jsonschema:"description=expression that names a message for ever, such as: message_id"`
	Driver     string `yaml:"driver,omitempty" jsonschema:"enum=stock,description=stock (the only one): one message at a time through watermill-redisstream"`
}

// RedisType describes `source: redisstream` to the pipeline reader.
var RedisType = spec.NodeType{
	Kind: spec.Source, Name: "redisstream", Connection: "redis", Writes: spec.Payload,
	Doc:       "Reads a Redis stream of another program, one message at a time.",
	NewConfig: func() any { return &RedisOptions{} },
}

// Check reports every option that cannot work.
func (o *RedisOptions) Check() []spec.FieldError {
	var out []spec.FieldError
	add := func(field, format string, args ...any) {
		out = append(out, spec.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if o.Stream == "" {
		add("stream", "the stream's key is missing")
	}
	if o.Start != "" && o.Start != "earliest" && o.Start != "now" {
		add("start", "%q is neither earliest nor now", o.Start)
	}
	if o.Driver != "" && o.Driver != amqp.DriverStock {
		add("driver", "%q is not a driver; leave it out or write stock", o.Driver)
	}
	if o.Identity == "" {
		return append(out, spec.FieldError{Field: "identity", Warning: true, Hint: "identity: message_id",
			Message: "without an identity a message that comes twice is stored twice (at least once)"})
	}
	if _, err := expr.CompileIdentity(o.Identity); err != nil {
		add("identity", "%q: %v", o.Identity, err)
	}
	return out
}

// RedisConfig is everything that a source of a Redis stream needs.
type RedisConfig struct {
	RedisOptions
	URL  string // redis://[user:password@]host:port/db
	Name string // such as "charts.plant5": names the default group and the consumer
	Log  *slog.Logger
}

// RedisStream returns a source of a foreign stream through watermill-redisstream.
// Each subscription has a client of its own, because that adapter closes the
// client it was given. Errors never hold the URL.
func RedisStream(cfg RedisConfig) (*Source, error) {
	for _, e := range cfg.Check() {
		if !e.Warning {
			return nil, fmt.Errorf("source redisstream: %w", e)
		}
	}
	options, err := redis.ParseURL(cfg.URL)
	if err != nil { // the error's own text may hold the URL
		return nil, errors.New("source redisstream: not a usable redis:// URL")
	}
	if cfg.Group == "" {
		cfg.Group = "millrace." + cfg.Name
	}
	return newSource(config{
		name: "stream " + strconv.Quote(cfg.Stream), log: cfg.Log,
		subscribe: func(ctx context.Context) (*subscription, error) { return subscribeRedis(ctx, &cfg, options) },
	}), nil
}

func subscribeRedis(ctx context.Context, cfg *RedisConfig, options *redis.Options) (*subscription, error) {
	client := redis.NewClient(options)
	left, err := pending(ctx, client, cfg)
	if err != nil {
		return nil, node.AsAway(errors.Join(err, client.Close()))
	}
	start := "0"
	if cfg.Start == "now" {
		start = "$"
	}
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: client, Unmarshaller: unmarshaler{cfg.Stream}, Consumer: "millrace." + cfg.Name,
		ConsumerGroup: cfg.Group, OldestId: start, DisableIndefiniteInitialBlock: true,
		MaxIdleTime: time.Millisecond, ShouldClaimPendingMessage: left.claim,
		CheckConsumersInterval: time.Hour, ConsumerTimeout: 24 * time.Hour,
	}, watermillLog(cfg.Log))
	if err != nil {
		return nil, node.AsAway(errors.Join(err, client.Close()))
	}
	messages, err := sub.Subscribe(context.Background(), cfg.Stream)
	if err != nil {
		return nil, node.AsAway(errors.Join(err, sub.Close()))
	}
	return &subscription{messages, sub.Close}, nil
}

// leftover names the entries that an earlier subscription has read and not
// acknowledged. The adapter never reads its own pending entries; it claims idle
// ones, and by default only after a minute, behind newer ones. Claimed at once,
// each only once, they come first and in order, and an entry that is merely slow
// is not claimed from under its own reader. The group is this source's alone.
type leftover struct {
	mu  sync.Mutex // guards ids
	ids map[string]bool
}

func (l *leftover) claim(p redis.XPendingExt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := l.ids[p.ID]
	delete(l.ids, p.ID)
	return wanted
}

func pending(ctx context.Context, client *redis.Client, cfg *RedisConfig) (*leftover, error) {
	out := &leftover{ids: map[string]bool{}}
	for from := "-"; ; {
		page, err := client.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: cfg.Stream, Group: cfg.Group, Start: from, End: "+", Count: 1000,
		}).Result()
		if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") {
			return out, nil // the subscription creates it
		}
		if err != nil {
			return nil, fmt.Errorf("look for unacknowledged entries: %w", err)
		}
		for _, p := range page {
			out.ids[p.ID] = true
		}
		if len(page) < 1000 {
			return out, nil
		}
		from = "(" + page[len(page)-1].ID
	}
}

// unmarshaler reads entries of any program: those of watermill by their fields, and
// all others as one JSON object. An entry that it could not read would end the
// subscription for ever.
type unmarshaler struct{ stream string }

// Unmarshal implements watermill-redisstream's contract.
func (u unmarshaler) Unmarshal(values map[string]any) (*message.Message, error) {
	msg, err := redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(values)
	if err != nil {
		body, err := json.Marshal(values)
		if err != nil {
			body = fmt.Append(nil, values)
		}
		msg = message.NewMessage("", body)
		msg.Metadata[metaContentType] = "application/json"
	}
	msg.Metadata[metaQueue] = u.stream
	return msg, nil
}
