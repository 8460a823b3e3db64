package feed

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bodies returns what a file yields, message by message.
func bodies(t *testing.T, f *File, n int, now time.Time) []string {
	t.Helper()
	var out []string
	for range n {
		messages, _, err := f.Next(now)
		if errors.Is(err, io.EOF) {
			return append(out, "EOF")
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(messages[0].Body))
	}
	return out
}

const rows = "\xef\xbb\xbfts,device,value,note\r\n2020-01-01 00:00:00,a,1.50,\"x, \"\"y\"\"\"\r\n2020-01-01 00:00:10,b,-2,007\r\n"

func TestFileShapes(t *testing.T) {
	objects := `{"id":"r1","ts":1600000000000,"v":1.10}` + "\n\n" + `{"id":"r2","ts":1600000001000,"v":2}` + "\n"
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name, file, content string
		o                   FileOptions
		want                []string
	}{
		{"objects pass as they are", "a.jsonl", objects, FileOptions{}, []string{`{"id":"r1","ts":1600000000000,"v":1.10}`, `{"id":"r2","ts":1600000001000,"v":2}`, "EOF"}},
		{"a batch of objects is an array", "a.jsonl", objects, FileOptions{Batch: 5}, []string{`[{"id":"r1","ts":1600000000000,"v":1.10},{"id":"r2","ts":1600000001000,"v":2}]`, "EOF"}},
		{"rows pass as rows", "a.csv", rows, FileOptions{Batch: 2}, []string{"2020-01-01 00:00:00,a,1.50,\"x, \"\"y\"\"\"\n2020-01-01 00:00:10,b,-2,007\n", "EOF"}},
		{"rows become objects with exact numbers", "a.csv", rows, FileOptions{As: FormatJSON}, []string{
			`{"ts":"2020-01-01 00:00:00","device":"a","value":1.50,"note":"x, \"y\""}`, `{"ts":"2020-01-01 00:00:10","device":"b","value":-2,"note":"007"}`, "EOF"}},
		{"the time of sending keeps the form of time", "a.jsonl", objects, FileOptions{TimeField: "ts", Replay: ReplayOptions{Times: Now}},
			[]string{`{"id":"r1","ts":1767323045000,"v":1.10}`, `{"id":"r2","ts":1767323045001,"v":2}`, "EOF"}},
		{"a loop moves times on", "a.csv", rows, FileOptions{TimeField: "ts", Replay: ReplayOptions{Loop: true}}, []string{
			"2020-01-01 00:00:00,a,1.50,\"x, \"\"y\"\"\"\n", "2020-01-01 00:00:10,b,-2,007\n",
			"2020-01-01T00:00:15.000Z,a,1.50,\"x, \"\"y\"\"\"\n", "2020-01-01T00:00:25.000Z,b,-2,007\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Path = write(t, tt.file, tt.content)
			f, err := OpenFile(tt.o)
			if err != nil {
				t.Fatalf("OpenFile: %v", err)
			}
			if got := bodies(t, f, len(tt.want), now); strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestFileMessageIDs(t *testing.T) {
	path := write(t, "a.jsonl", `{"id":"r1"}`+"\n"+`{"id":7}`+"\n"+`{"x":1}`+"\n")
	f, err := OpenFile(FileOptions{Path: path, IDField: "id", Replay: ReplayOptions{Run: "run", Loop: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"r1", "7", "a-run-000003", "a-run-000004"} {
		messages, _, err := f.Next(time.Now())
		if err != nil || messages[0].MessageID != want {
			t.Errorf("message id %q, %v; want %q", messages[0].MessageID, err, want)
		}
	}
}

func TestFileErrorsNameTheirPlace(t *testing.T) {
	tests := []struct {
		name, file, content, want string
		o                         FileOptions
	}{
		{"broken object", "a.jsonl", "{}\n{\"a\":}\n", "line 2", FileOptions{}},
		{"array instead of object", "a.jsonl", "[1]\n", "line 1", FileOptions{}},
		{"ragged row", "a.csv", "a,b\n1\n", "line 2", FileOptions{}},
		{"no records", "a.csv", "a,b\n", "no records", FileOptions{}},
		{"missing time", "a.jsonl", "{\"ts\":1}\n{}\n", "record 2", FileOptions{TimeField: "ts"}},
		{"unreadable time", "a.jsonl", "{\"ts\":\"noon\"}\n", "noon", FileOptions{TimeField: "ts"}},
		{"unknown name", "a.xml", "<a/>", "name the format", FileOptions{}},
		{"times without field", "a.csv", rows, "must be named", FileOptions{Replay: ReplayOptions{Times: Now}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Path = write(t, tt.file, tt.content)
			if _, err := OpenFile(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OpenFile = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
