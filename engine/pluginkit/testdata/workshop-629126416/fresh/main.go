// Fresh adds an offset to each reading's value. It is a plugin: the engine
// runs it as a process between a decode node and the sinks.
package main

import "github.com/millrace/millrace/plugins/sdk"

// config is the node's with: block.
type config struct{ Offset float64 }

func main() { sdk.Serve(plugin) }

var plugin = sdk.Map("fresh", "0.1.0", func(c *config) (sdk.Func, error) {
	return func(e *sdk.Event) error {
		if v, ok := e.Float("value"); ok {
			return e.SetFloat("value", v+oops)
		}
		return sdk.Reject("bad_number", "field value is missing or no number")
	}, nil
})
