package jsontransform_test

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
)

func TestConformance(t *testing.T) {
	cases, err := transformtest.Load(filepath.Join("testdata", "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	transformtest.Run(t, transformtest.Suite{
		Open: func(nodeID string, options map[string]any) (node.Transform, error) {
			opts := jsontransform.Type.NewConfig().(*jsontransform.Options)
			if err := transformtest.Decode(options, opts); err != nil {
				return nil, err
			}
			return jsontransform.New(nodeID, opts)
		},
		Cases: cases,
	})
}
