package filesink

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/testserver"
)

// begin takes lane 0 and returns a function that makes the units that follow.
func begin(t testing.TB, s *Sink) func(events ...*event.Event) *node.Unit {
	t.Helper()
	at, err := s.Position(context.Background(), "readings", 0, laneStart)
	if err != nil {
		t.Fatalf("Position = %v", err)
	}
	return func(events ...*event.Event) *node.Unit {
		u := &node.Unit{Stream: "readings", After: at, Last: at, Events: events}
		u.Last.Ms++
		at = u.Last
		return u
	}
}

func write(t testing.TB, s *Sink, u *node.Unit) {
	t.Helper()
	if err := s.Write(context.Background(), u); err != nil {
		t.Fatalf("Write = %v", err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantFatal(t testing.TB, cfg Config, part string) {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if s != nil {
		_ = s.Close()
	}
	if !errors.Is(err, ErrForeign) && !strings.Contains(errorText(err), "damaged") || node.ClassOf(err) != node.Fatal || !strings.Contains(errorText(err), part) {
		t.Errorf("Open = %v (%s), want a fatal error that speaks of %q", err, node.ClassOf(err), part)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func record(fields ...event.Field) *event.Event {
	e := reading(1)
	e.Record = &event.Record{Fields: fields}
	return e
}

func TestLines(t *testing.T) {
	id := reading(1).ID.String()
	text := func(s string) event.Field { return event.Field{Name: "v", Value: event.String(s)} }
	tests := []struct {
		name   string
		change func(*Options)
		field  event.Field
		want   string
	}{
		{"a whole record as JSON", func(o *Options) { o.Format, o.Columns = JSONLines, nil }, event.Field{Name: "v", Value: event.Decimal("1.50")}, `{"event_id":"` + id + `","v":1.50}`},
		{"columns as JSON", func(o *Options) { o.Format = JSONLines }, text("=1+1"), `{"event_id":"` + id + `","v":"=1+1"}`},
		{"no id", func(o *Options) { o.Format, o.EventID = JSONLines, new(bool) }, text("a"), `{"v":"a"}`},
		{"csv quotes", nil, text("a,\"b\"\nc"), id + `,"a,""b""` + "\nc\""},
		{"another delimiter", func(o *Options) { o.Delimiter = ";" }, text("a,b;c"), id + `;"a,b;c"`},
		{"a time", nil, event.Field{Name: "v", Value: event.Time(0)}, id + `,1970-01-01T00:00:00.000Z`},
		{"a missing value is empty", nil, event.Field{Name: "other", Value: event.Int(1)}, id + `,`},
		{"a formula is escaped", nil, text("=cmd|'/c calc'!A1"), id + `,'=cmd|'/c calc'!A1`},
		{"at, plus, minus and tabs too", nil, text("@SUM(A1)"), id + `,'@SUM(A1)`},
		{"a formula behind a line end", nil, text("\n=1"), id + ",\"'\n=1\""},
		{"a negative number is none", nil, event.Field{Name: "v", Value: event.Decimal("-1.5")}, id + `,-1.5`},
		{"nor is one as text", nil, text("-1.5"), id + `,-1.5`},
		{"formulas kept", func(o *Options) { o.Formulas = Keep }, text("=1+1"), id + `,=1+1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := NewOptions()
			o.Path, o.Format, o.Columns = "x", CSV, []Column{{Name: "v"}}
			if tt.change != nil {
				tt.change(o)
			}
			enc, err := newEncoder(o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := enc.lines([]*event.Event{record(tt.field)})
			if err != nil || string(got) != tt.want+"\n" {
				t.Errorf("line %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestRejects(t *testing.T) {
	o := NewOptions()
	enc, err := newEncoder(o)
	if err != nil {
		t.Fatal(err)
	}
	bare := reading(1)
	bare.Record = nil
	_, err = enc.lines([]*event.Event{reading(0), bare, record(event.Field{Name: IDField, Value: event.Int(1)})})
	rejected, ok := errors.AsType[*node.RejectedError](err)
	if !ok || len(rejected.Rejects) != 2 || rejected.Rejects[0].Code != "no_record" || rejected.Rejects[1].Code != "reserved_name" {
		t.Errorf("lines = %v", err)
	}
}

func TestOptionsCheck(t *testing.T) {
	bad := Options{
		Name: "../x", Format: "xml", Delimiter: "\"", Formulas: "run", RotateBytes: 1, RotateEvery: time.Millisecond,
		Columns: []Column{{Name: "event_id"}, {Name: "a", From: "1 +"}, {Name: "a"}, {}},
	}
	var fields []string
	for _, e := range bad.Check() {
		fields = append(fields, e.Field)
	}
	want := "path name format formulas delimiter rotate_bytes rotate_every columns[0].name columns[1].from columns[2].name columns[3].name"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("Check complains of %s\nwant %s", got, want)
	}
	o := NewOptions()
	o.Path, o.Format = "x", CSV
	if errs := o.Check(); len(errs) != 1 || errs[0].Field != "columns" {
		t.Errorf("csv without columns: %v", errs)
	}
}

// TestRotatesByTime lets a sink without events finish its file at the full hour.
func TestRotatesByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t.TempDir(), CSV)
		cfg.RotateEvery = time.Hour
		s, err := Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		next := begin(t, s)
		time.Sleep(10 * time.Minute)
		write(t, s, next(reading(1)))
		time.Sleep(49 * time.Minute)
		write(t, s, next(reading(2)))
		if files := filesIn(t, cfg.Path); len(files) != 1 || !strings.HasSuffix(files[0], ".part") {
			t.Errorf("before the hour: %v", files)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		files := filesIn(t, cfg.Path)
		if len(files) != 1 || filepath.Base(files[0]) != "out-20000101T001000Z-000001.csv" || len(idsOf(t, files[0])) != 2 {
			t.Errorf("after the hour: %v", files)
		}
		write(t, s, next(reading(3)))
		if files := filesIn(t, cfg.Path); len(files) != 2 {
			t.Errorf("after another line: %v", files)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOtherHeaderBeginsAnotherFile changes the columns between two runs.
func TestOtherHeaderBeginsAnotherFile(t *testing.T) {
	cfg := config(t.TempDir(), CSV)
	s := open(t, cfg)
	write(t, s, begin(t, s)(reading(1)))
	_ = s.Close()
	cfg.Columns = cfg.Columns[:2]
	s = open(t, cfg)
	write(t, s, begin(t, s)(reading(2)))
	_ = s.Close()
	cfg.Format = JSONLines
	s = open(t, cfg)
	write(t, s, begin(t, s)(reading(3)))
	files := filesIn(t, cfg.Path)
	if len(files) != 3 || !strings.HasPrefix(read(t, files[1]), "event_id,device,value\n") || filepath.Ext(strings.TrimSuffix(files[2], ".part")) != ".jsonl" {
		t.Errorf("files %v", files)
	}
}

func TestReplaysHaveTheirOwnFolder(t *testing.T) {
	cfg := config(t.TempDir(), JSONLines)
	s := open(t, cfg)
	write(t, s, begin(t, s)(reading(1)))
	cfg.Generation = "trial-1"
	again := open(t, cfg)
	write(t, again, begin(t, again)(reading(1)))
	if got := filesIn(t, filepath.Join(cfg.Path, "trial-1")); len(got) != 1 || len(filesIn(t, cfg.Path)) != 2 {
		t.Errorf("files %v and %v", got, filesIn(t, cfg.Path))
	}
}

// TestPassingLog lets a position of an earlier process's log be none.
func TestPassingLog(t *testing.T) {
	cfg := config(t.TempDir(), JSONLines)
	s := open(t, cfg)
	begin(t, s)
	fresh := event.Position{Epoch: laneStart.Epoch + 1, Ms: 9}
	if at, err := s.Position(t.Context(), "readings", 0, fresh); err != nil || at != laneStart {
		t.Errorf("Position = %s, %v; want the one that is there", at, err)
	}
	cfg.Passing = true
	if at, err := open(t, cfg).Position(t.Context(), "readings", 0, fresh); err != nil || at != fresh {
		t.Errorf("Position with a passing log = %s, %v; want %s", at, err, fresh)
	}
}

func TestForeignFiles(t *testing.T) {
	cfg := config(t.TempDir(), JSONLines)
	s := open(t, cfg)
	write(t, s, begin(t, s)(reading(1)))
	_ = s.Close()
	other := cfg
	other.Pipeline = "other"
	wantFatal(t, other, "another path or name")
	part, position := filesIn(t, cfg.Path)[0], filepath.Join(cfg.Path, ".out.position")
	lines := read(t, part)
	if err := os.WriteFile(part, []byte(lines[:10]), 0o644); err != nil {
		t.Fatal(err)
	}
	wantFatal(t, cfg, "are delivered")
	if err := os.WriteFile(part, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(position, []byte("00000000 {}\n00000000 {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantFatal(t, cfg, "damaged")
	if err := os.Remove(position); err != nil {
		t.Fatal(err)
	}
	wantFatal(t, cfg, "put that back")
}

// TestCutPosition cuts the position file at each of its bytes: the last whole entry
// counts, and what it does not speak of goes from the lines.
func TestCutPosition(t *testing.T) {
	cfg := config(t.TempDir(), JSONLines)
	s := open(t, cfg)
	next := begin(t, s)
	for i := range 3 {
		write(t, s, next(reading(i)))
	}
	_ = s.Close()
	position, part := filepath.Join(cfg.Path, ".out.position"), filesIn(t, cfg.Path)[0]
	entries, lines := read(t, position), read(t, part)
	first := strings.Index(entries, "\n") + 1
	for cut := first; cut <= len(entries); cut += 7 {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, ".out.position"), []byte(entries[:cut]), 0o644),
			os.WriteFile(filepath.Join(dir, filepath.Base(part)), []byte(lines), 0o644)); err != nil {
			t.Fatal(err)
		}
		cut := cfg
		cut.Path = dir
		s := open(t, cut)
		at, err := s.Position(t.Context(), "readings", 0, laneStart)
		if err != nil {
			t.Fatal(err)
		}
		u := &node.Unit{Stream: "readings", After: at, Last: event.Position{Epoch: at.Epoch, Ms: 99}}
		for i := int(at.Ms - laneStart.Ms); i < 3; i++ {
			u.Events = append(u.Events, reading(i))
		}
		write(t, s, u)
		_ = s.Close()
		if got := read(t, filepath.Join(dir, filepath.Base(part))); got != lines {
			t.Fatalf("cut: the file holds %q, want %q", got, lines)
		}
	}
}

// TestPositionFileStaysSmall writes more entries than one file may hold.
func TestPositionFileStaysSmall(t *testing.T) {
	s := open(t, config(t.TempDir(), JSONLines))
	next := begin(t, s)
	s.book.size = maxBook - 100 // as after thousands of units; the file has a hole there
	if err := s.book.f.Truncate(s.book.size); err != nil {
		t.Fatal(err)
	}
	write(t, s, next(reading(1)))
	if size, err := sizeOf(s.book.path); err != nil || size > 4096 {
		t.Errorf("the position file has %d bytes, %v", size, err)
	}
	write(t, s, next(reading(2)))
}

// TestFaultDiskFull fills the disk under a sink, which waits, and goes on.
func TestFaultDiskFull(t *testing.T) {
	disk := testserver.SmallDisk(t, 4<<20)
	cfg := config(filepath.Join(disk.Dir, "out"), CSV)
	cfg.RotateBytes = 1 << 20
	s := open(t, cfg)
	next := begin(t, s)
	var all []*event.Event
	unit := func() *node.Unit {
		var events []*event.Event
		for range 500 {
			events = append(events, reading(len(all)))
			all = append(all, events[len(events)-1])
		}
		return next(events...)
	}
	write(t, s, unit())
	disk.Fill(8 << 10)
	u := unit()
	for range 5 {
		if err := s.Write(t.Context(), u); node.ClassOf(err) != node.Away || s.Status().Ready {
			t.Fatalf("Write on a full disk = %v (%s), want away", err, node.ClassOf(err))
		}
	}
	disk.Free()
	write(t, s, u)
	write(t, s, unit())
	ids := idsOf(t, filesIn(t, cfg.Path)[0])
	for i, e := range all {
		if i >= len(ids) || ids[i] != e.ID {
			t.Fatalf("%d lines of %d, the first wrong one is line %d", len(ids), len(all), i)
		}
	}
}
