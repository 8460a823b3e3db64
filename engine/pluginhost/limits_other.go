//go:build !linux

package pluginhost

// apply does nothing: only Linux limits another process.
func (l limits) apply(int) error { return nil }

func machineTasks() int { return 0 }

func groupSize(int) int { return 0 }
