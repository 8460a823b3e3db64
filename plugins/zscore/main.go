// Zscore finds readings that do not fit to those before them: it adds to each its
// distance from the moving mean of its key, in standard deviations, and whether that is
// an anomaly. It is a plugin with state by key: what it has learned survives restarts.
package main

import "github.com/millrace/millrace/plugins/sdk"

// Version is what NAME@VERSION and the rows that this plugin made carry.
const Version = "1.0.0"

var zscore = sdk.Stateful("zscore", Version, sdk.Binary[moments]("1"), open)

func main() { sdk.Serve(zscore) }
