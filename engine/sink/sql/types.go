package sqlsink

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// family groups the SQL types that take the same values.
type family uint8

const (
	famOther   family = iota // a type that the sink cannot fill
	famText                  // size: characters; bytes: most bytes
	famBinary                // size: bytes; fixed: exactly that many
	famInt                   // lo..hi
	famFloat                 // 4 bytes
	famDouble                // 8 bytes
	famDecimal               // prec digits, scale of them after the point
	famTime                  // scale: digits of the second's fraction
	famBool
	famJSON
	famEnum // text checked by the server
)

// colType is a column's type, as far as it decides which values fit.
type colType struct {
	family      family
	size        int64 // see family
	bytes       int64
	fixed       bool
	lo          int64
	hi          uint64
	prec, scale int
	unsigned    bool
	text        string // as the dialect or the author spelled it
}

func (t colType) String() string { return t.text }

var typePattern = regexp.MustCompile(`^([a-z_ ]+?)\s*(?:\(\s*([^)]*?)\s*\))?\s*(unsigned)?(?:\s+(?:zerofill|character set \S+|collate \S+|/\*.*\*/))*$`)

// parseType reads a type as authors write it in `type:`.
func parseType(text string) (colType, error) {
	t, err := readType(text)
	if err != nil {
		return t, err
	}
	return t, t.check()
}

// readType reads a type as a database shows it, within whatever limits that has:
// COLUMN_TYPE of information_schema, or the type that SQLite keeps.
func readType(text string) (colType, error) {
	m := typePattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return colType{text: text}, fmt.Errorf("%q is no type that the sink knows", text)
	}
	var args []int
	for a := range strings.SplitSeq(m[2], ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(a)); err == nil {
			args = append(args, n)
		}
	}
	t, ok := baseType(m[1], args, m[3] != "")
	t.text = strings.ToLower(strings.TrimSpace(text))
	if !ok {
		return t, fmt.Errorf("%q is no type that the sink knows", text)
	}
	return t, nil
}

func arg(args []int, i, missing int) int {
	if i < len(args) {
		return args[i]
	}
	return missing
}

func baseType(name string, args []int, unsigned bool) (colType, bool) {
	if t, ok := textType(name, args); ok {
		return t, true
	}
	if bits, ok := intBits[name]; ok {
		return intType(bits, unsigned), true
	}
	switch name {
	case "bool", "boolean":
		return colType{family: famBool}, true
	case "double", "double precision", "real":
		return colType{family: famDouble, unsigned: unsigned}, true
	case "float":
		return colType{family: famFloat, unsigned: unsigned}, true
	case "decimal", "numeric", "decimal_text":
		return colType{family: famDecimal, prec: arg(args, 0, 38), scale: arg(args, 1, defaultScale(args)), unsigned: unsigned}, true
	case "datetime":
		return colType{family: famTime, scale: arg(args, 0, 3)}, true
	case "timestamp":
		return colType{family: famTime, scale: arg(args, 0, 3), fixed: true}, true
	}
	return colType{}, false
}

// defaultScale is 12 for a decimal without digits, 0 as in SQL for decimal(P).
func defaultScale(args []int) int {
	if len(args) == 0 {
		return 12
	}
	return 0
}

func textType(name string, args []int) (colType, bool) {
	n := int64(arg(args, 0, -1))
	switch name {
	case "string":
		return colType{family: famText, size: 191, bytes: math.MaxInt64}, true
	case "varchar", "char", "nvarchar":
		if n < 0 {
			n = 1
		}
		return colType{family: famText, size: n, bytes: math.MaxInt64, fixed: name == "char"}, true
	case "tinytext", "text", "mediumtext", "longtext":
		return colType{family: famText, size: math.MaxInt64, bytes: blobSize[strings.TrimSuffix(name, "text")]}, true
	case "json", "json_text":
		return colType{family: famJSON, size: math.MaxInt64, bytes: math.MaxUint32}, true
	case "tinyblob", "blob", "mediumblob", "longblob":
		return colType{family: famBinary, size: blobSize[strings.TrimSuffix(name, "blob")]}, true
	case "bytes":
		return colType{family: famBinary, size: blobSize["long"]}, true
	case "varbinary", "binary":
		if n < 0 {
			n = 1
		}
		return colType{family: famBinary, size: n, fixed: name == "binary"}, true
	case "enum", "set", "uuid", "inet6", "inet4":
		return colType{family: famEnum, size: math.MaxInt64, bytes: math.MaxInt64}, true
	}
	return colType{}, false
}

var blobSize = map[string]int64{"tiny": 255, "": 65535, "medium": 1<<24 - 1, "long": math.MaxUint32}

var intBits = map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}

func intType(bits int, unsigned bool) colType {
	if unsigned {
		return colType{family: famInt, hi: math.MaxUint64 >> (64 - bits), unsigned: true}
	}
	return colType{family: famInt, lo: math.MinInt64 >> (64 - bits), hi: math.MaxInt64 >> (64 - bits)}
}

func (t colType) check() error {
	switch {
	case t.family == famDecimal && (t.prec < 1 || t.prec > 65 || t.scale < 0 || t.scale > 38 || t.scale > t.prec):
		return fmt.Errorf("%q: want decimal(1..65, 0..38) with no more decimals than digits", t.text)
	case t.family == famTime && (t.scale < 0 || t.scale > 6):
		return fmt.Errorf("%q: want 0..6 digits of the second's fraction", t.text)
	case t.family == famText && t.bytes == math.MaxInt64 && (t.size < 1 || t.size > 16383):
		return fmt.Errorf("%q: want 1..16383 characters; take text for more", t.text)
	}
	return nil
}

// takes reports whether every value that fits want also fits t: whether a table
// whose column is t can stand for a pipeline that says want.
func (t colType) takes(want colType) bool {
	switch want.family {
	case famBool:
		return t.family == famBool || t.family == famInt && t.hi >= 1
	case famInt:
		return t.family == famInt && t.lo <= want.lo && t.hi >= want.hi
	case famJSON:
		return t.family == famJSON || t.family == famText && t.bytes >= want.bytes && t.size == math.MaxInt64
	case famText:
		return (t.family == famText || t.family == famJSON) && t.size >= want.size && t.bytes >= want.mostBytes()
	case famBinary:
		return t.family == famBinary && t.size >= want.size && (!t.fixed || want.fixed && t.size == want.size)
	case famDecimal:
		return t.family == famDecimal && t.scale >= want.scale && t.prec-t.scale >= want.prec-want.scale && (want.unsigned || !t.unsigned)
	case famTime:
		return t.family == famTime && t.scale >= want.scale
	case famFloat:
		return t.family == famFloat || t.family == famDouble
	default:
		return t.family == want.family
	}
}

// mostBytes returns the bytes of the longest text that fits t, at four bytes a
// character.
func (t colType) mostBytes() int64 {
	if t.size > math.MaxInt64/4 {
		return t.bytes
	}
	return min(t.bytes, 4*t.size)
}
