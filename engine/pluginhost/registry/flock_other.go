//go:build !unix

package registry

import "os"

// lockWhole does nothing: elsewhere one process at a time uses a folder.
func lockWhole(*os.File) error { return nil }
