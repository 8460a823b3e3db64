// Package spec reads pipeline files: strict YAML with variables, every problem
// reported at once by file, line and column. It knows the shape of a file and
// the options of each node type (through a [Catalog]), but builds nothing and
// connects to nothing; package plan turns what it reads into stages.
package spec

import "time"

// Pipeline is one pipeline file, checked and with its defaults filled in.
type Pipeline struct {
	Kind        string `yaml:"kind" jsonschema:"required,enum=pipeline,description=what the file is"`
	Version     int    `yaml:"version" jsonschema:"required,enum=1,description=version of the file's format"`
	Name        string `yaml:"name" jsonschema:"required,pattern=^[a-z][a-z0-9_-]{0\\,62}$,description=names the pipeline's streams and positions; another name is another pipeline"` // [a-z][a-z0-9_-]{0,62}
	Description string `yaml:"description,omitempty" jsonschema:"description=for people"`

	Connections map[string]Connection `yaml:"connections,omitempty" jsonschema:"description=outside servers by name"`
	Lanes       int                   `yaml:"lanes,omitempty" jsonschema:"minimum=1,maximum=256,default=4,description=ordered parts of each stream; fixed once the streams exist"`                    // default 4, 1..256
	Durability  string                `yaml:"durability,omitempty" jsonschema:"enum=strict,enum=best_effort,description=strict (default with a real log): what is acknowledged survives a power cut"` // strict (default with real servers), best_effort
	Log         Log                   `yaml:"log,omitempty" jsonschema:"description=the streams on Redis"`
	Limits      Limits                `yaml:"limits,omitempty" jsonschema:"description=what a message may be; above them it is a dead letter"`
	Unit        Unit                  `yaml:"unit,omitempty" jsonschema:"description=what a stage handles at once"`
	Plugins     Plugins               `yaml:"plugins,omitempty" jsonschema:"description=where plugins are"`
	Tap         Tap                   `yaml:"tap,omitempty" jsonschema:"description=what people see of events"`
	Nodes       []Node                `yaml:"nodes" jsonschema:"required,minItems=1,description=sources\\, transforms\\, plugins and sinks"`

	File string `yaml:"-"` // path the file was read from
	text string // as it was read, variables by their names
}

// Text returns the file as it was read, with the names of variables in the place of
// their values.
func (p *Pipeline) Text() string { return p.text }

// Connection names one outside server. Exactly one field is set.
type Connection struct {
	AMQP  *AMQPConnection  `yaml:"amqp,omitempty" jsonschema:"description=RabbitMQ"`
	Redis *RedisConnection `yaml:"redis,omitempty" jsonschema:"description=Redis"`
	SQL   *SQLConnection   `yaml:"sql,omitempty" jsonschema:"description=MariaDB or SQLite"`
	MQTT  *MQTTConnection  `yaml:"mqtt,omitempty" jsonschema:"description=an MQTT 5 broker"`
}

// Embedded is the URL or DSN that stands for the in-process default.
const Embedded = "embedded"

// AMQPConnection is a RabbitMQ cluster: its nodes' URLs, comma-separated, tried
// in order; or "embedded".
type AMQPConnection struct {
	URLs Secret `yaml:"urls" jsonschema:"required,description=amqp:// or amqps:// URLs of the cluster's nodes\\, comma-separated; or embedded"`
}

// RedisConnection is a Redis server: redis://[user:password@]host:port/db, or
// "embedded".
type RedisConnection struct {
	URL Secret `yaml:"url" jsonschema:"required,description=redis://[user:password@]host:port/db\\, or embedded"`
}

// SQLConnection is a database: a go-sql-driver DSN for MariaDB
// (user:password@tcp(host:port)/database), "sqlite:PATH", or "embedded".
type SQLConnection struct {
	DSN Secret `yaml:"dsn" jsonschema:"required,description=user:password@tcp(host:port)/database\\, sqlite:PATH\\, or embedded"`
}

// MQTTConnection is an MQTT 5 broker: URLs, comma-separated, tried in order. It has
// no embedded stand-in.
type MQTTConnection struct {
	URLs Secret `yaml:"urls" jsonschema:"required,description=mqtt:// or mqtts:// URLs\\, comma-separated; parameters cacertfile\\, certfile and keyfile name files for TLS"`
}

// Log configures the pipeline's streams on Redis.
type Log struct {
	Connection     string        `yaml:"connection,omitempty" jsonschema:"description=name of a redis connection; default: the only one"`                                        // default: the only redis connection
	MaxBytes       Bytes         `yaml:"max_bytes,omitempty" jsonschema:"description=memory the streams may take; default 60 % of Redis' maxmemory"`                             // default 60 % of Redis' maxmemory
	Retention      time.Duration `yaml:"retention,omitempty" jsonschema:"default=24h,description=how long the journal keeps what every reader has read"`                         // default 24h; unread is never trimmed
	RetentionBytes Bytes         `yaml:"retention_bytes,omitempty" jsonschema:"default=4GiB,description=how much the journal keeps of what every reader has read"`               // default 4GiB
	DeadRetention  time.Duration `yaml:"dead_letter_retention,omitempty" jsonschema:"default=720h,description=how long dead letters are kept that nobody drives again or drops"` // default 720h
	DeadAlarm      Bytes         `yaml:"dead_letter_alarm,omitempty" jsonschema:"default=64MiB,description=size of all dead letters from which the log warns and a metric is 1"` // default 64MiB
	IdentityWindow time.Duration `yaml:"identity_window,omitempty" jsonschema:"default=1h,description=how long a message is remembered so that its repeat is recognised"`        // default 1h
	Compression    string        `yaml:"compression,omitempty" jsonschema:"enum=none,enum=zstd,default=none,description=of frames in the streams"`                               // none (default), zstd
}

