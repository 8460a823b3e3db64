package amqp

import (
	"fmt"
	"net/url"

	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/spec"
)

// Defaults and bounds of [Options].
const (
	DefaultPrefetch         = 4000
	MaxPrefetch             = 65535 // the protocol's field has two bytes
	DefaultMaxInflightBytes = 64 << 20
	minMaxInflightBytes     = 64 << 10
)

// Drivers of the node type: "" is this package, DriverStock watermill's own
// adapter (package engine/source/stock).
const DriverStock = "stock"

// Options is the `with:` of a `source: amqp` node.
type Options struct {
	Connection string `yaml:"connection" jsonschema:"required,description=name of an amqp connection of this file"`
	Queue      string `yaml:"queue" jsonschema:"required,description=queue to consume; it must exist unless declare is true"`
	Identity   string `yaml:"identity,omitempty" jsonschema:"description=expression that names a message for ever, such as: message_id ?? payload.id. Without one delivery is at least once"`

	Prefetch         int        `yaml:"prefetch,omitempty" jsonschema:"minimum=1,maximum=65535,default=4000,description=most messages taken and not yet stored"`
	MaxInflightBytes spec.Bytes `yaml:"max_inflight_bytes,omitempty" jsonschema:"default=64MiB,description=most bytes of message bodies taken and not yet stored"`

	Declare   bool   `yaml:"declare,omitempty" jsonschema:"description=create the queue if the broker has none; otherwise a missing queue is waited for and never created"`
	Durable   *bool  `yaml:"durable,omitempty" jsonschema:"default=true,description=with declare: the queue outlives a restart of the broker"`
	QueueType string `yaml:"queue_type,omitempty" jsonschema:"enum=classic,enum=quorum,description=with declare: the queue's type; default is the broker's"`
	Bind      []Bind `yaml:"bind,omitempty" jsonschema:"description=with declare: bindings the queue needs"`

	// Exclusive false lets other consumers read the same queue; order is then lost.
	Exclusive *bool  `yaml:"exclusive,omitempty" jsonschema:"default=true,description=refuse to share the queue: with two consumers there is no order"`
	Driver    string `yaml:"driver,omitempty" jsonschema:"enum=stock,description=stock: watermill's own adapter with its slower one-by-one delivery"`

	// Of a queue that is kept on several nodes of a cluster; see package follow.
	Follow              string      `yaml:"follow,omitempty" jsonschema:"enum=replica,description=replica: always the connection's first node if it answers\\, which holds the queue's replica. Whichever node is connected to\\, the queue's leader serves"`
	Management          spec.Secret `yaml:"management,omitempty" jsonschema:"description=with follow: http://user:password@host:15672 of the replica's node\\, to know the queue's leader and whether the replica is complete"`
	RequireSynchronised bool        `yaml:"require_synchronised,omitempty" jsonschema:"description=with management: read nothing before the replica is complete; otherwise the engine warns"`
	Sequence            string      `yaml:"sequence,omitempty" jsonschema:"description=expression of the producer's own number of a message\\, which grows by one: gaps in it are told"`
	Producer            string      `yaml:"producer,omitempty" jsonschema:"description=with sequence: expression of whose number it is; default: the routing key"`
}

// FollowReplica is the word of [Options.Follow].
const FollowReplica = "replica"

// PlanNote is what a plan says of the source beside its name, "" for nothing.
func (o *Options) PlanNote() string {
	if o.Follow != FollowReplica {
		return ""
	}
	return "consumes " + o.Queue + " through the replica's node; its leader serves it nonetheless, so the owner has the load"
}

// Bind is one binding of a declared queue.
type Bind struct {
	Exchange string `yaml:"exchange" jsonschema:"required"`
	Key      string `yaml:"key,omitempty"`
}

