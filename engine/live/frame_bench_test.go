package live

import (
	"testing"
)

// BenchmarkFrame is the cost of one frame of 100 points of 20 lines, which the
// viewers of a class share: every point, and reduced to pixels.
func BenchmarkFrame(b *testing.B) {
	for name, how := range map[string]reduction{"raw": {}, "m4": {px: 1200, span: 600_000, mode: modeM4}} {
		b.Run(name, func(b *testing.B) {
			c := newFrameClass(how)
			lines := make([]*series, 20)
			for i := range lines {
				lines[i] = &series{id: int32(i), group: &group{}}
			}
			now, t := int64(1_795_000_000_000), &tick{series: len(lines), id: "5.AVtlQub1"}
			b.ReportAllocs()
			for b.Loop() {
				t.points = t.points[:0]
				for i := range 100 {
					now++
					t.points = append(t.points, point{int32(i % 20), now, float64(i) / 7})
				}
				t.seq++
				c.put(t.seq-1, t, lines, c.runs([]*tick{t}, lines))
			}
		})
	}
}

func newFrameClass(how reduction) *class {
	h := &Hub{}
	c := h.newClass(classKey{format: formatJSON, reduction: how}, &tick{series: 20})
	c.reducer = newReducer(how)
	return c
}
