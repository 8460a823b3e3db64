package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// Kind returns "amqp", "redis", "sql" or "mqtt", "" if none is set.
func (c Connection) Kind() string {
	switch {
	case c.AMQP != nil:
		return "amqp"
	case c.Redis != nil:
		return "redis"
	case c.SQL != nil:
		return "sql"
	case c.MQTT != nil:
		return "mqtt"
	}
	return ""
}

// Address returns the connection's URLs or DSN.
func (c Connection) Address() Secret {
	switch {
	case c.AMQP != nil:
		return c.AMQP.URLs
	case c.Redis != nil:
		return c.Redis.URL
	case c.SQL != nil:
		return c.SQL.DSN
	case c.MQTT != nil:
		return c.MQTT.URLs
	}
	return ""
}

// Embedded reports whether the connection stands for an in-process default.
func (c Connection) Embedded() bool { return c.Address() == Embedded }

// LogAddress returns the URL of the Redis that holds the pipeline's streams, or
// "embedded": also if the file names none.
func (p *Pipeline) LogAddress() Secret {
	if c, ok := p.Connections[p.Log.Connection]; ok {
		return c.Address()
	}
	return Embedded
}

// addressField is the field of a connection that holds its address.
var addressField = map[string]string{"amqp": "urls", "redis": "url", "sql": "dsn", "mqtt": "urls"}

func (c *checker) connections() {
	for _, name := range slices.Sorted(maps.Keys(c.p.Connections)) {
		path := join("connections", name)
		if !nodeID.MatchString(strings.ReplaceAll(name, "-", "_")) {
			c.problem(c.keys[path], "bad-name", "", "%q is no valid name of a connection", shortened(name))
		}
		c.oneServer(path)
		if conn := c.p.Connections[name]; conn.Kind() != "" {
			c.address(conn, join(path, conn.Kind()+"."+addressField[conn.Kind()]))
		}
	}
}

// oneServer checks that a connection has exactly one kind.
func (c *checker) oneServer(path string) {
	var found []string
	for _, kind := range []string{"amqp", "redis", "sql", "mqtt"} {
		if c.keys[join(path, kind)] != nil {
			found = append(found, kind)
		}
	}
	switch n := c.values[path]; {
	case n == nil || c.failed[path]:
	case len(found) == 0 && (n.Kind != yaml.MappingNode || len(n.Content) == 0):
		c.problem(c.keys[path], "no-server", "", "connection names no server, expected amqp, redis, sql or mqtt")
	case len(found) > 1:
		c.problem(c.keys[join(path, found[1])], "several-servers", "make two connections of it", "a connection is either %s", strings.Join(found, " or "))
	}
}

// address checks a connection's URLs without ever showing them.
func (c *checker) address(conn Connection, path string) {
	if conn.Embedded() && conn.Kind() != "mqtt" || c.values[path] == nil || c.failed[path] || isNull(c.values[path]) {
		return
	}
	want, ok := "", true
	switch text := conn.Address().Reveal(); conn.Kind() {
	case "amqp":
		want = "amqp:// or amqps://, several with commas between, or embedded"
		ok = eachHasScheme(text, "amqp", "amqps")
	case "mqtt":
		want, ok = "mqtt:// or mqtts://, several with commas between", eachHasScheme(text, "mqtt", "mqtts")
	case "redis":
		want, ok = "redis://, rediss:// or unix://, or embedded", hasScheme(text, "redis", "rediss", "unix")
	case "sql":
		want = "user:password@tcp(host:port)/database, or sqlite:PATH, or embedded"
		ok = strings.HasPrefix(text, "sqlite:") || strings.Contains(text, "/")
	}
	if !ok {
		c.failed[path] = true
		c.problem(c.values[path], "bad-address", "", "%s is no address: want %s", addressField[conn.Kind()], want)
	}
}

func eachHasScheme(urls string, schemes ...string) bool {
	for url := range strings.SplitSeq(urls, ",") {
		if !hasScheme(strings.TrimSpace(url), schemes...) {
			return false
		}
	}
	return true
}

func hasScheme(url string, schemes ...string) bool {
	scheme, rest, ok := strings.Cut(url, "://")
	return ok && rest != "" && slices.Contains(schemes, scheme)
}

