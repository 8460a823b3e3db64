// Package schemas embeds the formats that programs outside the engine rely on:
// the JSON schema of pipeline files. The file is generated from the option
// structs by cmd/schemagen; this package only carries it.
package schemas

import _ "embed"

// Pipeline is the JSON schema of pipeline files, as editors use it.
//
//go:embed pipeline.schema.json
var Pipeline []byte
