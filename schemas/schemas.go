// Package schemas embeds the formats that programs outside the engine rely on:
// the JSON schemas of pipeline files and cluster files. They are generated from
// the structs that read them by cmd/schemagen; this package only carries them.
package schemas

import _ "embed"

// Pipeline is the JSON schema of pipeline files, as editors use it.
//
//go:embed pipeline.schema.json
var Pipeline []byte

// Cluster is the JSON schema of cluster files.
//
//go:embed cluster.schema.json
var Cluster []byte
