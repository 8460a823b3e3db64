package simulation

import (
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(800) // thousands of short lives, each with little in memory
	goleak.VerifyTestMain(m)
}
