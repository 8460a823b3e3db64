package expr

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// toAny is what the VM sees of a value: decimals as float64, nested JSON decoded.
func toAny(v event.Value) any {
	switch v.Kind() {
	case event.KindDecimal:
		f, _ := v.AsFloat()
		return f
	case event.KindJSON:
		doc, err := decodeJSON([]byte(v.Text()))
		if err != nil {
			return v.Text()
		}
		return doc
	default:
		return v.Any()
	}
}

// fromAny turns an expression's result into a value.
func fromAny(x any) (event.Value, error) {
	switch x := x.(type) {
	case nil:
		return event.Null, nil
	case string:
		return event.String(x), nil
	case bool:
		return event.Bool(x), nil
	case int:
		return event.Int(int64(x)), nil
	case int64:
		return event.Int(x), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return event.Null, fmt.Errorf("the result is not a finite number (%v)", x)
		}
		return event.Float(x), nil
	case time.Time:
		return event.Time(x.UnixMilli()), nil
	case time.Duration:
		return event.Int(x.Milliseconds()), nil
	case []byte:
		return event.Bytes(x), nil
	default:
		return fromOther(x)
	}
}

func fromOther(x any) (event.Value, error) {
	v := reflect.ValueOf(x)
	switch {
	case v.CanInt():
		return event.Int(v.Int()), nil
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return event.Int(int64(v.Uint())), nil
	case v.CanFloat():
		return fromAny(v.Float())
	case v.Kind() == reflect.Map || v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		b, err := json.Marshal(x)
		if err != nil {
			return event.Null, fmt.Errorf("the result has no JSON form: %w", err)
		}
		return event.JSON(string(b)), nil
	default:
		return event.Null, fmt.Errorf("the result is a %T, which no field can hold", x)
	}
}

// number reads a JSON number: an int if it is one and fits, a float if its
// shortest form is the text itself, else a decimal that keeps every digit.
func number(text string) event.Value {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return event.Int(i)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && strconv.FormatFloat(f, 'g', -1, 64) == text {
		return event.Float(f)
	}
	return event.Decimal(text)
}
