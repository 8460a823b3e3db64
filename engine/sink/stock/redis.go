package stocksink

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/spec"
)

// RedisOptions is the `with:` of a `sink: redisstream` node.
type RedisOptions struct {
	Connection string `yaml:"connection" jsonschema:"required,description=name of a redis connection of this file"`
	Stream     string `yaml:"stream" jsonschema:"required,description=Redis key of a stream that other programs read"`
	MaxLen     int64  `yaml:"max_len,omitempty" jsonschema:"minimum=0,description=about how many entries are kept; older ones go, read or not. Default: all"`
	Driver     string `yaml:"driver,omitempty" jsonschema:"enum=stock,description=stock (the only one): one entry per event through watermill-redisstream"`
}

// RedisType describes `sink: redisstream` to the pipeline reader.
var RedisType = spec.NodeType{
	Kind: spec.Sink, Name: "redisstream", Connection: "redis", Reads: spec.Any,
	Doc:       "Appends each event to a Redis stream for other programs; at least once, under the event's id.",
	NewConfig: func() any { return &RedisOptions{} },
}

// Check reports every option that cannot work.
func (o *RedisOptions) Check() []spec.FieldError {
	var out []spec.FieldError
	if o.Stream == "" {
		out = append(out, spec.FieldError{Field: "stream", Message: "the stream's key is missing"})
	}
	if strings.HasPrefix(o.Stream, "mr:") {
		out = append(out, spec.FieldError{Field: "stream", Message: "keys that begin with mr: are the engine's own"})
	}
	if o.MaxLen < 0 {
		out = append(out, spec.FieldError{Field: "max_len", Message: fmt.Sprintf("%d is below 0", o.MaxLen)})
	}
	return append(out, checkDriver(o.Driver)...)
}

// RedisConfig is everything that a sink to a Redis stream needs.
type RedisConfig struct {
	RedisOptions
	URL string // redis://[user:password@]host:port/db
	Log *slog.Logger
}

// RedisStream returns a sink that connects when it is first written to. Its client
// is its own, because the stock publisher closes the client it was given. Errors
// never hold the URL.
func RedisStream(cfg RedisConfig) (*Sink, error) {
	for _, e := range cfg.Check() {
		return nil, fmt.Errorf("sink redisstream: %w", e)
	}
	options, err := redis.ParseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("sink redisstream: %w", errURL)
	}
	return newSink(outlet{
		name: "stream " + strconv.Quote(cfg.Stream), fixed: cfg.Stream, log: cfg.Log,
		open: func(context.Context) (message.Publisher, error) {
			return redisstream.NewPublisher(redisstream.PublisherConfig{
				Client: redis.NewClient(options), DefaultMaxlen: cfg.MaxLen,
			}, watermillLog(cfg.Log))
		},
	}), nil
}
