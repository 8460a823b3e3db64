package doctor

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

// TestReportText compares the text form with testdata/report.txt.
func TestReportText(t *testing.T) {
	r := Report{Findings: []Finding{
		{"file", OK, "charts.yaml: pipeline charts, 10 nodes, 4 lanes, durability strict", nil},
		{"redis log", OK, "127.0.0.1:6379: 7.0.15, master, appendfsync everysec", nil},
		{"redis log", Problem, `appendfsync is "everysec": a power cut loses what was acknowledged`, []string{"redis-cli CONFIG SET appendfsync always", "redis.conf: appendfsync always"}},
		{"amqp plants", Warning, "connect to broker linux2:5672: connection refused", []string{"start it"}},
		{"source plant1", Info, "queue master.plant1: 12 messages, 1 consumer: an engine may be running", nil},
		{"sql store", Unknown, "connect to database: i/o timeout", []string{"start it"}},
		{"plugin celsius", Problem, "scale@^1: there is no version of scale in plugins/bin", []string{"engine plugin build --bin plugins/bin scale"}},
	}}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.txt")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || out.String() != string(want) {
		t.Errorf("written\n%swant\n%s%v", out.String(), want, err)
	}
	if sum := (Report{Findings: r.Findings[:2]}).summary(); sum != "ready to run" {
		t.Errorf("without anything to mend: %q", sum)
	}
}
