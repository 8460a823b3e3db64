package pluginv1_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

var update = flag.Bool("update", false, "add new fields and methods to testdata/fields.txt")

const fieldsFile = "testdata/fields.txt"

// contract lists everything that plugin.proto says in numbers and types.
func contract() []string {
	var lines []string
	file := pluginv1.File_plugin_v1_plugin_proto
	for i := range file.Messages().Len() {
		m := file.Messages().Get(i)
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			lines = append(lines, fmt.Sprintf("%s.%s = %d %s %s", m.Name(), f.Name(), f.Number(), f.Cardinality(), typeOf(f)))
		}
	}
	for i := range file.Enums().Len() {
		e := file.Enums().Get(i)
		for j := range e.Values().Len() {
			lines = append(lines, fmt.Sprintf("%s.%s = %d", e.Name(), e.Values().Get(j).Name(), e.Values().Get(j).Number()))
		}
	}
	for i := range file.Services().Len() {
		s := file.Services().Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			lines = append(lines, fmt.Sprintf("%s(%s %t) %s %t", m.FullName(), m.Input().Name(), m.IsStreamingClient(), m.Output().Name(), m.IsStreamingServer()))
		}
	}
	slices.Sort(lines)
	return lines
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return string(f.Message().Name())
	case f.Enum() != nil:
		return string(f.Enum().Name())
	default:
		return f.Kind().String()
	}
}

// TestFieldsStayWhatTheyAre: what the contract has once said stays, under its number
// and with its type; it may only grow.
func TestFieldsStayWhatTheyAre(t *testing.T) {
	now := contract()
	kept, err := os.ReadFile(fieldsFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(kept)) {
		if line = strings.TrimSpace(line); !slices.Contains(now, line) {
			t.Errorf("the contract does not say any more: %s", line)
		}
	}
	if text := strings.Join(now, "\n") + "\n"; !t.Failed() && text != string(kept) {
		if !*update {
			t.Fatal("the contract has grown: go test ./schemas/plugin/v1 -update, and record another transcript (schemas/plugin/README.md)")
		}
		if err := os.WriteFile(fieldsFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
