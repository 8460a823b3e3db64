package amqpsink

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/spec"
)

// DriverStock names watermill's own adapter (package engine/sink/stock); "" is this
// package.
const DriverStock = "stock"

// shortText is the longest name, key or content type that the protocol has, in bytes.
const shortText = 255

// Type describes `sink: amqp` to the pipeline reader.
var Type = spec.NodeType{
	Kind: spec.Sink, Name: "amqp", Connection: "amqp", Reads: spec.Any,
	Doc:       "Publishes each event to RabbitMQ, with confirms; at least once, under the event's id.",
	NewConfig: func() any { return &Options{} },
}

// Options is the `with:` of a `sink: amqp` node.
type Options struct {
	Connection   string            `yaml:"connection" jsonschema:"required,description=name of an amqp connection of this file"`
	Queue        string            `yaml:"queue,omitempty" jsonschema:"description=publish straight to this queue"`
	Exchange     string            `yaml:"exchange,omitempty" jsonschema:"description=publish to this exchange; it must exist"`
	ExchangeFrom string            `yaml:"exchange_from,omitempty" jsonschema:"description=expression for the exchange of an event\\, instead of a fixed one; an event whose exchange does not exist is rejected"`
	RoutingKey   string            `yaml:"routing_key,omitempty" jsonschema:"description=expression for the routing key of an event, such as: 'site.' + device"`
	Headers      map[string]string `yaml:"headers,omitempty" jsonschema:"description=further headers by name\\, each an expression; null leaves the header out"`
	// Mandatory, default true: an event that no queue takes is rejected; if false the
	// broker drops it.
	Mandatory *bool  `yaml:"mandatory,omitempty" jsonschema:"default=true,description=an event that no queue takes is rejected; false: the broker drops it"`
	Declare   bool   `yaml:"declare,omitempty" jsonschema:"description=create the queue, durable, if the broker has none"`
	Driver    string `yaml:"driver,omitempty" jsonschema:"enum=stock,description=stock: watermill's own adapter, which waits for a confirm after each event and does not see what no queue takes"`
}

var _ spec.Checker = (*Options)(nil)

// Check reports every option that cannot work.
func (o *Options) Check() []spec.FieldError {
	var out []spec.FieldError
	add := func(field, format string, args ...any) {
		out = append(out, spec.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	switch targets := o.targets(); {
	case targets == 0:
		add("queue", "neither a queue nor an exchange is named")
	case targets > 1:
		add("queue", "one of queue, exchange and exchange_from, not several")
	case o.Queue != "" && o.RoutingKey != "":
		add("routing_key", "a queue is its own routing key")
	case o.Queue == "" && o.Declare:
		add("declare", "only a queue can be declared")
	}
	if n := max(len(o.Queue), len(o.Exchange)); n > shortText {
		add("queue", "a name has at most %d bytes, this one %d", shortText, n)
	}
	if o.Driver != "" && o.Driver != DriverStock {
		add("driver", "%q is not a driver; leave it out or write stock", o.Driver)
	}
	if o.Driver == DriverStock && (o.ExchangeFrom != "" || len(o.Headers) > 0 || o.Mandatory != nil) {
		add("driver", "stock knows neither exchange_from nor headers nor mandatory")
	}
	return append(out, o.checkExpressions()...)
}

func (o *Options) targets() (n int) {
	for _, name := range []string{o.Queue, o.Exchange, o.ExchangeFrom} {
		if name != "" {
			n++
		}
	}
	return n
}

func (o *Options) checkExpressions() []spec.FieldError {
	var out []spec.FieldError
	check := func(field, src string) {
		if _, err := expr.Compile(src); err != nil && src != "" {
			out = append(out, spec.FieldError{Field: field, Message: fmt.Sprintf("%q: %v", src, err)})
		}
	}
	check("exchange_from", o.ExchangeFrom)
	check("routing_key", o.RoutingKey)
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		if field := "headers." + name; name == "" || len(name) > shortText || !passes(name) {
			out = append(out, spec.FieldError{Field: field, Message: "is no name of a header: want 1 to 255 bytes, and neither CC nor BCC"})
		} else {
			check(field, o.Headers[name])
		}
	}
	return out
}

func (o *Options) mandatory() bool { return o.Mandatory == nil || *o.Mandatory }
