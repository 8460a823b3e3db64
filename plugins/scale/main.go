// Scale converts readings from one unit of measure to another: a factor, an
// offset and the new unit, chosen by the unit that the reading has. It is a
// plugin: the engine runs it as a process between a decode node and the sinks.
// It reads and sets two fields of a record and nothing else.
package main

import "github.com/millrace/millrace/plugins/sdk"

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.1.0"

var scale = sdk.Map("scale", Version, open)

func main() { sdk.Serve(scale) }
