package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/doctor"
)

// doctorSays runs `engine doctor` with args on a free port.
func doctorSays(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var o, e bytes.Buffer
	code = run(append([]string{"doctor", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// TestDoctorExitCodes: each code has its cause, a problem counts more than silence,
// and the text and the JSON form agree.
func TestDoctorExitCodes(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("kind: pipeline\nversion: 1\nnodes: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Chdir(root)
	const charts, away = "pipelines/charts.yaml", "redis://:hidden-word@127.0.0.1:1/0"
	cases := []struct {
		name, redis string
		args        []string
		code        int
		text        string // part of what is printed
	}{
		{"all embedded", "", []string{charts}, exitOK, "info     redis log"},
		{"a silent server", away, []string{charts}, exitEnvironment, "unknown  redis log"},
		{"a taken address", "", []string{"--timeout", "1s", "--listen", taken.Addr().String(), charts}, exitFindings, "problem  listen"},
		{"both", away, []string{"--timeout", "1s", "--listen", taken.Addr().String(), charts}, exitFindings, "1 problem, 1 unknown"},
		{"a wrong file", "", []string{broken}, exitConfig, `error: missing field "name"`},
		{"no file", "", []string{broken + ".gone"}, exitEnvironment, "no such file"},
		{"no time", "", []string{"--timeout", "0s", charts}, exitConfig, "--timeout 0s: want more than 0"},
		{"no address", "", []string{"--listen", "here", charts}, exitConfig, `--listen "here": want host:port`},
		{"no argument", "", nil, exitConfig, "accepts 1 arg"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("REDIS_URL", c.redis)
			code, out, errs := doctorSays(t, c.args...)
			if code != c.code || !strings.Contains(out+errs, c.text) || strings.Contains(out+errs, "hidden-word") {
				t.Errorf("code %d, want %d and %q in\n%s%s", code, c.code, c.text, out, errs)
			}
			again, object, _ := doctorSays(t, append([]string{"--json"}, c.args...)...)
			var told struct {
				OK       *bool
				Findings []doctor.Finding
			}
			if err := json.Unmarshal([]byte(object), &told); err != nil || told.OK == nil || *told.OK != (code == exitOK) || again != code || strings.Contains(object, "hidden-word") {
				t.Errorf("--json: code %d, %v:\n%s", again, err, object)
			}
			if tables := strings.Contains(out, "  "); tables != (len(told.Findings) > 0) {
				t.Errorf("the text and the JSON differ:\n%s%s", out, object)
			}
		})
	}
}

// TestReadmeDoctor runs the README's command on a free port.
func TestReadmeDoctor(t *testing.T) {
	args, ok := strings.CutPrefix(strings.TrimSpace(readmeBlocks(t)["test doctor"]), "go run ./cmd/engine doctor ")
	t.Chdir(root)
	if code, out, errs := doctorSays(t, strings.Fields(args)...); !ok || code != exitOK {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}
