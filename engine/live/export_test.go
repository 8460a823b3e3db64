package live

// HoldFloor takes every turn to write to many viewers until release is called.
func (h *Hub) HoldFloor() (release func()) {
	for range cap(h.floor) {
		h.floor <- struct{}{}
	}
	return func() {
		for range cap(h.floor) {
			<-h.floor
		}
	}
}

// Direct is how many viewers classes write to themselves.
func (h *Hub) Direct() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.classes {
		c.mu.Lock()
		n += len(c.direct)
		c.mu.Unlock()
	}
	return n
}
