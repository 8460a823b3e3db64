package csvtransform_test

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
)

func TestConformance(t *testing.T) {
	cases, err := transformtest.Load(filepath.Join("testdata", "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	transformtest.Run(t, transformtest.Suite{
		Open: func(nodeID string, options map[string]any) (node.Transform, error) {
			opts := csvtransform.Type.NewConfig().(*csvtransform.Options)
			if err := transformtest.Decode(options, opts); err != nil {
				return nil, err
			}
			return csvtransform.New(nodeID, opts)
		},
		Cases: cases,
	})
}
