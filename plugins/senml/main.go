// Senml decodes SenML packs in JSON (RFC 8428) into one record a measurement, with
// base fields and relative times resolved. It is a plugin that reads payloads: it
// stands right behind a source, in the place of a decode node.
package main

import (
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
)

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.0.0"

func main() { sdk.Serve(senml()) }

func senml() sdk.Plugin {
	p := sdk.Batch("senml", Version, func(c *Config, n sdk.Node) (node.Transform, error) {
		return &decoder{node: n.ID, names: c.withDefaults()}, nil
	})
	p.Input = []string{"application/senml+json", "application/json"}
	return p
}
