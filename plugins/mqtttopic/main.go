// Mqtttopic takes fields of a record out of the MQTT topic or the routing key that
// its message came with, by a pattern such as plant/{plant}/{device}/{metric}. It is
// a plugin: the engine runs it as a process between a decode node and the sinks.
package main

import "github.com/millrace/millrace/plugins/sdk"

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.0.0"

var mqtttopic = sdk.Map("mqtttopic", Version, open)

func main() { sdk.Serve(mqtttopic) }
