// Package topology reads cluster files: which RabbitMQ nodes there are, which
// node owns which exchange and queue, where each queue's replica is, and who may
// do what. It says what the cluster is to be; the packages beside it compare that
// with a running one. It connects to nothing.
package topology

import (
	"time"

	"github.com/millrace/millrace/engine/spec"
)

// Profiles: how a queue is kept on more than one node.
const (
	Quorum   = "quorum"   // quorum queues with pinned members, RabbitMQ 3.10 and later
	Mirrored = "mirrored" // classic queues with one mirror, RabbitMQ before 4.0
)

// Roles of nodes.
const (
	Owner   = "owner"   // has exchanges and queues of its own
	Replica = "replica" // holds a copy of every queue; readers connect here
	Witness = "witness" // has none of either, but counts in majorities
)

// Operating systems that scripts are written for.
const (
	Windows = "windows"
	Linux   = "linux"
)

// Topology is one cluster file, checked and with its defaults filled in.
type Topology struct {
	Kind        string `yaml:"kind" jsonschema:"required,enum=cluster,description=what the file is"`
	Version     int    `yaml:"version" jsonschema:"required,enum=1,description=version of the file's format"`
	Name        string `yaml:"name" jsonschema:"required,description=the cluster's name; RabbitMQ shows it"`
	Description string `yaml:"description,omitempty" jsonschema:"description=for people"`

	Profile   string     `yaml:"profile,omitempty" jsonschema:"enum=quorum,enum=mirrored,default=quorum,description=how queues are kept on more than one node: quorum queues\\, or classic queues with a mirror (RabbitMQ 3.x only)"`
	HaMode    string     `yaml:"ha_mode,omitempty" jsonschema:"enum=nodes,enum=all,default=nodes,description=mirrored only: nodes keeps each queue on its owner and the replica\\, all on every node"`
	VHost     string     `yaml:"vhost,omitempty" jsonschema:"default=/,description=virtual host of everything below"`
	Partition string     `yaml:"partition_handling,omitempty" jsonschema:"enum=pause_minority,enum=autoheal,enum=ignore,default=pause_minority,description=what nodes do that lose sight of the others"`
	LongNames bool       `yaml:"long_names,omitempty" jsonschema:"description=node names have full host names with dots"`
	Expect    Versions   `yaml:"rabbitmq,omitempty" jsonschema:"description=versions that every node runs"`
	Admin     Login      `yaml:"admin,omitempty" jsonschema:"description=who may read and change the cluster over HTTP"`
	Ports     Ports      `yaml:"ports,omitempty" jsonschema:"description=ports of every node\\, unless the node says otherwise"`
	TLS       *TLS       `yaml:"tls,omitempty" jsonschema:"description=listeners with certificates"`
	Plugins   []string   `yaml:"plugins,omitempty" jsonschema:"description=plugins of every node; default rabbitmq_management"`
	Nodes     []Node     `yaml:"nodes" jsonschema:"required,minItems=1,description=the servers"`
	Exchanges []Exchange `yaml:"exchanges,omitempty" jsonschema:"description=where plants publish to"`
	Queues    []Queue    `yaml:"queues" jsonschema:"required,minItems=1,description=what the engine reads"`
	Bindings  []Binding  `yaml:"bindings,omitempty" jsonschema:"description=what reaches which queue"`
	Users     []User     `yaml:"users,omitempty" jsonschema:"description=who logs in\\, beside the administrator"`
	Consumers Consumers  `yaml:"consumers,omitempty" jsonschema:"description=what is expected of those who read"`

	File string `yaml:"-"` // path the file was read from
}

// Versions are those that all nodes are to run, as prefixes of whole numbers:
// 3.10 fits 3.10.8, not 3.1.
type Versions struct {
	Version string `yaml:"version,omitempty" jsonschema:"default=3.10,description=version of RabbitMQ\\, such as 3.10 or 4.1"`
	Erlang  string `yaml:"erlang,omitempty" jsonschema:"description=version of Erlang\\, such as 25; default: only equal on all nodes"`
}

// Login is a user with a password.
type Login struct {
	User     string      `yaml:"user,omitempty" jsonschema:"default=guest"`
	Password spec.Secret `yaml:"password,omitempty" jsonschema:"default=guest,description=take it from a variable: ${NAME}"`
}

// Ports are TCP ports; 0 is the default.
type Ports struct {
	AMQP         int `yaml:"amqp,omitempty" jsonschema:"minimum=1,maximum=65535,description=default 5672\\, with tls 5671"`
	Management   int `yaml:"management,omitempty" jsonschema:"minimum=1,maximum=65535,description=default 15672\\, with tls 15671"`
	Distribution int `yaml:"distribution,omitempty" jsonschema:"minimum=1,maximum=65535,default=25672,description=between the nodes"`
}

