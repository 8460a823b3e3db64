package csvtransform_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/unicode"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
)

func payload(text string) *event.Event {
	id := event.NewIdentity("p", "plant2", text)
	return &event.Event{ID: event.RootID(id, 1000), RootID: "r", Time: 1000, Payload: []byte(text), Source: event.Source{Node: "plant2"}}
}

func processWith(t testing.TB, tr node.Transform, e *event.Event) node.Result {
	t.Helper()
	results, err := tr.Process(t.Context(), &node.Batch{Events: []*event.Event{e}})
	if err != nil || len(results) != 1 {
		t.Fatalf("Process = %d results, %v; want 1", len(results), err)
	}
	return results[0]
}

func process(t testing.TB, opts csvtransform.Options, events ...*event.Event) []node.Result {
	t.Helper()
	tr, err := csvtransform.New("readings", &opts)
	if err != nil {
		t.Fatal(err)
	}
	results, err := tr.Process(t.Context(), &node.Batch{Events: events})
	if err != nil || len(results) != len(events) {
		t.Fatalf("Process = %d results, %v; want %d", len(results), err, len(events))
	}
	return results
}

// describe writes a result in one line: records as fields, rejects as !n:code.
func describe(r node.Result) string {
	var parts []string
	for _, e := range r.Outputs {
		var fields []string
		for _, f := range e.Record.Fields {
			switch f.Value.Kind() {
			case event.KindString:
				fields = append(fields, fmt.Sprintf("%s=%q", f.Name, f.Value.Text()))
			default:
				fields = append(fields, fmt.Sprintf("%s=%s:%s", f.Name, f.Value.Kind(), f.Value.Format()))
			}
		}
		parts = append(parts, strings.Join(fields, " "))
	}
	for _, bad := range r.Rejects {
		parts = append(parts, fmt.Sprintf("!%d:%s", bad.Record, bad.Code))
	}
	return strings.Join(parts, "; ")
}

type options = csvtransform.Options

var ab = []string{"a", "b"}

