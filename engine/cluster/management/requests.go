package management

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/millrace/millrace/engine/spec"
)

func splitTags(joined string) []string {
	return strings.FieldsFunc(joined, func(r rune) bool { return r == ',' || r == ' ' })
}

// Overview asks what the node says about the cluster as a whole.
func (c *Client) Overview(ctx context.Context) (*Overview, error) {
	var o Overview
	date, err := c.get(ctx, path("overview"), &o)
	if err == nil && o.RabbitMQ == "" {
		err = fmt.Errorf("%s %w: it tells no version of RabbitMQ", c.o.URL, ErrNotAPI)
	}
	o.Date = date
	return &o, err
}

// Nodes asks for all nodes of the cluster as the asked one sees them.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) { return list[Node](ctx, c, "nodes") }

// Queues asks for the queues of a virtual host.
func (c *Client) Queues(ctx context.Context, vhost string) ([]Queue, error) {
	return list[Queue](ctx, c, "queues", vhost)
}

// AllQueues asks for the queues of all virtual hosts.
func (c *Client) AllQueues(ctx context.Context) ([]Queue, error) {
	return list[Queue](ctx, c, "queues")
}

// OperatorPolicies asks for the operator policies of a virtual host.
func (c *Client) OperatorPolicies(ctx context.Context, vhost string) ([]Policy, error) {
	return list[Policy](ctx, c, "operator-policies", vhost)
}

// Queue asks for one queue.
func (c *Client) Queue(ctx context.Context, vhost, name string) (*Queue, error) {
	var q Queue
	_, err := c.get(ctx, path("queues", vhost, name), &q)
	return &q, err
}

// Policies asks for the policies of a virtual host.
func (c *Client) Policies(ctx context.Context, vhost string) ([]Policy, error) {
	return list[Policy](ctx, c, "policies", vhost)
}

// Exchanges asks for the exchanges of a virtual host.
func (c *Client) Exchanges(ctx context.Context, vhost string) ([]Exchange, error) {
	return list[Exchange](ctx, c, "exchanges", vhost)
}

// Bindings asks for the bindings of a virtual host.
func (c *Client) Bindings(ctx context.Context, vhost string) ([]Binding, error) {
	return list[Binding](ctx, c, "bindings", vhost)
}

// Users asks for all users; it needs the tag administrator.
func (c *Client) Users(ctx context.Context) ([]User, error) { return list[User](ctx, c, "users") }

// Permissions asks for all users' permissions in all virtual hosts.
func (c *Client) Permissions(ctx context.Context) ([]Permission, error) {
	return list[Permission](ctx, c, "permissions")
}

// Flags asks for the feature flags.
func (c *Client) Flags(ctx context.Context) ([]Flag, error) {
	return list[Flag](ctx, c, "feature-flags")
}

// Consumers asks for the consumers of a virtual host.
func (c *Client) Consumers(ctx context.Context, vhost string) ([]Consumer, error) {
	return list[Consumer](ctx, c, "consumers", vhost)
}

// Connections asks for all client connections.
func (c *Client) Connections(ctx context.Context) ([]Connection, error) {
	return list[Connection](ctx, c, "connections")
}

// VHosts asks for the names of the virtual hosts.
func (c *Client) VHosts(ctx context.Context) ([]string, error) {
	hosts, err := list[struct{ Name string }](ctx, c, "vhosts")
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names, err
}

// Definitions returns everything but messages, as RabbitMQ exports it: users with
// their password hashes too.
func (c *Client) Definitions(ctx context.Context) (json.RawMessage, error) {
	var all json.RawMessage
	_, err := c.get(ctx, path("definitions"), &all)
	return all, err
}

func list[T any](ctx context.Context, c *Client, segments ...string) ([]T, error) {
	var all []T
	_, err := c.get(ctx, path(segments...), &all)
	return all, err
}

// SetClusterName names the cluster.
func (c *Client) SetClusterName(ctx context.Context, name string) error {
	return c.send(ctx, http.MethodPut, path("cluster-name"), map[string]string{"name": name})
}

// AddVHost creates a virtual host, or leaves it as it is.
func (c *Client) AddVHost(ctx context.Context, name string) error {
	return c.send(ctx, http.MethodPut, path("vhosts", name), struct{}{})
}

// AddExchange declares a durable exchange. Another one of that name is an error.
func (c *Client) AddExchange(ctx context.Context, vhost, name, kind string) error {
	return c.send(ctx, http.MethodPut, path("exchanges", vhost, name), map[string]any{"type": kind, "durable": true})
}

// AddQueue declares a durable queue on a node, which leads it. Another one of that
// name is an error.
func (c *Client) AddQueue(ctx context.Context, vhost, name, node string, arguments map[string]any) error {
	body := map[string]any{"durable": true, "auto_delete": false, "arguments": arguments, "node": node}
	return c.send(ctx, http.MethodPut, path("queues", vhost, name), body)
}

// AddBinding binds a queue to an exchange; a binding that is there stays.
func (c *Client) AddBinding(ctx context.Context, vhost, exchange, queue, key string) error {
	return c.send(ctx, http.MethodPost, path("bindings", vhost, "e", exchange, "q", queue), map[string]any{"routing_key": key, "arguments": struct{}{}})
}

// SetPolicy writes a policy, over one of that name.
func (c *Client) SetPolicy(ctx context.Context, vhost string, p Policy) error {
	body := map[string]any{"pattern": p.Pattern, "apply-to": p.ApplyTo, "priority": p.Priority, "definition": p.Definition}
	return c.send(ctx, http.MethodPut, path("policies", vhost, p.Name), body)
}

// AddUser creates a user, or gives it another password and tags.
func (c *Client) AddUser(ctx context.Context, name string, password spec.Secret, tags []string) error {
	body := map[string]string{"password": password.Reveal(), "tags": strings.Join(tags, ",")}
	return c.send(ctx, http.MethodPut, path("users", name), body)
}

// SetPermission says what a user may do in a virtual host.
func (c *Client) SetPermission(ctx context.Context, p Permission) error {
	body := map[string]string{"configure": p.Configure, "write": p.Write, "read": p.Read}
	return c.send(ctx, http.MethodPut, path("permissions", p.VHost, p.User), body)
}

// RemovePolicy deletes a policy.
func (c *Client) RemovePolicy(ctx context.Context, vhost, name string) error {
	_, _, err := c.do(ctx, http.MethodDelete, path("policies", vhost, name), nil)
	return err
}

// RemoveQueue deletes a queue with its messages.
func (c *Client) RemoveQueue(ctx context.Context, vhost, name string) error {
	_, _, err := c.do(ctx, http.MethodDelete, path("queues", vhost, name), nil)
	return err
}

// RemoveExchange deletes an exchange with its bindings.
func (c *Client) RemoveExchange(ctx context.Context, vhost, name string) error {
	_, _, err := c.do(ctx, http.MethodDelete, path("exchanges", vhost, name), nil)
	return err
}
