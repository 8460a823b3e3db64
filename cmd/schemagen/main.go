// Schemagen generates the JSON schemas of pipeline files and cluster files from
// the structs that the engine itself reads them with, so that an editor and the
// engine never disagree. It runs at development time only (task generate).
//
// Usage, from the module's root: go run ./cmd/schemagen
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/spec"
)

// schemas are the generated files and how each is made.
var schemas = map[string]func() ([]byte, error){
	"schemas/pipeline.schema.json": func() ([]byte, error) { return generate(catalog.Builtin()) },
	"schemas/cluster.schema.json":  generateCluster,
}

func main() {
	for file, make := range schemas {
		if err := write(file, make); err != nil {
			fmt.Fprintln(os.Stderr, "schemagen:", err)
			os.Exit(1)
		}
	}
}

func write(file string, make func() ([]byte, error)) error {
	b, err := make()
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// generateCluster returns the schema of cluster files.
func generateCluster() ([]byte, error) {
	root := reflector().Reflect(&topology.Topology{})
	root.ID = "https://github.com/millrace/millrace/schemas/cluster.schema.json"
	root.Title = "Millrace cluster"
	variables(root)
	root.Definitions["Variable"] = variable()
	return encode(root)
}

func variable() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: `\$\{[A-Za-z_][A-Za-z0-9_]*(:[^}]*)?\}`,
		Description: "a value from the environment: ${NAME} or ${NAME:default}",
	}
}

// generate returns the schema of files that use the types of cat.
func generate(cat *spec.Catalog) ([]byte, error) {
	root := reflector().Reflect(&spec.Pipeline{})
	root.ID = "https://github.com/millrace/millrace/schemas/pipeline.schema.json"
	root.Title = "Millrace pipeline"
	connection := root.Definitions["Connection"]
	connection.MinProperties, connection.MaxProperties = ptr(uint64(1)), ptr(uint64(1))
	for _, t := range cat.Types() {
		addType(root, t)
	}
	finishNode(root.Definitions["Node"], cat)
	variables(root)
	root.Definitions["Variable"] = variable()
	return encode(root)
}

func encode(root *jsonschema.Schema) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return out.Bytes(), nil
}

func ptr[T any](v T) *T { return &v }

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Mapper: mapped,
	}
}

// mapped are the types that a file writes otherwise than Go holds them.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$|\$\{`, Examples: []any{"200ms", "30s", "24h"}}
	case reflect.TypeFor[spec.Bytes]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)? *([KMGT]i?)?B?$|\$\{`},
		}, Examples: []any{"64MiB", "4GiB"}}
	case reflect.TypeFor[spec.Secret]():
		return &jsonschema.Schema{Type: "string", MinLength: ptr(uint64(1))}
	}
	return nil
}

// definition is the name of a type's options under $defs.
func definition(t *spec.NodeType) string { return string(t.Kind) + "_" + t.Name }

// addType adds the options of one node type to the definitions.
func addType(root *jsonschema.Schema, t *spec.NodeType) {
	options := &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.FalseSchema}
	if t.NewConfig != nil {
		options = reflector().Reflect(t.NewConfig())
		for name, def := range options.Definitions {
			root.Definitions[definition(t)+"_"+name] = def
			rename(options, name, definition(t)+"_"+name)
		}
		options.Version, options.Definitions = "", nil
	}
	options.Title, options.Description = t.Name, t.Doc
	root.Definitions[definition(t)] = options
}

// rename points references to a definition to its new name.
func rename(s *jsonschema.Schema, from, to string) {
	walk(s, func(s *jsonschema.Schema) {
		if s.Ref == "#/$defs/"+from {
			s.Ref = "#/$defs/" + to
		}
	})
}

// finishNode says what a node of each kind and type looks like.
func finishNode(node *jsonschema.Schema, cat *spec.Catalog) {
	for _, kind := range []spec.Kind{spec.Source, spec.Transform, spec.Plugin, spec.Sink} {
		node.OneOf = append(node.OneOf, &jsonschema.Schema{Required: []string{string(kind)}})
		property, _ := node.Properties.Get(string(kind))
		property.Examples = nil
		if kind == spec.Plugin {
			property.Pattern = `^[a-z][a-z0-9_-]*@.+$|\$\{`
		}
	}
	node.AllOf = append(node.AllOf, without(spec.Source, "inputs", "retry", "durable"), without(spec.Sink, "key", "durable"))
	for _, kind := range []spec.Kind{spec.Source, spec.Transform, spec.Sink} {
		property, _ := node.Properties.Get(string(kind))
		for _, name := range cat.Names(kind) {
			property.Enum = append(property.Enum, name)
			node.AllOf = append(node.AllOf, optionsOf(cat.Lookup(kind, name)))
		}
		if kind != spec.Source {
			node.AllOf = append(node.AllOf, when(kind, nil, &jsonschema.Schema{Required: []string{"inputs"}}))
		}
	}
	node.AllOf = append(node.AllOf, when(spec.Plugin, nil, &jsonschema.Schema{Required: []string{"inputs"}}))
}

// when applies then to nodes of a kind, and of one type if name is given.
func when(kind spec.Kind, name any, then *jsonschema.Schema) *jsonschema.Schema {
	cond := &jsonschema.Schema{Required: []string{string(kind)}}
	if name != nil {
		cond.Properties = jsonschema.NewProperties()
		cond.Properties.Set(string(kind), &jsonschema.Schema{Const: name})
	}
	return &jsonschema.Schema{If: cond, Then: then}
}

func without(kind spec.Kind, fields ...string) *jsonschema.Schema {
	then := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	for _, f := range fields {
		then.Properties.Set(f, jsonschema.FalseSchema)
	}
	return when(kind, nil, then)
}

func optionsOf(t *spec.NodeType) *jsonschema.Schema {
	then := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	then.Properties.Set("with", &jsonschema.Schema{Ref: "#/$defs/" + definition(t)})
	if t.NewConfig != nil && hasRequired(t.NewConfig()) {
		then.Required = []string{"with"}
	}
	return when(t.Kind, t.Name, then)
}

func hasRequired(config any) bool {
	return len(reflector().Reflect(config).Required) > 0
}

// variables lets every number and bool be a reference to a variable.
func variables(root *jsonschema.Schema) {
	walk(root, func(s *jsonschema.Schema) {
		if !slices.Contains([]string{"integer", "number", "boolean"}, s.Type) || s.Const != nil {
			return
		}
		value := &jsonschema.Schema{Type: s.Type, Minimum: s.Minimum, Maximum: s.Maximum, Enum: s.Enum}
		s.AnyOf = []*jsonschema.Schema{value, {Ref: "#/$defs/Variable"}}
		s.Type, s.Minimum, s.Maximum, s.Enum = "", "", "", nil
	})
}

// walk calls f for s and every schema within it.
func walk(s *jsonschema.Schema, f func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	within := slices.Concat(s.AllOf, s.AnyOf, s.OneOf, []*jsonschema.Schema{s.Items, s.AdditionalProperties, s.If, s.Then})
	f(s)
	for _, sub := range within {
		walk(sub, f)
	}
	for _, sub := range s.Definitions {
		walk(sub, f)
	}
	if s.Properties != nil {
		for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
			walk(pair.Value, f)
		}
	}
}
