package management

import "encoding/json"

// Table is a JSON object with any values. RabbitMQ writes an empty one as [] in
// some places.
type Table map[string]any

// UnmarshalJSON takes an object, or an empty list for an empty object.
func (t *Table) UnmarshalJSON(text []byte) error {
	if string(text) == "[]" {
		*t = Table{}
		return nil
	}
	var m map[string]any
	err := json.Unmarshal(text, &m)
	*t = m
	return err
}

// Overview is what a node says about the cluster as a whole.
type Overview struct {
	ClusterName string     `json:"cluster_name"`
	Node        string     `json:"node"`
	RabbitMQ    string     `json:"rabbitmq_version"`
	Erlang      string     `json:"erlang_version"`
	Listeners   []Listener `json:"listeners"`

	Date string `json:"-"` // the answer's Date, as HTTP writes it
}

// Listener is an open port of a node.
type Listener struct {
	Node     string `json:"node"`
	Protocol string `json:"protocol"` // amqp, amqp/ssl, clustering, http, https, mqtt, ...
	Port     int    `json:"port"`
}

// Node is one node as the asked one sees it. Of a node that is down there is
// little more than the name.
type Node struct {
	Name         string    `json:"name"`
	Type         *string   `json:"type"` // disc or ram; RabbitMQ 4.3 knows no other than disc
	Running      *bool     `json:"running"`
	Partitions   *[]string `json:"partitions"` // nodes that it has lost sight of
	MemAlarm     *bool     `json:"mem_alarm"`
	DiskAlarm    *bool     `json:"disk_free_alarm"`
	Plugins      *[]string `json:"enabled_plugins"`
	Links        *[]Link   `json:"cluster_links"`
	BeingDrained *bool     `json:"being_drained"`
}

// IsRunning reports whether the node says that it runs.
func (n *Node) IsRunning() bool { return n.Running != nil && *n.Running }

// Link is a connection between two nodes, which needs equal cookies.
type Link struct {
	Name string `json:"name"` // the other node
}

// Queue is one queue. Statistics are left out while the node that leads it has
// not told any, and for good if that node is down.
type Queue struct {
	Name       string `json:"name"`
	VHost      string `json:"vhost"`
	Type       string `json:"type"`
	Durable    *bool  `json:"durable"`
	AutoDelete *bool  `json:"auto_delete"`
	Arguments  Table  `json:"arguments"`
	State      string `json:"state"` // running, idle, minority, down, stopped, crashed; "" while unknown
	Policy     string `json:"policy"`
	Effective  Table  `json:"effective_policy_definition"`
	Node       string `json:"node"`

	Mirrors *[]string `json:"slave_nodes"`              // classic: all mirrors
	Synced  *[]string `json:"synchronised_slave_nodes"` // classic: those that have all messages

	Leader  string    `json:"leader"`  // quorum
	Members *[]string `json:"members"` // quorum: all
	Online  *[]string `json:"online"`  // quorum: those that run

	Messages  *int64 `json:"messages"`
	Consumers *int   `json:"consumers"`
}

// LeaderNode is the node that serves the queue, whatever its type.
func (q *Queue) LeaderNode() string {
	if q.Leader != "" {
		return q.Leader
	}
	return q.Node
}

// Policy is a policy of a virtual host.
type Policy struct {
	VHost      string `json:"vhost,omitempty"`
	Name       string `json:"name,omitempty"`
	Pattern    string `json:"pattern"`
	ApplyTo    string `json:"apply-to"`
	Priority   int    `json:"priority"`
	Definition Table  `json:"definition"`
}

// Exchange is an exchange of a virtual host.
type Exchange struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Durable *bool  `json:"durable"`
}

// Binding is what reaches a queue or exchange.
type Binding struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	To          string `json:"destination_type"` // queue or exchange
	RoutingKey  string `json:"routing_key"`
}

// User is a user; tags are a list since 3.9 and a text with commas before.
type User struct {
	Name string `json:"name"`
	Tags Tags   `json:"tags"`
}

// Tags are a user's roles.
type Tags []string

// UnmarshalJSON takes a list, or a text with commas.
func (t *Tags) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err == nil {
		*t = list
		return nil
	}
	var joined string
	err := json.Unmarshal(text, &joined)
	*t = splitTags(joined)
	return err
}

// Permission is what a user may do in a virtual host.
type Permission struct {
	User      string `json:"user,omitempty"`
	VHost     string `json:"vhost,omitempty"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// Flag is a feature flag.
type Flag struct {
	Name      string `json:"name"`
	State     string `json:"state"` // enabled, disabled, unavailable
	Stability string `json:"stability"`
}

// Consumer is one reader of a queue.
type Consumer struct {
	Queue    struct{ Name, VHost string } `json:"queue"`
	Prefetch *int                         `json:"prefetch_count"`
	Acks     *bool                        `json:"ack_required"`
	Channel  ConsumerChannel              `json:"channel_details"`
}

// ConsumerChannel says where a consumer is connected.
type ConsumerChannel struct {
	Connection string `json:"connection_name"`
	Node       string `json:"node"`
	User       string `json:"user"`
}

// UnmarshalJSON takes an object, or a list where RabbitMQ knows nothing yet.
func (c *ConsumerChannel) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return nil
	}
	type plain ConsumerChannel
	return json.Unmarshal(text, (*plain)(c))
}

// Connection is one client connection.
type Connection struct {
	Name string `json:"name"`
	Node string `json:"node"`
}
