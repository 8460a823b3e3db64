package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/expr"
)

// Figures of the memory estimate: measured bytes per remembered id, and the rate
// for which it is told.
const (
	bytesPerIdentity = 75
	estimateRate     = 1000 // messages per second
)

// lint notes what runs but may not be meant.
func (c *checker) lint() {
	c.unusedConnections()
	c.constantKeys()
	c.sharedQueues()
	c.identityMemory()
}

func (c *checker) warn(n *yaml.Node, code, hint, format string, args ...any) {
	c.add(Diagnostic{Severity: Warning, Line: n.Line, Column: n.Column, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (c *checker) unusedConnections() {
	used := map[string]bool{c.p.Log.Connection: true}
	for _, n := range c.p.Nodes {
		if name, ok := option(n.With, "connection"); ok {
			used[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.p.Connections)) {
		if !used[name] {
			c.warn(c.keys[join("connections", name)], "unused-connection", "", "connection %q is not used", name)
		}
	}
}

// constantKeys warns of keys that are the same for every event: all of them would
// share one lane.
func (c *checker) constantKeys() {
	for i, n := range c.p.Nodes {
		program, err := expr.Compile(n.Key)
		if n.Key == "" || err != nil || !program.Constant() {
			continue
		}
		c.warn(c.at(fmt.Sprintf("nodes[%d].key", i)), "constant-key", "a field's name needs no quotes",
			"key %s is the same for every event, so one lane does all the work", n.Key)
	}
}

// sharedQueues warns of two sources that read one queue of one connection.
func (c *checker) sharedQueues() {
	first := map[string]string{}
	for i, n := range c.p.Nodes {
		queue, ok := option(n.With, "queue")
		if !ok || queue == "" || n.Kind() != Source {
			continue
		}
		connection, _ := option(n.With, "connection")
		place := connection + "\x00" + queue
		if other, taken := first[place]; taken {
			c.warn(c.at(fmt.Sprintf("nodes[%d].with.queue", i)), "shared-queue", "a queue has one reader; let both branches read the first source",
				"%q already reads queue %q", other, queue)
			continue
		}
		first[place] = n.ID
	}
}

// identityMemory tells what the identities of the window cost.
func (c *checker) identityMemory() {
	var sources []string
	for _, n := range c.p.Nodes {
		if identity, ok := option(n.With, "identity"); ok && identity != "" && n.Kind() == Source {
			sources = append(sources, n.ID)
		}
	}
	if len(sources) == 0 {
		return
	}
	at := c.at("log.identity_window")
	if c.keys["log.identity_window"] == nil {
		at = c.nodeAt(sources[0])
	}
	window := c.p.Log.IdentityWindow
	bytes := Bytes(window.Seconds() * estimateRate * bytesPerIdentity)
	c.add(Diagnostic{
		Severity: Note, Line: at.Line, Column: at.Column, Code: "identity-memory",
		Message: fmt.Sprintf("identities of a %s window take about %d MB of Redis memory at %d messages/s (%s)",
			shortDuration(window), bytes/1e6, estimateRate, strings.Join(sources, ", ")),
	})
}

func shortDuration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
