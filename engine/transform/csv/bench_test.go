package csvtransform_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
)

// BenchmarkProcess decodes rows of about 80 bytes, one or a hundred to a payload,
// and wide rows; figures are per reading.
func BenchmarkProcess(b *testing.B) {
	row := func(i int) string {
		return fmt.Sprintf("plant2-%09d,furnace-south-%02d,temperature,2026-08-21T10:00:%02d.123Z,%d.93588,degF\n", i, i%20, i%60, i%90)
	}
	wide := func(i int) string {
		return fmt.Sprintf("2020-03-09 10:14:%02d;0.0265878;0.0401113;1.3302;0.054711;79.3366;26.0199;233.062;32.0\n", i%60)
	}
	narrow := options{Columns: []string{"id", "device", "metric", "ts", "value", "unit"}, Types: map[string]string{"value": "number"}, Time: "ts"}
	latin := narrow
	latin.Encoding = "iso-8859-1"
	melt := options{Columns: strings.Fields("at a b c d e f g h"), Delimiter: ";", Time: "at", Melt: &csvtransform.Melt{}}
	for _, bc := range []struct {
		name              string
		opts              options
		events, rows, per int
		row               func(int) string
	}{
		{"1000 payloads of a row", narrow, 1000, 1, 1, row},
		{"10 payloads of 100 rows", narrow, 10, 100, 1, row},
		{"10 payloads of 100 rows in latin1", latin, 10, 100, 1, row},
		{"10 payloads of 100 wide rows", melt, 10, 100, 8, wide},
	} {
		b.Run(bc.name, func(b *testing.B) {
			tr, err := csvtransform.New("readings", &bc.opts)
			if err != nil {
				b.Fatal(err)
			}
			events, bytes := bundle(bc.events, bc.rows, bc.row)
			b.ReportAllocs()
			b.SetBytes(int64(bytes))
			for b.Loop() {
				r, err := tr.Process(b.Context(), &node.Batch{Events: events})
				if err != nil || len(r[0].Outputs) != bc.rows*bc.per {
					b.Fatal(err, len(r[0].Outputs), r[0].Rejects)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bc.events*bc.rows*bc.per), "ns/reading")
		})
	}
}

func bundle(events, rows int, row func(int) string) (out []*event.Event, bytes int) {
	for i := range events {
		var text strings.Builder
		for k := range rows {
			text.WriteString(row(i*rows + k))
		}
		out = append(out, payload(text.String()))
		bytes += text.Len()
	}
	return out, bytes
}