// Limits bound what one message may bring in. What is above them is a dead letter
// with a reason, of which at most the first 64 KiB are kept if it is large.
type Limits struct {
	Message  Bytes `yaml:"message,omitempty" jsonschema:"default=16MiB,description=largest body of a message\\, up to 32MiB"` // default 16MiB, up to 32MiB: a frame must hold it
	Headers  Bytes `yaml:"headers,omitempty" jsonschema:"default=64KiB,description=most bytes of a message's headers"`        // default 64KiB
	Identity Bytes `yaml:"identity,omitempty" jsonschema:"default=4KiB,description=longest identity of a message"`            // default 4KiB
	Key      Bytes `yaml:"key,omitempty" jsonschema:"default=4KiB,description=longest partitioning key"`                      // default 4KiB
}

// Unit bounds what a stage handles at once.
type Unit struct {
	MaxEvents int   `yaml:"max_events,omitempty" jsonschema:"minimum=1,maximum=65536,default=4096,description=most events of a unit"` // default 4096, 1..65536
	MaxBytes  Bytes `yaml:"max_bytes,omitempty" jsonschema:"default=8MiB,description=most bytes of a unit"`                           // default 8MiB
}

// Plugins says where plugin binaries are, and how a new version is tried.
type Plugins struct {
	Dir   string        `yaml:"dir,omitempty" jsonschema:"default=plugins/bin,description=folder of NAME@VERSION binaries\\, relative to the working directory"`           // default plugins/bin, relative to the working directory
	Trial time.Duration `yaml:"trial,omitempty" jsonschema:"default=30s,description=for how long a new version is watched while the one before stands ready to come back"` // default 30s
}

// Tap says what people see of events: in taps, and in dead letters that are shown.
type Tap struct {
	Redact []string `yaml:"redact,omitempty" jsonschema:"description=fields whose values are hidden: a name\\, or the end of a path with dots\\, * for any name; payloads that are no JSON are withheld"` // see package redact
}

// Bytes is a size; a file writes it as a number or with a unit (64MiB, 4GiB, 10MB).
type Bytes int64

// Node is one vertex of the pipeline's graph.
type Node struct {
	ID        string   `yaml:"id" jsonschema:"required,pattern=^[a-z][a-z0-9_]{0\\,62}$,description=names the node and its stream"` // [a-z][a-z0-9_]{0,62}
	Source    string   `yaml:"source,omitempty" jsonschema:"description=brings events in: the type of source"`
	Transform string   `yaml:"transform,omitempty" jsonschema:"description=turns events into events: the type of transform"`
	Plugin    string   `yaml:"plugin,omitempty" jsonschema:"description=a transform in a process of its own: name@version constraint"`                                                          // name@constraint
	Reads     string   `yaml:"reads,omitempty" jsonschema:"enum=record,enum=payload,default=record,description=what a plugin takes: decoded records\\, or payloads as the source brought them"` // of a plugin: record (default) or payload
	Sink      string   `yaml:"sink,omitempty" jsonschema:"description=delivers events: the type of sink"`
	Inputs    []string `yaml:"inputs,omitempty" jsonschema:"description=ids of the nodes it reads"`
	Key       string   `yaml:"key,omitempty" jsonschema:"description=expression: events of one key keep their order; re-keys what the node hands on"` // expression: re-keys what the node hands on
	Durable   bool     `yaml:"durable,omitempty" jsonschema:"description=its outputs rest in a stream of their own"`                                  // outputs rest in a stream of their own
	Order     string   `yaml:"order,omitempty" jsonschema:"enum=strict,description=strict: later events of a key wait behind one that the node has refused\\, until that is driven again or dropped"`
	ParkedMax int      `yaml:"parked_max,omitempty" jsonschema:"minimum=1,maximum=10000000,default=10000,description=with order strict: from so many waiting events of a key on its lane stands still"`                                  // default 10000
	Start     string   `yaml:"start,omitempty" jsonschema:"enum=earliest,enum=now,description=where a sink begins in a stream that it has not read yet; earliest: at the oldest event that is kept; a reload that adds a sink needs it"` // "", "earliest" or "now"
	Retry     Retry    `yaml:"retry,omitempty" jsonschema:"description=what is tried again after an error of unknown kind"`
	With      any      `yaml:"with,omitempty" jsonschema:"description=options of the node's type"` // *Config of the node's type; for plugins map[string]any

	Type   *NodeType `yaml:"-"`
	Line   int       `yaml:"-"` // where the node begins in its file
	Column int       `yaml:"-"`
}

// Retry bounds what is tried again after an unsure error.
type Retry struct {
	Max     int     `yaml:"max,omitempty" jsonschema:"minimum=0,maximum=1000,default=5,description=tries after the first"` // default 5 tries after the first
	Backoff Backoff `yaml:"backoff,omitempty" jsonschema:"description=pauses between the tries"`
}

// Backoff is exponential.
type Backoff struct {
	Initial    time.Duration `yaml:"initial,omitempty" jsonschema:"default=100ms,description=first pause"`                                     // default 100ms
	Max        time.Duration `yaml:"max,omitempty" jsonschema:"default=10s,description=longest pause"`                                         // default 10s
	Multiplier float64       `yaml:"multiplier,omitempty" jsonschema:"minimum=1,maximum=100,default=2,description=growth of the pause"`        // default 2
	Jitter     float64       `yaml:"jitter,omitempty" jsonschema:"minimum=0,maximum=1,default=0.2,description=part of a pause that is random"` // 0..1, default 0.2
}
