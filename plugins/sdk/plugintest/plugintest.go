// Package plugintest tests a plugin in the test's own process, without a host:
// the examples that its folder holds, and every promise that a transform makes,
// with the inputs of each example. `engine plugin test` runs the same through a
// process.
package plugintest

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	"github.com/millrace/millrace/plugins/sdk"
)

// lanes is how many lanes call the plugin at once.
const lanes = 4

// Run holds p to the cases of the YAML files that the pattern names, each in a
// subtest.
func Run(t *testing.T, p sdk.Plugin, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("examples %s: no file, %v", pattern, err)
	}
	var cases []transformtest.Case
	for _, file := range files {
		more, err := transformtest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, more...)
	}
	transformtest.Run(t, transformtest.Suite{Cases: cases, Lanes: lanes, Open: Opener(p)})
}

// Opener returns the suite's way to open p as a node with the options of a case.
func Opener(p sdk.Plugin) func(nodeID string, options map[string]any) (node.Transform, error) {
	return func(nodeID string, options map[string]any) (node.Transform, error) {
		config, err := json.Marshal(options)
		if err != nil {
			return nil, err
		}
		return p.Open(config, sdk.Node{ID: nodeID, Lanes: lanes})
	}
}
