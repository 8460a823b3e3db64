// Package spec reads pipeline files: strict YAML with variables, every problem
// reported at once by file, line and column. It knows the shape of a file and
// the options of each node type (through a [Catalog]), but builds nothing and
// connects to nothing; package plan turns what it reads into stages.
package spec

import "time"

// Pipeline is one pipeline file, checked and with its defaults filled in.
type Pipeline struct {
	Kind        string `yaml:"kind" jsonschema:"required,enum=pipeline"`
	Version     int    `yaml:"version" jsonschema:"required,enum=1"`
	Name        string `yaml:"name" jsonschema:"required"` // [a-z][a-z0-9_-]{0,62}
	Description string `yaml:"description,omitempty"`

	Connections map[string]Connection `yaml:"connections,omitempty"`
	Lanes       int                   `yaml:"lanes,omitempty"`      // default 4, 1..256
	Durability  string                `yaml:"durability,omitempty"` // strict (default with real servers), best_effort
	Log         Log                   `yaml:"log,omitempty"`
	Unit        Unit                  `yaml:"unit,omitempty"`
	Plugins     Plugins               `yaml:"plugins,omitempty"`
	Nodes       []Node                `yaml:"nodes" jsonschema:"required"`

	File string `yaml:"-"` // path the file was read from
}

// Connection names one outside server. Exactly one field is set.
type Connection struct {
	AMQP  *AMQPConnection  `yaml:"amqp,omitempty"`
	Redis *RedisConnection `yaml:"redis,omitempty"`
	SQL   *SQLConnection   `yaml:"sql,omitempty"`
}

// Embedded is the URL or DSN that stands for the in-process default.
const Embedded = "embedded"

// AMQPConnection is a RabbitMQ cluster: its nodes' URLs, comma-separated, tried
// in order; or "embedded".
type AMQPConnection struct {
	URLs Secret `yaml:"urls" jsonschema:"required"`
}

// RedisConnection is a Redis server: redis://[user:password@]host:port/db, or
// "embedded".
type RedisConnection struct {
	URL Secret `yaml:"url" jsonschema:"required"`
}

// SQLConnection is a database: a go-sql-driver DSN for MariaDB
// (user:password@tcp(host:port)/database), "sqlite:PATH", or "embedded".
type SQLConnection struct {
	DSN Secret `yaml:"dsn" jsonschema:"required"`
}

// Log configures the pipeline's streams on Redis.
type Log struct {
	Connection     string        `yaml:"connection,omitempty"`      // default: the only redis connection
	MaxBytes       Bytes         `yaml:"max_bytes,omitempty"`       // default 60 % of Redis' maxmemory
	Retention      time.Duration `yaml:"retention,omitempty"`       // default 24h; unread is never trimmed
	RetentionBytes Bytes         `yaml:"retention_bytes,omitempty"` // default 4GiB
	IdentityWindow time.Duration `yaml:"identity_window,omitempty"` // default 1h
	Compression    string        `yaml:"compression,omitempty"`     // none (default), zstd
}

// Unit bounds what a stage handles at once.
type Unit struct {
	MaxEvents int   `yaml:"max_events,omitempty"` // default 4096, 1..65536
	MaxBytes  Bytes `yaml:"max_bytes,omitempty"`  // default 8MiB
}

// Plugins says where plugin binaries are.
type Plugins struct {
	Dir string `yaml:"dir,omitempty"` // default plugins/bin, relative to the working directory
}

// Bytes is a size; a file writes it as a number or with a unit (64MiB, 4GiB, 10MB).
type Bytes int64

// Node is one vertex of the pipeline's graph.
type Node struct {
	ID        string   `yaml:"id" jsonschema:"required"` // [a-z][a-z0-9_]{0,62}
	Source    string   `yaml:"source,omitempty"`
	Transform string   `yaml:"transform,omitempty"`
	Plugin    string   `yaml:"plugin,omitempty"` // name@constraint
	Sink      string   `yaml:"sink,omitempty"`
	Inputs    []string `yaml:"inputs,omitempty"`
	Key       string   `yaml:"key,omitempty"`     // expression: re-keys what the node hands on
	Durable   bool     `yaml:"durable,omitempty"` // outputs rest in a stream of their own
	Retry     Retry    `yaml:"retry,omitempty"`
	With      any      `yaml:"with,omitempty"` // *Config of the node's type; for plugins map[string]any

	Type *NodeType `yaml:"-"`
	Line int       `yaml:"-"` // where the node begins in its file
}

// Retry bounds what is tried again after an unsure error.
type Retry struct {
	Max     int     `yaml:"max,omitempty"` // default 5 tries after the first
	Backoff Backoff `yaml:"backoff,omitempty"`
}

// Backoff is exponential.
type Backoff struct {
	Initial    time.Duration `yaml:"initial,omitempty"`    // default 100ms
	Max        time.Duration `yaml:"max,omitempty"`        // default 10s
	Multiplier float64       `yaml:"multiplier,omitempty"` // default 2
	Jitter     float64       `yaml:"jitter,omitempty"`     // 0..1, default 0.2
}
