package spec

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/spec/nearest"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
)

// scalar fills a text, number or bool.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	want, ok := "", false
	switch {
	case v.Type() == durationType:
		want, ok = "a duration such as 200ms, 30s or 24h", d.duration(n, v)
	case v.Type() == bytesType:
		want, ok = "a size such as 64MiB or 4GiB", d.size(n, v)
	case v.Kind() == reflect.String:
		want, ok = "a text", n.Kind == yaml.ScalarNode
		if ok {
			v.SetString(n.Value)
		}
	case v.Kind() == reflect.Bool:
		want, ok = "true or false", d.plainScalar(n, "!!bool", v)
	case v.CanInt(), v.CanUint():
		want, ok = "a whole number", d.plainScalar(n, "!!int", v)
	case v.CanFloat():
		want, ok = "a number", d.plainScalar(n, "!!float", v) || d.plainScalar(n, "!!int", v)
		ok = ok && !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
	default:
		panic(fmt.Sprintf("spec: option %s has type %s, which no file can give", path, v.Type()))
	}
	if !ok {
		d.wrongType(n, want, path)
	}
}

// plainScalar decodes a scalar of the wanted tag. A variable's value counts as if
// it were written without quotes.
func (d *decoder) plainScalar(n *yaml.Node, tag string, v reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	if d.filled[n] != "" {
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}
	}
	return n.ShortTag() == tag && n.Decode(v.Addr().Interface()) == nil
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value) bool {
	t, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || t < 0 {
		return false
	}
	v.SetInt(int64(t))
	return true
}

func (d *decoder) size(n *yaml.Node, v reflect.Value) bool {
	size, err := ParseBytes(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return false
	}
	v.SetInt(int64(size))
	return true
}

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads a size: a number of bytes, or a number with one of the units
// B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024). It
// is not negative and below 8 EiB.
func ParseBytes(text string) (Bytes, error) {
	digits, factor := text, 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			digits, factor = strings.TrimRight(rest, " "), u.factor
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n >= 0 && n*factor < 1<<62) || strings.ContainsAny(digits, "xXpPeE_nN") {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return Bytes(n * factor), nil
}

// String writes the size with the largest unit that divides it.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if f := int64(byteUnits[i].factor); int64(b) >= f && int64(b)%f == 0 {
			return strconv.FormatInt(int64(b)/f, 10) + byteUnits[i].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// bounds checks what the field's tag demands of its value.
func (d *decoder) bounds(n *yaml.Node, v reflect.Value, f field, path string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			sub := fmt.Sprintf("%s[%d]", path, i)
			if item := d.values[sub]; item != nil && !d.failed[sub] {
				d.bounds(item, v.Index(i), f, sub)
			}
		}
	case v.Kind() == reflect.String && len(f.enum) > 0 && !slices.Contains(f.enum, v.String()):
		d.notListed(n, v, f, path)
	case v.CanInt() && len(f.enum) > 0 && !slices.Contains(f.enum, strconv.FormatInt(v.Int(), 10)):
		d.notListed(n, v, f, path)
	case v.CanInt():
		d.inRange(n, float64(v.Int()), f, path)
	case v.CanFloat():
		d.inRange(n, v.Float(), f, path)
	case f.required && v.Kind() == reflect.String && v.String() == "":
		d.failed[path] = true
		d.problem(n, "missing-field", "", "%s: must not be empty", f.name)
	}
}

func (d *decoder) notListed(n *yaml.Node, v reflect.Value, f field, path string) {
	d.failed[path] = true
	hint := "one of " + strings.Join(f.enum, ", ")
	if len(f.enum) == 1 {
		hint = "write " + f.enum[0]
	} else if near := nearest.Of(fmt.Sprint(v.Interface()), f.enum); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	d.problem(n, "wrong-value", hint, "%s: %s is not known", f.name, d.describe(n))
}

func (d *decoder) inRange(n *yaml.Node, x float64, f field, path string) {
	if (f.min == nil || x >= *f.min) && (f.max == nil || x <= *f.max) {
		return
	}
	d.failed[path] = true
	d.problem(n, "wrong-value", "", "%s: %s is outside %s", f.name, d.describe(n), rangeText(f))
}

func rangeText(f field) string {
	low, high := "", ""
	if f.min != nil {
		low = strconv.FormatFloat(*f.min, 'f', -1, 64)
	}
	if f.max != nil {
		high = strconv.FormatFloat(*f.max, 'f', -1, 64)
	}
	return low + ".." + high
}

// plain turns a YAML value into Go values for a plugin's free options: maps with
// text keys, lists, texts, numbers, bools and nil.
func (d *decoder) plain(n *yaml.Node, path string, depth int) any {
	at := n
	if n = d.enter(n, depth); n == nil {
		return nil
	}
	d.values[path] = at
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.pairs(n, path, "a mapping", func(key, value *yaml.Node) {
			sub := join(path, key.Value)
			d.keys[sub] = key
			m[key.Value] = d.plain(value, sub, depth+1)
		})
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.plain(item, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
		return list
	default:
		return d.plainValue(n)
	}
}

func (d *decoder) plainValue(n *yaml.Node) any {
	if d.filled[n] != "" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 {
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}
	}
	var v any
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}
