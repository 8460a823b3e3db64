package spec

import (
	"fmt"
	"log/slog"
)

// Kind is what a node does with events.
type Kind string

// The kinds of node. In a pipeline file the kind is the key that names the
// node's type: `source: amqp`, `transform: json`, `plugin: scale@^1`, `sink: sql`.
const (
	Source    Kind = "source"
	Transform Kind = "transform"
	Plugin    Kind = "plugin"
	Sink      Kind = "sink"
)

// Content is what an event carries along an edge.
type Content string

// The contents of an edge.
const (
	Payload Content = "payload" // bytes with a content type
	Record  Content = "record"  // decoded fields
	Any     Content = "any"     // either, handed on as it came
)

// NodeType describes one type of node to the pipeline reader: which options its
// `with:` takes, and what it reads and writes. Node packages export one as Type.
type NodeType struct {
	Kind Kind
	Name string // as in the pipeline file, such as "amqp"
	Doc  string // one sentence, shown by the editor and by `engine schema`

	// NewConfig returns a pointer to the options with their defaults filled in.
	// Its fields carry `yaml:"snake_case"` and `jsonschema:"..."` tags; a
	// `jsonschema:"required"` field must be present. nil: the type has no options.
	NewConfig func() any

	Reads  Content // what it needs from its inputs; sources: ignored
	Writes Content // what it hands on; Any: what it read; sinks: ignored

	// Expressions names the options, at the top of `with:`, that are expressions
	// over one event; the pipeline reader compiles them, so that the options need
	// not.
	Expressions []string

	// Idempotent says of a sink that it knows an event which it has stored: a live
	// replay fills such sinks, and leaves the others out unless they are named.
	Idempotent bool

	// Follows says of a sink that it shows what comes and keeps no place in a stream.
	Follows bool

	// Connection is the kind of connection that `connection:` must name: "amqp",
	// "redis", "sql", or "" for none.
	Connection string
}

// Checker is implemented by options that can be wrong in ways their types do not
// show. Check reports every problem at once.
type Checker interface {
	Check() []FieldError
}

// FieldError is one wrong option. Severity "" is an error.
type FieldError struct {
	Field   string // path within `with:`, such as "columns[2].name"; "" is `with:` itself
	Message string // what was found and what was expected
	Hint    string // how to mend it; may be ""
	Warning bool   // lint shows it, validate does not
}

func (e FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Message) }

// Secret is a text that must not be seen: a URL with a password, a DSN. Every way
// of printing it gives "***".
type Secret string

// String hides the secret.
func (Secret) String() string { return "***" }

// GoString hides the secret.
func (Secret) GoString() string { return "***" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// Reveal returns the secret itself, for the one call that needs it.
func (s Secret) Reveal() string { return string(s) }
