package transformtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// declaredState checks that what a stateful transform remembers is in the state
// and nowhere else: the same unit on the same state gives the same again, in the
// same transform, whatever it has processed meanwhile.
func declaredState(ctx context.Context, p *probe) error {
	if s, ok := p.tr.(node.Stateful); !ok || s.StateVersion() == "" {
		return p.noKeys(s)
	}
	start := &memory{}
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
		if !maps.EqualFunc(again.values, second.values, bytes.Equal) {
			return fmt.Errorf("the same unit leaves state %q; want %q", again.values, second.values)
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
