package gap

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestGaps(t *testing.T) {
	var d Detector
	for _, n := range []uint64{10, 11, 15, 13, 13, 9, 20, 12} {
		d.See("a", n)
	}
	if g, opened := d.See("b", 7); opened {
		t.Errorf("the first number opens %v", g)
	}
	if g, opened := d.See("b", 9); !opened || g != (Gap{"b", 8, 8}) {
		t.Errorf("%v, %v", g, opened)
	}
	want := []Gap{{"a", 14, 14}, {"a", 16, 19}, {"b", 8, 8}}
	if got := d.Gaps(); !reflect.DeepEqual(got, want) || d.Missing() != 6 {
		t.Errorf("%v, %d missing; want %v", got, d.Missing(), want)
	}
}

// TestDetectorIsASet compares with a set of all numbers seen, in any order.
func TestDetectorIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Detector
		numbers := rapid.SliceOfN(rapid.Uint64Range(1, 40), 1, 100).Draw(t, "numbers")
		seen, last := map[uint64]bool{}, uint64(0)
		for _, n := range numbers {
			d.See("p", n)
			seen[n], last = true, max(last, n)
		}
		missing := map[uint64]bool{}
		for n := numbers[0]; n <= last; n++ {
			if !seen[n] {
				missing[n] = true
			}
		}
		for _, g := range d.Gaps() {
			for n := g.From; n <= g.To; n++ {
				if !missing[n] {
					t.Fatalf("%d is not missing: %v", n, d.Gaps())
				}
				delete(missing, n)
			}
		}
		if len(missing) > 0 {
			t.Fatalf("missing and not told: %v", missing)
		}
	})
}

func TestDetectorForgetsAndCounts(t *testing.T) {
	var d Detector
	for n := uint64(0); n <= 2*maxGaps+20; n += 2 {
		d.See("p", n)
	}
	if len(d.Gaps()) != maxGaps || d.Missing() != maxGaps+10 {
		t.Errorf("%d gaps, %d missing", len(d.Gaps()), d.Missing())
	}
}
