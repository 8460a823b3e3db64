package transformtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// memory is the keyed state of one lane, as the engine keeps it within a unit. It
// notes keys that the transform did not declare.
type memory struct {
	values   map[string][]byte
	declared []string
	foreign  []string
}

var _ node.State = (*memory)(nil)

func (m *memory) Get(key string) []byte {
	m.note(key)
	return m.values[key]
}

func (m *memory) Put(key string, value []byte) {
	m.note(key)
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	if value == nil {
		delete(m.values, key)
		return
	}
	m.values[key] = value
}

func (m *memory) note(key string) {
	if !slices.Contains(m.declared, key) {
		m.foreign = append(m.foreign, key)
	}
}

func (m *memory) misuse() error {
	if len(m.foreign) > 0 {
		return fmt.Errorf("state of keys %q was used, which StateKeys does not name", m.foreign)
	}
	return nil
}

func (m *memory) copy() *memory {
	c := &memory{values: map[string][]byte{}}
	for k, v := range m.values {
		c.values[k] = bytes.Clone(v)
	}
	return c
}

// differ names the difference between what two memories hold.
func (m *memory) differ(want *memory) error {
	if maps.EqualFunc(m.values, want.values, bytes.Equal) {
		return nil
	}
	return fmt.Errorf("state %q is left; want %q", m.values, want.values)
}

// state returns what the case begins with.
func (p *probe) state() *memory {
	m := &memory{}
	for _, s := range p.c.State {
		if stored, err := s.stored(); err == nil { // Parse has checked it
			m.Put(s.Key, stored)
		}
	}
	m.foreign = nil
	return m
}

func (s *KeyState) stored() ([]byte, error) {
	value := []byte(s.Value)
	if s.Base64 != "" {
		var err error
		if value, err = base64.StdEncoding.DecodeString(s.Base64); err != nil {
			return nil, err
		}
	}
	return node.PackState(s.Version, value), nil
}

// declaredState checks that what a stateful transform remembers is in the state
// and nowhere else: the same unit on the same state gives the same again, in the
// same transform, whatever it has processed meanwhile.
func declaredState(ctx context.Context, p *probe) error {
	if s, ok := p.tr.(node.Stateful); !ok || s.StateVersion() == "" {
		return p.noKeys(s)
	}
	start := p.state()
	if _, err := p.unit(ctx, start); err != nil {
		return err
	}
	second := start.copy()
	want, err := p.unit(ctx, second)
	if err != nil {
		return err
	}
	for range 2 {
		again := start.copy()
		got, err := p.unit(ctx, again)
		if err != nil {
			return err
		}
		if err := differ(got, want); err != nil {
			return fmt.Errorf("the same unit on the same state gives something else: %w", err)
		}
		if err := again.differ(second); err != nil {
			return fmt.Errorf("the same unit: %w", err)
		}
	}
	return nil
}

// noKeys checks that a transform without state names no keys, as one that may come to
// keep state does.
func (p *probe) noKeys(s node.Stateful) error {
	if s == nil {
		return nil
	}
	events, err := p.events()
	if err == nil && s.StateKeys(&node.Batch{Events: events}) != nil {
		err = errors.New("StateKeys names keys, but StateVersion no layout of their state")
	}
	return err
}

// unit processes the case's inputs on state.
func (p *probe) unit(ctx context.Context, state *memory) ([]node.Result, error) {
	events, err := p.events()
	if err != nil {
		return nil, err
	}
	results, err := p.processIn(ctx, 0, events, state)
	return copyResults(results), err
}

// longRuns sends the inputs many times over, under many keys: in one unit, which
// travels to a process in several parts, and in small ones.
func longRuns(ctx context.Context, p *probe) error {
	if _, ok := node.StatefulOf(p.tr); !ok {
		return nil
	}
	var events []*event.Event
	const rounds, keys = 400, 60
	for round := range rounds {
		more, err := p.events()
		if err != nil {
			return err
		}
		for _, e := range more {
			e.Key += fmt.Sprint("/", round%keys)
		}
		events = append(events, more...)
	}
	long, short := p.state(), p.state()
	want, err := p.inBatches(ctx, events, 7, short)
	if err != nil {
		return err
	}
	got, err := p.inBatches(ctx, events, len(events), long)
	if err != nil {
		return err
	}
	return errors.Join(differ(got, want), long.differ(short))
}

// refusedLeaveNothing leaves out the inputs that are rejected as a whole, and looks
// whether the others leave the same.
func refusedLeaveNothing(ctx context.Context, p *probe) error {
	if _, ok := node.StatefulOf(p.tr); !ok {
		return nil
	}
	events, err := p.events()
	if err != nil {
		return err
	}
	with := p.state()
	results, err := p.processIn(ctx, 0, events, with)
	if err != nil {
		return err
	}
	var rest []*event.Event
	for i, r := range results {
		if !slices.ContainsFunc(r.Rejects, func(r node.Reject) bool { return r.Record == -1 }) {
			rest = append(rest, events[i])
		}
	}
	without := p.state()
	if _, err := p.processIn(ctx, 0, rest, without); err != nil {
		return err
	}
	return with.differ(without)
}
