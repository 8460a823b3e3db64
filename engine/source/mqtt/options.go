package mqtt

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/spec"
)

// DefaultInflight is how many messages the broker may send unacknowledged.
const DefaultInflight = 1000

// Type describes `source: mqtt` to the pipeline reader.
var Type = spec.NodeType{
	Kind: spec.Source, Name: "mqtt", Connection: "mqtt", Writes: spec.Payload,
	Doc:       "Subscribes to topics of an MQTT 5 broker with QoS 1; a message is acknowledged once the journal has it.",
	NewConfig: func() any { return NewOptions() },
}

// Options is the `with:` of a `source: mqtt` node.
type Options struct {
	Connection string   `yaml:"connection" jsonschema:"required,description=name of an mqtt connection of this file"`
	Topics     []string `yaml:"topics" jsonschema:"required,minItems=1,description=topic filters\\, such as: plant/+/temperature"`
	Share      string   `yaml:"share,omitempty" jsonschema:"description=group of a shared subscription: its members divide the messages between them"`
	ClientID   string   `yaml:"client_id,omitempty" jsonschema:"description=name of the session that the broker keeps; default: millrace-PIPELINE.NODE"`
	Identity   string   `yaml:"identity,omitempty" jsonschema:"description=expression that names a message for ever, such as: message_id ?? payload.id. Without one delivery is at least once"`
	Inflight   int      `yaml:"inflight,omitempty" jsonschema:"minimum=1,maximum=65535,default=1000,description=most messages taken and not yet stored"`
}

var _ spec.Checker = (*Options)(nil)

// NewOptions returns options with their defaults.
func NewOptions() *Options { return &Options{Inflight: DefaultInflight} }

// Check reports every option that cannot work.
func (o *Options) Check() []spec.FieldError {
	var out []spec.FieldError
	add := func(field, format string, args ...any) {
		out = append(out, spec.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if len(o.Topics) == 0 {
		add("topics", "no topic is named")
	}
	for i, topic := range o.Topics {
		if !goodFilter(topic) {
			add(fmt.Sprintf("topics[%d]", i), "%.100q is no topic filter: + stands for one whole level, # for all below at the end", topic)
		}
	}
	if strings.ContainsAny(o.Share, "/+#\x00") {
		add("share", "%.100q is no name of a group: it holds /, + or #", o.Share)
	}
	if o.Inflight < 1 || o.Inflight > 65535 {
		add("inflight", "%d is outside 1..65535", o.Inflight)
	}
	return append(out, o.checkIdentity()...)
}

// checkIdentity reads the identity expression, and warns if there is none.
func (o *Options) checkIdentity() []spec.FieldError {
	if o.Identity == "" {
		return []spec.FieldError{{
			Field: "identity", Warning: true, Hint: `identity: "message_id ?? payload.id"`,
			Message: "without an identity a message that comes twice is stored twice (at least once)",
		}}
	}
	if _, err := expr.CompileIdentity(o.Identity); err != nil {
		return []spec.FieldError{{Field: "identity", Message: fmt.Sprintf("%q: %v", o.Identity, err)}}
	}
	return nil
}

func goodFilter(topic string) bool {
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		whole := level == "+" || level == "#" && i == len(levels)-1
		if strings.ContainsAny(level, "+#\x00") && !whole {
			return false
		}
	}
	return topic != "" && len(topic) <= 65535
}

// filters returns what is subscribed to.
func (o *Options) filters() []string {
	out := make([]string, len(o.Topics))
	for i, topic := range o.Topics {
		out[i] = topic
		if o.Share != "" {
			out[i] = "$share/" + o.Share + "/" + topic
		}
	}
	return out
}