// TLS names the certificates by operating system.
type TLS struct {
	Linux    Certificate   `yaml:"linux,omitempty" jsonschema:"description=files on Linux nodes"`
	Windows  Certificate   `yaml:"windows,omitempty" jsonschema:"description=files on Windows nodes\\, with slashes"`
	Trust    string        `yaml:"trust,omitempty" jsonschema:"description=file here with the authority's certificate\\, for verify"`
	MinValid time.Duration `yaml:"min_valid,omitempty" jsonschema:"default=720h,description=verify reports certificates that end sooner"`
}

// Certificate is a certificate with its key and authority, as paths on a node.
type Certificate struct {
	Authority string `yaml:"authority,omitempty" jsonschema:"description=certificates of the authority"`
	File      string `yaml:"certificate,omitempty" jsonschema:"description=the node's certificate"`
	Key       string `yaml:"key,omitempty" jsonschema:"description=its private key"`
}

// Node is one server.
type Node struct {
	Name    string `yaml:"name" jsonschema:"required,description=the node in this file"`
	Host    string `yaml:"host,omitempty" jsonschema:"description=host name; default: the name. On Windows in capitals\\, as the computer calls itself"`
	Erlang  string `yaml:"node,omitempty" jsonschema:"description=RabbitMQ's name of the node; default rabbit@host"`
	OS      string `yaml:"os" jsonschema:"required,enum=windows,enum=linux"`
	Role    string `yaml:"role,omitempty" jsonschema:"enum=owner,enum=replica,enum=witness,default=owner,description=owner of queues\\, or the one that holds every queue's replica"`
	Storage string `yaml:"storage,omitempty" jsonschema:"enum=disc,enum=ram,default=disc"`
	Address string `yaml:"address,omitempty" jsonschema:"description=IP address\\, for the hosts file; default: names are resolved otherwise"`
	Ports   Ports  `yaml:"ports,omitempty" jsonschema:"description=where they differ from the cluster's"`
}

// Exchange is where a plant publishes to.
type Exchange struct {
	Name  string `yaml:"name" jsonschema:"required"`
	Type  string `yaml:"type,omitempty" jsonschema:"enum=topic,enum=direct,enum=fanout,enum=headers,default=topic"`
	Owner string `yaml:"owner,omitempty" jsonschema:"description=node whose plant publishes to it; RabbitMQ keeps exchanges on all nodes"`
}

// Queue is one master queue with its replica.
type Queue struct {
	Name          string      `yaml:"name" jsonschema:"required"`
	Owner         string      `yaml:"owner" jsonschema:"required,description=node that leads the queue"`
	Members       []string    `yaml:"members,omitempty" jsonschema:"description=quorum only: nodes with a copy\\, an odd number; default: owner\\, replica and one neighbour"`
	Engine        *bool       `yaml:"engine,omitempty" jsonschema:"default=true,description=the engine reads it"`
	DeliveryLimit int         `yaml:"delivery_limit,omitempty" jsonschema:"minimum=0,maximum=1000000,description=quorum only: deliveries after which a message is dead; 0: none"`
	DeadLetter    *DeadLetter `yaml:"dead_letter,omitempty" jsonschema:"description=where dead messages go"`
}

// DeadLetter says where dead messages of a queue go.
type DeadLetter struct {
	Exchange   string `yaml:"exchange" jsonschema:"required"`
	RoutingKey string `yaml:"routing_key,omitempty" jsonschema:"description=default: the message's own"`
}

// Binding says which messages of an exchange reach a queue.
type Binding struct {
	Exchange   string `yaml:"exchange" jsonschema:"required"`
	Queue      string `yaml:"queue" jsonschema:"required"`
	RoutingKey string `yaml:"routing_key,omitempty" jsonschema:"default=#"`
}

// User logs in to the virtual host. Permissions are regular expressions; an
// empty one permits nothing.
type User struct {
	Name      string      `yaml:"name" jsonschema:"required"`
	Password  spec.Secret `yaml:"password,omitempty" jsonschema:"description=take it from a variable: ${NAME:}; without one apply does not create the user"`
	Tags      []string    `yaml:"tags,omitempty" jsonschema:"enum=administrator,enum=monitoring,enum=policymaker,enum=management"`
	Configure string      `yaml:"configure,omitempty" jsonschema:"description=names that it may create and delete"`
	Write     string      `yaml:"write,omitempty" jsonschema:"description=names that it may publish to"`
	Read      string      `yaml:"read,omitempty" jsonschema:"description=names that it may read"`
}

// Consumers is what verify expects of those who read the queues.
type Consumers struct {
	Required bool `yaml:"required,omitempty" jsonschema:"description=verify reports queues of the engine that nobody reads"`
}