func TestRowsBecomeRecords(t *testing.T) {
	for _, tc := range []struct {
		rule, in string
		opts     options
		want     string
	}{
		{"columns by name", "1,2\n3,4\n", options{Columns: ab}, `a="1" b="2"; a="3" b="4"`},
		{"header names the columns", "a,b\n1,2\n", options{Header: true}, `a="1" b="2"`},
		{"a header alone gives nothing", "a,b\n", options{Header: true}, ``},
		{"own names instead of the header's", "x,y\n1,2\n", options{Header: true, Columns: ab}, `a="1" b="2"`},
		{"a repeated header is skipped, its number too", "a,b\n1,2\na,b\n3\n", options{Header: true}, `a="1" b="2"; !1:bad_width`},
		{"names are trimmed, empty ones numbered", " a ,\n1,2\n", options{Header: true}, `a="1" column2="2"`},
		{"the last line may lack its end", "1,2", options{Columns: ab}, `a="1" b="2"`},
		{"line ends may be mixed", "1,2\r\n3,4\r5,6\n7,8", options{Columns: ab}, `a="1" b="2"; a="3" b="4"; a="5" b="6"; a="7" b="8"`},
		{"blank lines and comments do not count", "\n# x,\"\r\n1,2\n\n\n3\n", options{Columns: ab, Comment: "#"}, `a="1" b="2"; !1:bad_width`},
		{"quotes hold anything", "\"x,\"\"y\"\"\r\nz\",2\n", options{Columns: ab}, "a=\"x,\\\"y\\\"\\r\\nz\" b=\"2\""},
		{"a quoted empty cell is null too", `"",2`, options{Columns: ab}, `a=null: b="2"`},
		{"quotes within a cell are text", `5" pipe,x"y"`, options{Columns: ab}, `a="5\" pipe" b="x\"y\""`},
		{"other quote and delimiter", "'x;1';2\n", options{Columns: ab, Quote: "'", Delimiter: ";"}, `a="x;1" b="2"`},
		{"no quotes at all", "\"x\t2\n", options{Columns: ab, Quote: "none", Delimiter: "tab"}, `a="\"x" b="2"`},
		{"a stray quote costs one line", "1,\"2\n3,4\n", options{Columns: ab}, `a="3" b="4"; !0:bad_quote`},
		{"text after a quote costs one line", "\"1\"x,2\n3,4\n", options{Columns: ab}, `a="3" b="4"; !0:bad_quote`},
		{"too few and too many cells", "1\n1,2\n1,2,3\n1,2,\n", options{Columns: ab}, `a="1" b="2"; !0:bad_width; !2:bad_width; !3:bad_width`},
		{"pad fills short rows", "1\n1,2,3\n", options{Columns: ab, Ragged: "pad", Nulls: []string{"NA"}}, `a="1" b=null:; !1:bad_width`},
		{"row_name names the extra cell", "\"a\",\"b\"\n\"1\",x,y\n", options{Header: true, RowName: "n"}, `n="1" a="x" b="y"`},
		{"trim trims cells and around quotes", " x , \" y \" \n", options{Columns: ab, Trim: true}, `a="x" b="y"`},
		{"without trim blanks stay", " x ,y\n", options{Columns: ab}, `a=" x " b="y"`},
		{"null texts", "NA,\n-,x", options{Columns: ab, Nulls: []string{"NA", "-", ""}}, `a=null: b=null:; a=null: b="x"`},
		{"required", "1,\n,2\n", options{Columns: ab, Required: []string{"b"}}, `a=null: b="2"; !0:missing_value`},
		{"repeats", "1,2\n1,2\n1,3\n1,2\n", options{Columns: ab, Repeats: "reject"}, `a="1" b="2"; a="1" b="3"; !1:repeated_row; !3:repeated_row`},
		{"repeats stay by default", "1,2\n1,2\n", options{Columns: ab}, `a="1" b="2"; a="1" b="2"`},
		{"max_records", "1,2\n1,2\n1,2\n", options{Columns: ab, MaxRecords: 2}, `!-1:too_many_records`},
		{"max_columns", "1,2,3,4\n1,2\n", options{Columns: ab, MaxColumns: 2}, `a="1" b="2"; !0:too_many_columns`},
		{"max_bytes", "1,2", options{Columns: ab, MaxBytes: 2}, `!-1:too_large`},
		{"empty payload", "", options{Columns: ab}, `!-1:no_payload`},
		{"a header with a name twice", "a,a\n1,2\n", options{Header: true}, `!-1:bad_header`},
		{"a header without a needed column", "a,c\n1,2\n", options{Header: true, Required: []string{"b"}}, `!-1:bad_header`},
		{"bytes that are not UTF-8 cost their row", "1,\xff\n3,ü\n", options{Columns: ab}, `a="3" b="ü"; !0:bad_text`},
		{"a byte order mark is skipped", "\ufeffa,b\n1,2\n", options{Header: true}, `a="1" b="2"`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := describe(process(t, tc.opts, payload(tc.in))[0]); got != tc.want {
				t.Errorf("%q gives %s; want %s", tc.in, got, tc.want)
			}
		})
	}
}

