package mqttsink

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/spec"
)

// maxTopic is the longest topic that the protocol has, in bytes.
const maxTopic = 65535

// Type describes `sink: mqtt` to the pipeline reader.
var Type = spec.NodeType{
	Kind: spec.Sink, Name: "mqtt", Connection: "mqtt", Reads: spec.Any,
	Doc:         "Publishes each event to an MQTT 5 broker with QoS 1; at least once, under the event's id.",
	NewConfig:   func() any { return &Options{} },
	Expressions: []string{"topic"},
}

// Options is the `with:` of a `sink: mqtt` node.
type Options struct {
	Connection string `yaml:"connection" jsonschema:"required,description=name of an mqtt connection of this file"`
	Topic      string `yaml:"topic" jsonschema:"required,description=expression for the topic of an event\\, such as: 'site/' + device + '/temperature'"`
	// Retain, default true: the broker keeps each topic's last value for those who
	// subscribe later.
	Retain *bool  `yaml:"retain,omitempty" jsonschema:"default=true,description=the broker keeps each topic's last value for those who subscribe later"`
	Schema string `yaml:"schema,omitempty" jsonschema:"description=what is added to an event's topic to name the one that keeps its fields with their types\\, retained\\, such as: /schema"`
	Status string `yaml:"status,omitempty" jsonschema:"description=topic that says online or offline\\, retained; offline is the will\\, too"`
}

var _ spec.Checker = (*Options)(nil)

// Check reports every option that cannot work.
func (o *Options) Check() []spec.FieldError {
	var out []spec.FieldError
	if o.Topic == "" {
		out = append(out, spec.FieldError{Field: "topic", Message: "the topic is missing"})
	} else if _, err := expr.Compile(o.Topic); err != nil {
		out = append(out, spec.FieldError{Field: "topic", Message: err.Error()})
	}
	for field, text := range map[string]string{"schema": o.Schema, "status": o.Status} {
		if why := badTopic(text); text != "" && why != "" {
			out = append(out, spec.FieldError{Field: field, Message: why})
		}
	}
	return out
}

// badTopic says why nothing can be published to a topic, "" if it can.
func badTopic(topic string) string {
	switch {
	case topic == "":
		return "a topic cannot be empty"
	case len(topic) > maxTopic:
		return fmt.Sprintf("a topic has at most %d bytes, this one %d", maxTopic, len(topic))
	case strings.ContainsAny(topic, "+#\x00"), !utf8.ValidString(topic):
		return fmt.Sprintf("%.100q is no topic to publish to: it holds +, #, a zero or bytes that are no UTF-8", topic)
	case strings.HasPrefix(topic, "$"):
		return fmt.Sprintf("%.100q is the broker's own", topic)
	}
	return ""
}

func (o *Options) retain() bool { return o.Retain == nil || *o.Retain }
