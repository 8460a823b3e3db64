package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block.
type Config struct {
	Patterns  []string `json:"patterns"`  // the first that fits counts
	Field     string   `json:"field"`     // of the record, with the topic; default: the message's routing key
	Separator string   `json:"separator"` // between levels; default: as MQTT and RabbitMQ have it, see topic
	Unmatched string   `json:"unmatched"` // what fits no pattern: reject (default), drop, keep
	Existing  string   `json:"existing"`  // fields that the record has already: replace (default), keep
}

// Validate reports every bad place of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sdk.ConfigError{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	if len(c.Patterns) == 0 {
		bad("patterns", "none given; write one such as plant/{plant}/{device}/{metric}")
	}
	for i, text := range c.Patterns {
		if _, err := compile(text); err != nil {
			bad(fmt.Sprintf("patterns[%d]", i), "%q %v", text, err)
		}
	}
	if !slices.Contains([]string{"", "reject", "drop", "keep"}, c.Unmatched) {
		bad("unmatched", "%q is none of reject, drop, keep", c.Unmatched)
	}
	if !slices.Contains([]string{"", "replace", "keep"}, c.Existing) {
		bad("existing", "%q is none of replace, keep", c.Existing)
	}
	return errors.Join(errs...)
}

// parser is the running form of a Config.
type parser struct {
	Config
	patterns []*pattern
}

func open(c *Config) (sdk.Func, error) {
	p := &parser{Config: *c}
	for _, text := range c.Patterns {
		compiled, _ := compile(text) // Validate has been here
		p.patterns = append(p.patterns, compiled)
	}
	return p.parse, nil
}

func (p *parser) parse(e *sdk.Event) error {
	levels, err := p.levels(e)
	if err != nil {
		return err
	}
	var why error
	for _, pattern := range p.patterns {
		fields, ok, err := pattern.match(levels)
		why = errors.Join(why, err)
		if !ok {
			continue
		}
		for _, f := range fields {
			if p.Existing != "keep" || e.Get(f.Name).IsNull() {
				e.Set(f.Name, f.Value)
			}
		}
		return nil
	}
	return p.unmatched(e, levels, why)
}

func (p *parser) unmatched(e *sdk.Event, levels []string, why error) error {
	switch {
	case p.Unmatched == "keep":
		return nil
	case p.Unmatched == "drop":
		e.Drop()
		return nil
	case why != nil:
		return sdk.Reject("bad_level", "topic %.200q: %v", strings.Join(levels, "/"), why)
	default:
		return sdk.Reject("unknown_topic", "topic %.200q fits no pattern", strings.Join(levels, "/"))
	}
}

// levels returns the topic's levels.
func (p *parser) levels(e *sdk.Event) ([]string, error) {
	text := e.In().Source.RoutingKey
	if p.Field != "" {
		text = e.Text(p.Field)
	}
	switch {
	case text == "" && p.Field != "":
		return nil, sdk.Reject("no_topic", "field %q is missing or no text", p.Field)
	case text == "":
		return nil, sdk.Reject("no_topic", "the message has no routing key")
	case p.Separator != "":
		return strings.Split(text, p.Separator), nil
	case p.Field != "":
		return strings.Split(text, "/"), nil
	default:
		return strings.Split(topic(text), "/"), nil
	}
}

// swapped makes a topic of a routing key: RabbitMQ's MQTT plugin writes the levels'
// separator / as a dot, and a dot within a level as /.
var swapped = strings.NewReplacer(".", "/", "/", ".")

func topic(routingKey string) string { return swapped.Replace(routingKey) }