func TestCellsAreReadByTheirType(t *testing.T) {
	german := options{Decimal: "comma", Thousands: ".", Delimiter: ";"}
	for _, tc := range []struct {
		kind, in string
		opts     options
		want     string
	}{
		{"number", "1", options{}, "v=int:1"},
		{"number", " 1.50 ", options{}, "v=float:1.5"},
		{"number", "0.30000000000000004001", options{}, "v=decimal:0.30000000000000004001"},
		{"number", "+007", options{}, "v=int:7"},
		{"number", ".5", options{}, "v=float:0.5"},
		{"number", "5.", options{}, "v=int:5"},
		{"number", "-1e3", options{}, "v=float:-1000"},
		{"number", "+-5", options{}, "!0:bad_number"},
		{"number", "NaN", options{}, "!0:bad_number"},
		{"number", "0x10", options{}, "!0:bad_number"},
		{"number", ".", options{}, "!0:bad_number"},
		{"number", "1 000", options{}, "!0:bad_number"},
		{"number", "1,5", options{Delimiter: ";"}, "!0:bad_number"},
		{"number", "69,880835", german, "v=float:69.880835"},
		{"number", "-9.999,0", german, "v=float:-9999"},
		{"number", "1.234.567", german, "v=int:1234567"},
		{"number", "1.5", german, "!0:bad_number"},
		{"number", "1234.567", german, "!0:bad_number"},
		{"number", "1,5.0", german, "!0:bad_number"},
		{"number", "1.5", options{Decimal: "comma", Delimiter: ";"}, "!0:bad_number"},
		{"number", "1'234.5", options{Thousands: "'"}, "v=float:1234.5"},
		{"int", "12", options{}, "v=int:12"},
		{"int", "12.0", options{}, "!0:bad_number"},
		{"int", "9223372036854775808", options{}, "!0:bad_number"},
		{"float", "12", options{}, "v=float:12"},
		{"float", "0.30000000000000004001", options{}, "v=float:0.30000000000000004"},
		{"float", "1e999", options{}, "!0:bad_number"},
		{"decimal", "1.50", options{}, "v=decimal:1.50"},
		{"decimal", "1.234,50", german, "v=decimal:1234.50"},
		{"bool", "Yes", options{}, "v=bool:true"},
		{"bool", "0", options{}, "v=bool:false"},
		{"bool", "2", options{}, "!0:bad_bool"},
		{"time", "2013-12-02 21:15:00", options{}, "v=time:2013-12-02T21:15:00.000Z"},
		{"time", "01-02-2018 00:15", options{Time: "v", TimeFormats: []string{"%d-%m-%Y %H:%M"}}, "v=time:2018-02-01T00:15:00.000Z"},
		{"time", "soon", options{}, "!0:bad_time"},
		{"string", "1", options{}, `v="1"`},
	} {
		tc.opts.Columns, tc.opts.Types = []string{"v"}, map[string]string{"v": tc.kind}
		if got := describe(process(t, tc.opts, payload(tc.in))[0]); got != tc.want {
			t.Errorf("%s %q gives %s; want %s", tc.kind, tc.in, got, tc.want)
		}
	}
}

func TestARejectNamesEveryBadCell(t *testing.T) {
	r := process(t, options{Columns: ab, Types: map[string]string{"a": "number", "b": "bool"}}, payload("x,maybe"))[0]
	want := node.Reject{Record: 0, Code: "bad_number", Text: `column "a": "x" is not a number; column "b": "maybe" is not true or false`}
	if len(r.Rejects) != 1 || r.Rejects[0] != want {
		t.Errorf("got %v; want %v", r.Rejects, want)
	}
}

