package pluginv1

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// ReceivePool returns the pool that a connection of this contract reads into.
// gRPC's own pool clears what it hands out and has one size between 32 KiB and
// 1 MiB, so that each received chunk would cost a megabyte of zeroes.
func ReceivePool() mem.BufferPool { return &receivePool }

var receivePool tiered

// tiered holds uncleared buffers by size: powers of two from 1 KiB to 1 MiB.
type tiered struct{ sizes [11]sync.Pool }

const smallest = 10 // exponent of the first size

func tierOf(size int) int {
	tier := 0
	for size > 1<<(smallest+tier) {
		tier++
	}
	return tier
}

// Get returns a buffer of the given length, its content undefined.
func (t *tiered) Get(length int) *[]byte {
	tier := tierOf(length)
	if tier >= len(t.sizes) {
		buf := make([]byte, length)
		return &buf
	}
	if buf, ok := t.sizes[tier].Get().(*[]byte); ok {
		*buf = (*buf)[:length]
		return buf
	}
	buf := make([]byte, length, 1<<(smallest+tier))
	return &buf
}

// Put takes a buffer back.
func (t *tiered) Put(buf *[]byte) {
	if tier := tierOf(cap(*buf)); tier < len(t.sizes) && cap(*buf) == 1<<(smallest+tier) {
		t.sizes[tier].Put(buf)
	}
}