// connection checks that the options of a node name a connection of its kind.
func (c *checker) connection(n *Node, path string) {
	name, ok := option(n.With, "connection")
	at := join(path, "connection")
	if !ok || name == "" || n.Type.Connection == "" || c.failed[at] {
		return
	}
	conn, known := c.p.Connections[name]
	switch {
	case !known:
		c.failed[at] = true
		c.problem(c.at(at), "unknown-connection", c.connectionHint(name, n.Type.Connection), "there is no connection %s", c.quoted(c.at(at)))
	case conn.Kind() != "" && conn.Kind() != n.Type.Connection:
		c.failed[at] = true
		c.problem(c.at(at), "wrong-connection", c.connectionHint(name, n.Type.Connection),
			"%q is a connection to %s, %s %q needs %s", name, conn.Kind(), n.Type.Kind, n.Type.Name, n.Type.Connection)
	}
}

func (c *checker) connectionHint(name, kind string) string {
	fitting := c.connectionsOf(kind)
	if near := nearest.Of(name, fitting); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(fitting) > 0 {
		return fmt.Sprintf("connections to %s: %s", kind, strings.Join(fitting, ", "))
	}
	return fmt.Sprintf("add it under connections, with %s: {%s: ...}", kind, addressField[kind])
}

// connectionsOf returns the names of the connections of a kind, sorted.
func (c *checker) connectionsOf(kind string) []string {
	var fitting []string
	for name, conn := range c.p.Connections {
		if conn.Kind() == kind {
			fitting = append(fitting, name)
		}
	}
	slices.Sort(fitting)
	return fitting
}

// servers finds the log's connection and refuses to keep what real sources
// acknowledge in process memory.
func (c *checker) servers() {
	c.logConnection()
	if c.p.Durability == BestEffort {
		return
	}
	if c.p.Durability == Strict && c.p.LogAddress() == Embedded {
		c.problem(c.at("durability"), "embedded-log", "durability: best_effort", "an embedded log cannot be strict: it does not outlive the process")
	}
	if from := c.realSource(); from != "" {
		c.embeddedBehind(from)
	}
}

func (c *checker) logConnection() {
	redis := c.connectionsOf("redis")
	name := c.p.Log.Connection
	switch conn, known := c.p.Connections[name]; {
	case name == "" && len(redis) == 1:
		c.p.Log.Connection = redis[0]
	case name == "" && len(redis) > 1:
		c.problem(c.keys["connections"], "unknown-connection", "log: {connection: "+redis[0]+"}", "there are several redis connections: say which one holds the log")
	case name == "" || c.failed["log.connection"]:
	case !known:
		c.problem(c.at("log.connection"), "unknown-connection", c.connectionHint(name, "redis"), "there is no connection %s", c.quoted(c.at("log.connection")))
	case conn.Kind() != "redis" && conn.Kind() != "":
		c.problem(c.at("log.connection"), "wrong-connection", c.connectionHint(name, "redis"), "%q is a connection to %s, the log needs redis", name, conn.Kind())
	}
}

// realSource returns the id of a source that reads from a real server, "" if
// there is none.
func (c *checker) realSource() string {
	for _, n := range c.p.Nodes {
		if n.Type == nil || n.Type.Kind != Source || n.Type.Connection == "" {
			continue
		}
		name, _ := option(n.With, "connection")
		if conn, ok := c.p.Connections[name]; ok && conn.Kind() != "" && conn.Address() != "" && !conn.Embedded() {
			return n.ID
		}
	}
	return ""
}

// embeddedBehind refuses an embedded log and embedded stores behind a real source.
func (c *checker) embeddedBehind(source string) {
	const hint = "name a real server, or write durability: best_effort"
	const why = "%q reads from a real server, but %s is embedded and does not outlive the process"
	if c.p.LogAddress() == Embedded {
		at := c.at(join("connections", c.p.Log.Connection))
		c.problem(at, "embedded-log", hint, why, source, "the log")
	}
	for i, n := range c.p.Nodes {
		if n.Type == nil || n.Type.Kind != Sink || n.Type.Connection == "" {
			continue
		}
		name, _ := option(n.With, "connection")
		if conn := c.p.Connections[name]; conn.Kind() != "" && conn.Embedded() {
			c.problem(c.at(fmt.Sprintf("nodes[%d].with.connection", i)), "embedded-store", hint, why, source, fmt.Sprintf("the store %q", name))
		}
	}
}
