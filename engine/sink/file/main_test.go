package filesink

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(childFolder) != "" {
		os.Exit(child())
	}
	testserver.Main(m)
}

// reading returns the n-th test event.
func reading(n int) *event.Event {
	root := &event.Event{RootID: fmt.Sprint("reading-", n), Key: "k", Time: 1_700_000_000_000 + int64(n)}
	e := root.Derive("decode", n, 0)
	e.Record = &event.Record{Fields: []event.Field{
		{Name: "device", Value: event.String(fmt.Sprint("d", n%3))}, {Name: "value", Value: event.Decimal(fmt.Sprintf("%d.50", n))},
	}}
	return e
}

func columns() []Column {
	required := false
	return []Column{{Name: "device"}, {Name: "value", Nullable: &required}, {Name: "double", From: "value * 2"}}
}

// config returns the configuration of a sink whose files are in dir.
func config(dir, format string) Config {
	o := NewOptions()
	o.Path, o.Format, o.Columns, o.RotateBytes = dir, format, columns(), minRotateBytes
	return Config{Options: *o, Pipeline: "mill", Node: "out"}
}

func open(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// filesIn returns the data files of a folder and those below it, oldest first within
// each: finished ones by their serial numbers, then the part.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	var finished, parts []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() || strings.HasPrefix(d.Name(), "."):
		case strings.HasSuffix(path, ".part"):
			parts = append(parts, path)
		default:
			finished = append(finished, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(finished, func(a, b string) int { return strings.Compare(serialOf(a), serialOf(b)) })
	return append(finished, parts...)
}

func serialOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return filepath.Dir(path) + name[strings.LastIndex(name, "-"):]
}

// idsOf reads the event ids of a file, and fails on a line that is not whole.
func idsOf(t testing.TB, path string) []event.ID {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		t.Fatalf("%s ends within a line", path)
	}
	var texts []string
	if strings.Contains(path, "."+CSV) {
		rows, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
		if err != nil || len(rows) == 0 || rows[0][0] != IDField {
			t.Fatalf("%s: %v, %d rows, first %q", path, err, len(rows), rows)
		}
		for _, row := range rows[1:] {
			texts = append(texts, row[0])
		}
	} else {
		lines := bufio.NewScanner(strings.NewReader(string(data)))
		for lines.Scan() {
			var line struct {
				ID string `json:"event_id"`
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			texts = append(texts, line.ID)
		}
	}
	ids := make([]event.ID, len(texts))
	for i, text := range texts {
		if ids[i], err = event.ParseID(text); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return ids
}

// harness is the suite's: one folder below which each sink has its own.
type harness struct{ dir, format string }

func (h harness) Features() sinktest.Features {
	return sinktest.Features{Positioned: true, Fenced: true, Ordered: true}
}

func (h harness) Open(t *testing.T, pipeline, id string) node.Sink {
	cfg := config(filepath.Join(h.dir, pipeline, id), h.format)
	cfg.Pipeline, cfg.Node = pipeline, id
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	return s
}

func (h harness) Good(_ *testing.T, n int) *event.Event { return reading(n) }

func (h harness) Bad(_ *testing.T, n int) *event.Event {
	e := reading(n)
	e.Record = &event.Record{Fields: e.Record.Fields[:1]}
	return e
}

func (h harness) Stored(t *testing.T) []event.ID {
	var ids []event.ID
	for _, path := range filesIn(t, h.dir) {
		ids = append(ids, idsOf(t, path)...)
	}
	return ids
}

func TestConformance(t *testing.T) {
	for _, format := range []string{JSONLines, CSV} {
		t.Run(format, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness { return harness{t.TempDir(), format} })
		})
	}
}
