package event

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Kind is the type of a [Value].
type Kind uint8

// The kinds of a value. Their numbers are part of the frame format.
const (
	KindNull    Kind = 0
	KindBool    Kind = 1
	KindInt     Kind = 2 // int64
	KindFloat   Kind = 3 // float64
	KindDecimal Kind = 4 // number kept as its text, for what int64 and float64 cannot hold exactly
	KindString  Kind = 5
	KindBytes   Kind = 6
	KindTime    Kind = 7 // ms since the Unix epoch, UTC
	KindJSON    Kind = 8 // nested object or array, kept as its JSON text
)

var kindNames = [...]string{"null", "bool", "int", "float", "decimal", "string", "bytes", "time", "json"}

// String returns the kind's name as diagnostics print it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one typed field or header value; the zero Value is null. It is small,
// comparable with == (floats by their bits) and never allocates by itself.
type Value struct {
	kind Kind
	num  uint64
	str  string
}

// Null is the null value.
var Null = Value{}

// Bool returns a bool value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Int returns an int64 value.
func Int(i int64) Value { return Value{kind: KindInt, num: uint64(i)} }

// Float returns a float64 value.
func Float(f float64) Value { return Value{kind: KindFloat, num: math.Float64bits(f)} }

// Decimal returns a number kept as text; text must be a JSON number.
func Decimal(text string) Value { return Value{kind: KindDecimal, str: text} }

// String returns a string value.
func String(s string) Value { return Value{kind: KindString, str: s} }

// Bytes returns a bytes value; b is copied.
func Bytes(b []byte) Value { return Value{kind: KindBytes, str: string(b)} }

// Time returns a time value, ms since the Unix epoch UTC.
func Time(ms int64) Value { return Value{kind: KindTime, num: uint64(ms)} }

// JSON returns a nested value kept as its JSON text; text must be valid JSON.
func JSON(text string) Value { return Value{kind: KindJSON, str: text} }

// Kind returns the value's kind.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == KindNull }

// AsBool returns the bool, false for other kinds.
func (v Value) AsBool() bool { return v.kind == KindBool && v.num == 1 }

// AsInt returns an int's or a time's number, 0 for other kinds.
func (v Value) AsInt() int64 {
	if v.kind == KindInt || v.kind == KindTime {
		return int64(v.num)
	}
	return 0
}

// AsFloat returns v as a float64 and whether v is a number (int, float or
// decimal); an int or decimal may lose digits.
func (v Value) AsFloat() (float64, bool) {
	switch v.kind {
	case KindInt:
		return float64(int64(v.num)), true
	case KindFloat:
		return math.Float64frombits(v.num), true
	case KindDecimal:
		f, err := strconv.ParseFloat(v.str, 64)
		return f, err == nil
	default:
		return 0, false
	}
}

// Text returns the text of a string, decimal, bytes or JSON value as it is,
// "" for other kinds; use [Value.Format] for a readable form of any kind.
func (v Value) Text() string { return v.str }

// Format returns a readable form of any kind: null is "", a time is RFC 3339
// with milliseconds in UTC, bytes are base64.
func (v Value) Format() string {
	switch v.kind {
	case KindNull:
		return ""
	case KindBool:
		return strconv.FormatBool(v.num == 1)
	case KindInt:
		return strconv.FormatInt(int64(v.num), 10)
	case KindFloat:
		return strconv.FormatFloat(math.Float64frombits(v.num), 'g', -1, 64)
	case KindTime:
		return time.UnixMilli(int64(v.num)).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	case KindBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.str))
	default:
		return v.str
	}
}

// Any returns v as the Go value that expressions see: nil, bool, int64, float64,
// string (also decimals and JSON text), []byte or time.Time (UTC).
func (v Value) Any() any {
	switch v.kind {
	case KindNull:
		return nil
	case KindBool:
		return v.num == 1
	case KindInt:
		return int64(v.num)
	case KindFloat:
		return math.Float64frombits(v.num)
	case KindBytes:
		return []byte(v.str)
	case KindTime:
		return time.UnixMilli(int64(v.num)).UTC()
	default:
		return v.str
	}
}

// AppendJSON appends v as JSON. NaN and infinities become null: they have no
// JSON form. Decimals keep their digits, bytes become base64 strings.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case KindNull:
		return append(dst, "null"...)
	case KindBool:
		return strconv.AppendBool(dst, v.num == 1)
	case KindInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case KindFloat:
		f := math.Float64frombits(v.num)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return append(dst, "null"...)
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	case KindDecimal, KindJSON:
		return append(dst, v.str...)
	default:
		text, _ := json.Marshal(v.Format()) // a string always marshals
		return append(dst, text...)
	}
}

func (v Value) size() int { return 32 + len(v.str) }

// Field is one named value of a record.
type Field struct {
	Name  string
	Value Value
}

// Record is a decoded payload: fields in their order of appearance. Names are
// unique; decoders reject a record that repeats one.
type Record struct {
	Fields []Field
}

// Get returns the named field's value and whether the record has it.
func (r *Record) Get(name string) (Value, bool) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value, true
		}
	}
	return Null, false
}

// With returns a copy of r in which name has value v: replaced in its place, or
// appended. r is unchanged.
func (r *Record) With(name string, v Value) *Record {
	fields := make([]Field, len(r.Fields), len(r.Fields)+1)
	copy(fields, r.Fields)
	for i := range fields {
		if fields[i].Name == name {
			fields[i].Value = v
			return &Record{Fields: fields}
		}
	}
	return &Record{Fields: append(fields, Field{name, v})}
}

// AppendJSON appends r as a JSON object in field order.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, f := range r.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		name, _ := json.Marshal(f.Name) // a string always marshals
		dst = append(append(dst, name...), ':')
		dst = f.Value.AppendJSON(dst)
	}
	return append(dst, '}')
}
