package csvtransform_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
)

var abc = options{Columns: []string{"a", "b", "c"}, Nulls: []string{"\x00none"}}

// FuzzRows holds the row reader to encoding/csv: a text that it reads without an
// error and that has no CR (which ends lines here only) gives the same rows.
func FuzzRows(f *testing.F) {
	for _, s := range []string{"1,2,3\n", "\"a\"\"b\",\"x\ny\",\n", "a,b\nc,d,e\n\n\nf,g,h", "\"", "\"a\"b,c,d\n1,2,3", ",,\n", "a\"b,c,d\n", "\xff,1,2\n3,4,5", "\ufeff1,2,3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		in := payload(text)
		r := process(t, abc, in)[0]
		want, ok := oracle(text)
		if !ok {
			return
		}
		got := make(map[int][]string)
		for i, n := range ordinals(in, r.Outputs, len(want)) {
			got[n] = cellsOf(r.Outputs[i])
		}
		for _, bad := range r.Rejects {
			if bad.Code != csvtransform.BadWidth && bad.Code != csvtransform.BadText || got[bad.Record] != nil {
				t.Fatalf("%q: reject %v", text, bad)
			}
			got[bad.Record] = nil
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d rows; want %q", text, len(got), want)
		}
		for n, cells := range want {
			if got[n] != nil && strings.Join(got[n], "|") != strings.Join(cells, "|") {
				t.Fatalf("%q: row %d is %q; want %q", text, n, got[n], cells)
			}
		}
	})
}

func oracle(text string) ([][]string, bool) {
	if strings.Contains(text, "\r") {
		return nil, false
	}
	rows := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	rows.FieldsPerRecord = -1
	all, err := rows.ReadAll()
	return all, err == nil
}

// ordinals finds the row number of each output by its id.
func ordinals(in *event.Event, outputs []*event.Event, rows int) []int {
	var found []int
	next := 0
	for _, e := range outputs {
		for ; next < rows; next++ {
			if event.DerivedID(in, "readings", next, e.Time) == e.ID {
				break
			}
		}
		found = append(found, next)
		next++
	}
	return found
}

func cellsOf(e *event.Event) []string {
	cells := []string{}
	for _, f := range e.Record.Fields {
		cells = append(cells, f.Value.Text())
	}
	return cells
}

// FuzzAnyDialect looks for panics and for rows that get lost under every option
// that changes how text is cut.
func FuzzAnyDialect(f *testing.F) {
	f.Add("a;b\r\n'1''2';\"x", ";", "'", "#", "utf-8", true)
	f.Add("\xff\xfea\x00,\x00b\x00\n\x00", ",", "none", "", "utf-16", false)
	f.Add("1\t2\r3\t4", "tab", "\"", "//", "cp949", false)
	f.Fuzz(func(t *testing.T, text, delimiter, quote, comment, encoding string, header bool) {
		opts := options{Delimiter: delimiter, Quote: quote, Comment: comment, Encoding: encoding, Header: header, Trim: header, Ragged: "pad", MaxColumns: 8}
		if !header {
			opts.Columns, opts.Types = []string{"a", "b"}, map[string]string{"a": "number"}
		}
		tr, err := csvtransform.New("readings", &opts)
		if err != nil {
			if len(opts.Check()) == 0 {
				t.Fatalf("New refuses options that Check accepts: %v", err)
			}
			return
		}
		r := processWith(t, tr, payload(text))
		seen := map[int]bool{}
		for _, bad := range r.Rejects {
			if seen[bad.Record] || bad.Code == "" || bad.Text == "" {
				t.Fatalf("rejects %v", r.Rejects)
			}
			seen[bad.Record] = true
		}
		ids := map[event.ID]bool{}
		for _, e := range r.Outputs {
			if ids[e.ID] {
				t.Fatalf("id %s occurs twice", e.ID)
			}
			ids[e.ID] = true
		}
	})
}
