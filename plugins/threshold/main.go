// Threshold watches readings for levels that they must not pass and hands on an alarm
// record whenever the level of a key changes. Levels have hysteresis, a delay by event
// time and a severity. It is a plugin with state by key: an alarm that stands, or that
// waits for its delay, survives restarts.
package main

import "github.com/millrace/millrace/plugins/sdk"

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.0.0"

var threshold = sdk.Stateful("threshold", Version, sdk.JSON[watch]("1"), open)

func main() { sdk.Serve(threshold) }
