package main

import (
	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
)

// watch is the state of a key: the levels that a reading is beyond. A key that is well
// has none, and takes no room.
type watch struct {
	Beyond []beyond `json:"beyond,omitempty"`
}

// beyond is one level that the last reading had not left.
type beyond struct {
	Level  string `json:"level"`
	Since  int64  `json:"since"`            // event time of the first reading beyond it, ms
	Raised bool   `json:"raised,omitempty"` // its delay is over
}

func (w *watch) find(level string) *beyond {
	for i := range w.Beyond {
		if w.Beyond[i].Level == level {
			return &w.Beyond[i]
		}
	}
	return nil
}

// watcher is the running form of a Config.
type watcher struct {
	field  string
	all    bool
	limits []limit
}

func open(c *Config) (sdk.StateFunc[watch], error) {
	w := &watcher{field: c.Field, all: c.Emit == "all", limits: c.limits()}
	if w.field == "" {
		w.field = "value"
	}
	return w.reading, nil
}

// reading moves a key's state on by one reading. One without a usable number says
// nothing about the levels: they stay as they are.
func (w *watcher) reading(e *sdk.Event, state *watch) error {
	number, ok, err := e.Number(w.field)
	if err != nil {
		return err
	}
	before, _ := w.standing(state)
	if usable(number, ok) {
		w.move(state, number, e.Moment())
	}
	after, since := w.standing(state)
	if before == after && !w.all {
		e.Drop()
		return nil
	}
	w.tell(e, before, after, since)
	return nil
}

// move decides for each level by itself whether the reading is beyond it.
func (w *watcher) move(state *watch, number float64, now int64) {
	var next []beyond
	for i := range w.limits {
		l := &w.limits[i]
		was, at := state.find(l.name), number*l.sign
		switch {
		case was == nil && at > l.at:
			next = append(next, beyond{Level: l.name, Since: now, Raised: l.delay == 0})
		case was != nil && was.Raised && at > l.clear, was != nil && !was.Raised && at > l.at:
			next = append(next, beyond{Level: l.name, Since: was.Since, Raised: was.Raised || now-was.Since >= l.delay})
		}
	}
	state.Beyond = next
}

// standing returns the severest raised level and since when readings are beyond it;
// nil if there is none.
func (w *watcher) standing(state *watch) (worst *limit, since int64) {
	for i := range w.limits {
		l := &w.limits[i]
		if b := state.find(l.name); b != nil && b.Raised && (worst == nil || l.severity >= worst.severity) {
			worst, since = l, b.Since
		}
	}
	return worst, since
}

// tell sets what an alarm record has beside the reading's own fields.
func (w *watcher) tell(e *sdk.Event, before, after *limit, since int64) {
	e.Set("alarm", event.String(change(before, after)))
	e.Set("level", nameOf(after))
	e.Set("previous", nameOf(before))
	if after == nil {
		e.Set("severity", event.Int(0))
		e.Set("limit", event.Null)
		e.Set("since", event.Null)
		return
	}
	e.Set("severity", event.Int(after.severity))
	e.Set("limit", event.Float(after.shown))
	e.Set("since", event.Time(since))
}

func change(before, after *limit) string {
	switch {
	case before == after:
		return "none"
	case after == nil:
		return "cleared"
	case before == nil || after.severity > before.severity:
		return "raised"
	case after.severity < before.severity:
		return "lowered"
	}
	return "changed" // to a level of the same severity
}

func nameOf(l *limit) event.Value {
	if l == nil {
		return event.Null
	}
	return event.String(l.name)
}
