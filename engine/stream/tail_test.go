package stream

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/event"
)

func numbered(seq uint64, bytes int) entry {
	return entry{at: event.Position{Epoch: 1, Ms: 1, Seq: seq}, frame: make([]byte, bytes)}
}

func numbers(list []entry) string {
	var s []uint64
	for _, e := range list {
		s = append(s, e.at.Seq)
	}
	return fmt.Sprint(s)
}

func TestTailHandsOutWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held tail
		if list, soon := held.behind(0, 10); len(list) > 0 || soon {
			t.Errorf("an empty tail has %s and expects more: %v", numbers(list), soon)
		}
		for _, seq := range []uint64{13, 11, 12, 11, 15} {
			held.add(numbered(seq, 1))
		}
		for _, c := range []struct {
			behind uint64
			count  int
			want   string
			soon   bool
		}{
			{10, 10, "[11 12 13]", true},
			{11, 10, "[12 13]", true},
			{10, 2, "[11 12]", true},
			{9, 10, "[]", false},  // 10 is with Redis alone
			{13, 10, "[]", false}, // so is 14
			{14, 10, "[15]", true},
			{15, 10, "[]", true},  // the end
			{16, 10, "[]", false}, // somebody else has stored 16
		} {
			list, soon := held.behind(c.behind, c.count)
			if numbers(list) != c.want || soon != c.soon {
				t.Errorf("behind %d are %s, more soon: %v; want %s, %v", c.behind, numbers(list), soon, c.want, c.soon)
			}
		}
		time.Sleep(tailWait)
		if _, soon := held.behind(15, 10); soon {
			t.Errorf("more is expected %s after the last", tailWait)
		}
	})
}

func TestTailIsBounded(t *testing.T) {
	var held tail
	for seq := range uint64(1000) {
		held.add(numbered(seq+1, 1))
	}
	if list, _ := held.behind(1000-tailEntries, 1000); len(list) != tailEntries || len(held.entries) != tailEntries {
		t.Errorf("%d of %d entries are held", len(held.entries), tailEntries)
	}
	for seq := range uint64(20) {
		held.add(numbered(seq+1001, tailBytes/10))
	}
	if held.bytes > tailBytes || len(held.entries) != 10 {
		t.Errorf("%d entries of %d bytes are held", len(held.entries), held.bytes)
	}
	held.add(numbered(1021, tailBytes+1))
	if held.bytes != 0 || len(held.entries) != 0 {
		t.Errorf("%d bytes are held of a frame that is above all", held.bytes)
	}
	held.add(numbered(1022, 1))
	if list, _ := held.behind(1021, 10); numbers(list) != "[1022]" {
		t.Errorf("behind it come %s", numbers(list))
	}
}

// Nobody waits for an append that this process may not make.
func TestNearWaitsOnlyWhereThisProcessAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &lane{}
		took := func(seq uint64, block time.Duration) time.Duration {
			begun := time.Now()
			if list := ln.near(t.Context(), seq, 10, block); len(list) > 0 {
				t.Errorf("behind %d are %s", seq, numbers(list))
			}
			return time.Since(begun)
		}
		if d := took(0, time.Second); d != 0 {
			t.Errorf("it waits %s where nothing was appended", d)
		}
		ln.tail.add(numbered(1, 1))
		if d := took(1, time.Second); d != tailWait {
			t.Errorf("it waits %s for the next append, not %s", d, tailWait)
		}
		ln.tail.add(numbered(2, 1))
		if d := took(2, 0) + took(7, time.Second); d != 0 {
			t.Errorf("it waits %s for somebody who does not, or is elsewhere", d)
		}
		go func() {
			time.Sleep(time.Millisecond)
			ln.tail.add(numbered(3, 1))
			ln.saw(3)
		}()
		if list := ln.near(t.Context(), 2, 10, time.Second); numbers(list) != "[3]" {
			t.Errorf("behind 2 come %s", numbers(list))
		}
	})
}