func TestEncodingsByName(t *testing.T) {
	const text = "größe,값\n1,온도\n"
	for name, enc := range map[string]encoding.Encoding{
		"utf-8": encoding.Nop, "UTF8": encoding.Nop, "euc-kr": korean.EUCKR, "CP949": korean.EUCKR,
		"utf-16":   unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
		"utf-16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
	} {
		in := text
		if enc == korean.EUCKR {
			in = strings.ReplaceAll(text, "größe", "압력")
		}
		encoded, err := enc.NewEncoder().String(in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := strings.Split(in, ",")[0] + `="1" 값="온도"`
		if got := describe(process(t, options{Header: true, Encoding: name}, payload(encoded))[0]); got != want {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
	for _, name := range []string{"iso-8859-1", "latin1", "windows-1252", "cp1252", "ISO-8859-15"} {
		encoded, err := charmap.ISO8859_1.NewEncoder().String("größe\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(process(t, options{Columns: []string{"a"}, Encoding: name}, payload(encoded))[0]); got != `a="größe"` {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestBytesOutsideAnEncodingCostTheirRow(t *testing.T) {
	r := process(t, options{Columns: ab, Encoding: "euc-kr"}, payload("1,\xff\xff\n3,4\n"))[0]
	if got := describe(r); got != `a="3" b="4"; !0:bad_text` {
		t.Errorf("got %s", got)
	}
}

func TestMeltGivesOneRecordPerMeasuredCell(t *testing.T) {
	opts := options{
		Header: true, Time: "at", Nulls: []string{"", "NA"},
		Melt: &csvtransform.Melt{ID: []string{"dev"}, Units: map[string]string{"t": "C"}, Names: map[string]string{"p": "pressure"}},
	}
	in := payload("at,dev,t,p\n2013-12-02 21:15:00,d1,20.5,NA\n2013-12-02 21:16:00,d1,hot,3\nnever,d1,1,2\n")
	r := process(t, opts, in)[0]
	want := `at=time:2013-12-02T21:15:00.000Z dev="d1" metric="t" value=float:20.5 unit="C"; ` +
		`at=time:2013-12-02T21:16:00.000Z dev="d1" metric="pressure" value=int:3; !1:bad_number; !2:bad_time`
	if got := describe(r); got != want {
		t.Fatalf("got %s; want %s", got, want)
	}
	for i, ordinal := range []int{0<<16 | 2, 1<<16 | 3} {
		if id := event.DerivedID(in, "readings", ordinal, r.Outputs[i].Time); r.Outputs[i].ID != id {
			t.Errorf("output %d has id %s; want %s, of ordinal %d", i, r.Outputs[i].ID, id, ordinal)
		}
	}
}

func TestMeltWithNamedColumnsLeavesTheOthersOut(t *testing.T) {
	opts := options{Columns: []string{"x", "y", "z"}, Types: map[string]string{"y": "decimal"},
		Melt: &csvtransform.Melt{Columns: []string{"y"}, Metric: "m", Value: "v"}}
	if got, want := describe(process(t, opts, payload("1,2.50,3"))[0]), `m="y" v=decimal:2.50`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestTimeIsJoinedFromColumns(t *testing.T) {
	opts := options{Columns: []string{"y", "m", "d", "h", "v"}, Time: "ts", TimeFrom: []string{"y", "m", "d", "h"},
		TimeFormats: []string{"%Y %m %d %H"}, Zone: "Asia/Shanghai"}
	r := process(t, opts, payload("2013,3,1,0,x\n2013,3,32,0,y\n"))[0]
	if got, want := describe(r), `v="x" ts=time:2013-02-28T16:00:00.000Z; !1:bad_time`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestLayoutsOfTwoHeadersDoNotMix(t *testing.T) {
	results := process(t, options{Header: true}, payload("a,b\n1,2\n"), payload("b,a\n1,2\n"), payload("a,b\n1,2\n"))
	for i, want := range []string{`a="1" b="2"`, `b="1" a="2"`, `a="1" b="2"`} {
		if got := describe(results[i]); got != want {
			t.Errorf("payload %d gives %s; want %s", i, got, want)
		}
	}
}

func TestOptionsThatCannotWorkAreNamed(t *testing.T) {
	for field, opts := range map[string]options{
		"columns":         {},
		"columns[1]":      {Columns: []string{"a", "a"}},
		"delimiter":       {Columns: ab, Delimiter: "::"},
		"quote":           {Columns: ab, Quote: ","},
		"thousands":       {Columns: ab, Thousands: "."},
		"decimal":         {Columns: ab, Decimal: "dot"},
		"ragged":          {Columns: ab, Ragged: "cut"},
		"repeats":         {Columns: ab, Repeats: "drop"},
		"encoding":        {Columns: ab, Encoding: "klingon"},
		"types.a":         {Columns: ab, Types: map[string]string{"a": "real"}},
		"types":           {Columns: ab, Types: map[string]string{"c": "int"}},
		"required":        {Columns: ab, Required: []string{"c"}},
		"row_name":        {Columns: ab, RowName: "n"},
		"time":            {Columns: ab, Time: "c"},
		"time_from":       {Columns: ab, Time: "ts", TimeFrom: []string{"c"}},
		"melt.id":         {Columns: ab, Melt: &csvtransform.Melt{ID: []string{"c"}}},
		"melt.columns":    {Columns: ab, Melt: &csvtransform.Melt{ID: []string{"a"}, Columns: []string{"a"}}},
		"melt":            {Columns: ab, Melt: &csvtransform.Melt{Metric: "x", Value: "x"}},
		"max_records":     {Columns: ab, MaxRecords: -1},
		"max_columns":     {Columns: ab, MaxColumns: 1 << 16},
		"set.x":           {Columns: ab, Set: map[string]string{"x": "1 +"}},
		"time_formats[0]": {Columns: ab, Time: "a", TimeFormats: []string{"%d"}},
	} {
		errs := opts.Check()
		if len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%s: Check = %v", field, errs)
		}
		if _, err := csvtransform.New("n", &opts); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: New = %v; want an error that names it", field, err)
		}
	}
}
