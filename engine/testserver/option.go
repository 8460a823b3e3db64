package testserver

import "strconv"

// Option changes how a server is started.
type Option func(*options)

// RedisOption, MariaDBOption and RabbitOption are [Option] under the name of
// the server that it is for.
type (
	RedisOption   = Option
	MariaDBOption = Option
	RabbitOption  = Option
)

type options struct {
	conf    []setting // in order, a later one wins
	plugins []string
	env     []string // beside this process' own
	data    string   // folder of the server's data; "": within its own
}

type setting struct{ key, value string }

func collect(defaults []setting, opts []Option) options {
	o := options{conf: defaults}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Conf sets one line of the server's own configuration: a redis.conf
// directive, a mariadbd option without its dashes, a rabbitmq.conf key, a
// mosquitto.conf directive. The last setting of a key wins.
func Conf(key, value string) Option {
	return func(o *options) {
		for i := range o.conf {
			if o.conf[i].key == key {
				o.conf[i].value = value
				return
			}
		}
		o.conf = append(o.conf, setting{key, value})
	}
}

// AppendFsync sets when Redis syncs its append-only file: "always" (the
// default here), "everysec" or "no".
func AppendFsync(when string) RedisOption { return Conf("appendfsync", when) }

// MaxMemory bounds what Redis holds, in bytes; 0 is unbounded, the default.
func MaxMemory(bytes int64) RedisOption {
	return Conf("maxmemory", strconv.FormatInt(bytes, 10))
}

// DataOn puts the server's data into an empty folder, such as a [Disk]'s.
func DataOn(dir string) Option { return func(o *options) { o.data = dir } }

// WithManagement runs RabbitMQ with its HTTP API. It lengthens the start by
// about a second and makes fresh virtual hosts cheap.
func WithManagement() RabbitOption { return withPlugin("rabbitmq_management") }

// WithMQTT runs RabbitMQ with its MQTT listener; nobody has to log in to it. A
// new node waits 3 to 6 seconds for others before it serves MQTT.
func WithMQTT() RabbitOption { return withPlugin("rabbitmq_mqtt") }

func withPlugin(name string) Option {
	return func(o *options) { o.plugins = append(o.plugins, name) }
}
