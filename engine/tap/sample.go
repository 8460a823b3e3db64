package tap

import (
	"context"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/event/eventjson"
	"github.com/millrace/millrace/engine/stream"
)

const (
	sampleFrames = 16 // of each lane, read at a time
	sampleEvents = 20 // shown at a time
)

// Sample is a part of what passed at a node since the sample before.
type Sample struct {
	Node   string  `json:"node"`
	View   string  `json:"view"`   // in words, what is shown
	Passed uint64  `json:"passed"` // frames that passed
	Read   uint64  `json:"read"`   // frames of them that were looked into
	Seen   int     `json:"seen"`   // events in those
	Events []Event `json:"events"` // some of them, evenly spread
}

// Sampler takes samples of one node. It is used by one goroutine at a time.
type Sampler struct {
	taps  *Taps
	node  string
	view  string                      // of the places
	lanes map[string][]event.Position // by stream: what was passed
}

// Sampler returns a sampler of a node, or an error that tells which nodes there are.
func (t *Taps) Sampler(node string) (*Sampler, error) {
	_, err := ViewOf(t.plan.Load(), node)
	return &Sampler{taps: t, node: node}, err
}

// Next takes what passed since the last call, or, with anew and when the node's
// streams are others than before, begins with now and returns nil.
func (s *Sampler) Next(ctx context.Context, anew bool) (*Sample, error) {
	view, err := ViewOf(s.taps.plan.Load(), s.node)
	if err != nil {
		return nil, err
	}
	if anew || s.view != view.String() {
		return nil, s.begin(ctx, view)
	}
	out := &Sample{Node: s.node, View: s.view, Events: []Event{}}
	var all []Event
	for _, name := range view.streams() {
		for lane := range s.lanes[name] {
			list, err := s.lane(ctx, out, view, name, lane)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
	}
	if out.Passed == 0 {
		return nil, nil
	}
	out.Seen = len(all)
	for i := range min(len(all), sampleEvents) {
		out.Events = append(out.Events, all[i*len(all)/min(len(all), sampleEvents)])
	}
	return out, nil
}

// begin puts the sampler behind the newest entries.
func (s *Sampler) begin(ctx context.Context, view View) error {
	lanes := map[string][]event.Position{}
	for _, name := range view.streams() {
		for lane := range s.taps.cfg.Log.Lanes() {
			head, err := s.taps.cfg.Log.Head(ctx, name, lane)
			if err != nil {
				return err
			}
			lanes[name] = append(lanes[name], head)
		}
	}
	s.lanes, s.view = lanes, view.String()
	return nil
}

// lane reads the first frames behind the lane's place, and moves it to the head.
func (s *Sampler) lane(ctx context.Context, out *Sample, view View, name string, lane int) ([]Event, error) {
	log, from := s.taps.cfg.Log, s.lanes[name][lane]
	head, err := log.Head(ctx, name, lane)
	if err != nil || head.Seq == from.Seq {
		return nil, err
	}
	entries, err := log.ReadFrames(ctx, name, lane, from, sampleFrames, 0)
	if err != nil {
		return nil, err
	}
	if n := len(entries); n > 0 && entries[n-1].At.Seq > head.Seq {
		head = entries[n-1].At
	}
	s.lanes[name][lane] = head
	out.Passed += head.Seq - from.Seq // numbers of frames are dense
	out.Read += uint64(len(entries))
	sources := view.sources(name)
	rules := s.taps.cfg.Redact()
	var list []Event
	for _, e := range entries {
		f, err := event.DecodeFrame(e.Frame)
		if err != nil {
			continue // the stages report it
		}
		for i, ev := range f.Events {
			if sources == nil || sources[ev.Source.Node] {
				ev, _ = rules.Event(ev)
				list = append(list, shown(name, lane, e, i, ev))
			}
		}
	}
	return list, nil
}

// shown is an event as a tap shows it.
func shown(name string, lane int, e stream.Entry, index int, ev *event.Event) Event {
	return Event{
		Stream: name, Lane: lane, Position: e.At.String(), Index: index, Appended: time.UnixMilli(int64(e.At.Ms)).UTC(),
		ID: ev.ID.String(), RootID: ev.RootID, Key: ev.Key, Event: *eventjson.Of(ev),
	}
}
