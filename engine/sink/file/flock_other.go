//go:build !unix

package filesink

import "os"

// tryLock does nothing: elsewhere nobody but the one engine uses a folder.
func tryLock(*os.File) (bool, error) { return true, nil }

func unlock(*os.File) error { return nil }