// Type describes `source: amqp` to the pipeline reader.
var Type = spec.NodeType{
	Kind: spec.Source, Name: "amqp", Connection: "amqp", Writes: spec.Payload,
	Doc:       "Consumes one RabbitMQ queue in order; a message is acknowledged once the journal has it.",
	NewConfig: func() any { return NewOptions() },
}

// NewOptions returns options with their defaults.
func NewOptions() *Options {
	return &Options{Prefetch: DefaultPrefetch, MaxInflightBytes: DefaultMaxInflightBytes}
}

// Check reports every option that cannot work.
func (o *Options) Check() []spec.FieldError {
	var out []spec.FieldError
	add := func(field, format string, args ...any) {
		out = append(out, spec.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if o.Queue == "" || len(o.Queue) > 255 {
		add("queue", "a queue's name has 1 to 255 bytes, this one %d", len(o.Queue))
	}
	if o.Prefetch < 0 || o.Prefetch > MaxPrefetch {
		add("prefetch", "%d is outside 1..%d", o.Prefetch, MaxPrefetch)
	}
	if o.MaxInflightBytes != 0 && o.MaxInflightBytes < minMaxInflightBytes {
		add("max_inflight_bytes", "%d is below %d", o.MaxInflightBytes, minMaxInflightBytes)
	}
	if o.Driver != "" && o.Driver != DriverStock {
		add("driver", "%q is not a driver; leave it out or write stock", o.Driver)
	}
	return append(append(out, o.checkFollow()...), o.checkQueue()...)
}

func (o *Options) checkFollow() []spec.FieldError {
	var out []spec.FieldError
	if address := o.Management.Reveal(); address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			out = append(out, spec.FieldError{Field: "management", Message: "that is no address of a management API", Hint: "http://user:password@host:15672"})
		}
		if o.Follow == "" {
			out = append(out, spec.FieldError{Field: "management", Message: "it is asked about the replica that is followed", Hint: "add follow: replica"})
		}
	}
	if o.RequireSynchronised && o.Management == "" {
		out = append(out, spec.FieldError{Field: "require_synchronised", Message: "only the management API tells whether a replica is complete", Hint: "add management: http://user:password@host:15672"})
	}
	if o.Producer != "" && o.Sequence == "" {
		out = append(out, spec.FieldError{Field: "producer", Message: "it says whose number it is, and there is none", Hint: "add sequence: headers.seq"})
	}
	return out
}

func (o *Options) checkQueue() []spec.FieldError {
	var out []spec.FieldError
	switch o.QueueType {
	case "", "classic", "quorum":
	default:
		out = append(out, spec.FieldError{Field: "queue_type", Message: fmt.Sprintf("%q is neither classic nor quorum", o.QueueType)})
	}
	if !o.Declare && (o.QueueType != "" || o.Durable != nil || len(o.Bind) > 0) {
		out = append(out, spec.FieldError{Field: "declare", Message: "durable, queue_type and bind describe a queue that is declared", Hint: "add declare: true"})
	}
	if o.QueueType == "quorum" && o.Durable != nil && !*o.Durable {
		out = append(out, spec.FieldError{Field: "durable", Message: "a quorum queue is always durable"})
	}
	for i, b := range o.Bind {
		if b.Exchange == "" {
			out = append(out, spec.FieldError{Field: fmt.Sprintf("bind[%d].exchange", i), Message: "every queue is bound to the default exchange already"})
		}
	}
	return append(out, o.checkIdentity()...)
}

// Broker returns what the options ask of the queue.
func (o *Options) Broker() link.Queue {
	q := link.Queue{Name: o.Queue, Create: o.Declare, Durable: o.Durable == nil || *o.Durable, Type: o.QueueType}
	for _, b := range o.Bind {
		q.Bind = append(q.Bind, link.Binding(b))
	}
	return q
}

// Alone reports whether the source is to be the queue's only consumer.
func (o *Options) Alone() bool { return o.Exclusive == nil || *o.Exclusive }
