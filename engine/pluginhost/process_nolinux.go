//go:build !linux

package pluginhost

// capMemory does nothing: only Linux limits another process.
func capMemory(int, int64) error { return nil }
