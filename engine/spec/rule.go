package spec

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// field is one option of a struct, as its tags describe it.
type field struct {
	name     string
	index    []int
	required bool
	enum     []string
	min, max *float64
}

var fieldCache sync.Map // reflect.Type -> []field

// fieldsOf returns the options of struct type t, inlined structs included.
func fieldsOf(t reflect.Type) []field {
	if known, ok := fieldCache.Load(t); ok {
		return known.([]field)
	}
	var fields []field
	for _, sf := range reflect.VisibleFields(t) {
		name, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if !sf.IsExported() || name == "-" || name == "" || opts == "inline" {
			continue
		}
		fields = append(fields, readRules(field{name: name, index: sf.Index}, sf.Tag.Get("jsonschema")))
	}
	fieldCache.Store(t, fields)
	return fields
}

// readRules reads what a jsonschema tag demands, so that the editor's schema and
// the reader never disagree.
func readRules(f field, tag string) field {
	for _, part := range splitTag(tag) {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "required":
			f.required = true
		case "enum":
			f.enum = append(f.enum, value)
		case "minimum":
			f.min = number(value)
		case "maximum":
			f.max = number(value)
		}
	}
	return f
}

func number(text string) *float64 {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return &n
	}
	return nil
}

// splitTag cuts at commas that no backslash protects.
func splitTag(tag string) []string {
	var parts []string
	for rest := tag; rest != ""; {
		end := 0
		for end < len(rest) && (rest[end] != ',' || end > 0 && rest[end-1] == '\\') {
			end++
		}
		parts = append(parts, rest[:end])
		rest = rest[min(end+1, len(rest)):]
	}
	return parts
}

// names returns the fields' names, sorted.
func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	slices.Sort(out)
	return out
}
