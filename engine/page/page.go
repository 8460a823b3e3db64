// Package page holds the built live page, which package httpapi serves at /. Its
// TypeScript source is in src; the built files in dist are committed, so that Go
// alone builds the engine, and use nothing from the network.
package page

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Files returns the page's files: index.html and assets/.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("page: dist is not embedded: " + err.Error())
	}
	return files
}
