package pluginhost

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// settle is how old a file must be, in looks at the folder, before it is taken: one
// that is still being copied grows between two looks.
const settle = 2

// unsettled reports whether a file may still be being written.
func (h *Host) unsettled(f registry.File) bool { return time.Since(f.ModTime) < settle*h.cfg.Watch }

// pauseAfterFailure is for how long a plugin is left alone after an action on it
// failed: the reason may lie outside of it, such as a full disk.
const pauseAfterFailure = 30 * time.Second

// Follow keeps every node that follows the folder at the highest version that may
// run, until ctx ends: what arrives, what another engine pins, holds or quarantines.
func (h *Host) Follow(ctx context.Context) error {
	tick := time.NewTicker(h.cfg.Watch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.look()
		}
	}
}

// look begins an action for each plugin of which a node has another version to run.
func (h *Host) look() {
	for _, t := range h.following("") {
		name, _, err := parseRef(t.node.Ref)
		if err != nil || !h.ripe(name) {
			continue
		}
		due, err := h.due(t, h.unsettled)
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			h.warnOnce(err)
		}
		if due != nil {
			_, _ = h.Act(Request{Kind: Follow, Name: name, Version: due.Version}) // its outcome is logged
		}
	}
}

// ripe reports whether a plugin is idle and has not failed just now.
func (h *Host) ripe(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.busy[name] == nil && time.Since(h.failed[name]) > pauseAfterFailure
}
