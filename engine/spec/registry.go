package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// Catalog is the set of node types that pipeline files may use. It is filled
// once, at start; after that any number of goroutines may read it.
type Catalog struct {
	types []*NodeType
}

// NewCatalog returns a catalog of types; see [Catalog.Register].
func NewCatalog(types ...NodeType) *Catalog {
	c := &Catalog{}
	for _, t := range types {
		c.Register(t)
	}
	return c
}

// Register adds a type. Two types of one kind and name are a bug in the program
// and panic, as is a type without a name.
func (c *Catalog) Register(t NodeType) {
	if t.Name == "" || t.Kind == "" || c.Lookup(t.Kind, t.Name) != nil {
		panic(fmt.Sprintf("spec: node type %q %q is unnamed or registered twice", t.Kind, t.Name))
	}
	c.types = append(c.types, &t)
}

// Lookup returns the type of a kind by name, nil if there is none.
func (c *Catalog) Lookup(kind Kind, name string) *NodeType {
	for _, t := range c.types {
		if t.Kind == kind && t.Name == name {
			return t
		}
	}
	return nil
}

// Types returns all types by kind and name.
func (c *Catalog) Types() []*NodeType {
	types := slices.Clone(c.types)
	slices.SortFunc(types, func(a, b *NodeType) int {
		return strings.Compare(string(a.Kind)+"/"+a.Name, string(b.Kind)+"/"+b.Name)
	})
	return types
}

// Names returns the names of a kind's types, sorted.
func (c *Catalog) Names(kind Kind) []string {
	var names []string
	for _, t := range c.types {
		if t.Kind == kind {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names
}

// hint says what an unknown type name of a kind probably meant.
func (c *Catalog) hint(kind Kind, name string) string {
	if near := nearest.Of(name, c.Names(kind)); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	for _, other := range []Kind{Source, Transform, Sink} {
		if c.Lookup(other, name) != nil {
			return fmt.Sprintf("%s is a %s: write `%s: %s`", name, other, other, name)
		}
	}
	if names := c.Names(kind); len(names) > 0 {
		return "known: " + strings.Join(names, ", ")
	}
	return ""
}
