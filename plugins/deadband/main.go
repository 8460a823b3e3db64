// Deadband thins readings out: a reading passes when it has moved away from the last
// one of its key that passed, or when that is too long ago. It is a plugin with state
// by key: what has passed last survives restarts. It changes nothing in what it lets
// through.
package main

import "github.com/millrace/millrace/plugins/sdk"

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.0.0"

var deadband = sdk.Stateful("deadband", Version, sdk.JSON[passed]("1"), open)

func main() { sdk.Serve(deadband) }
