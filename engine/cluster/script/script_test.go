package script

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

var update = flag.Bool("update", false, "write the golden files again")

// plants reads the project's cluster file with some words replaced.
func plants(t *testing.T, edits ...string) *topology.Topology {
	t.Helper()
	data, err := os.ReadFile("../../../pipelines/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	top, diags := topology.Parse("cluster.yaml", []byte(strings.NewReplacer(edits...).Replace(string(data))), nil)
	if top == nil {
		t.Fatal(diags)
	}
	return top
}

const withTLS = `profile: mirrored
tls:
  linux: { authority: /etc/rabbitmq/ca.pem, certificate: /etc/rabbitmq/node.pem, key: /etc/rabbitmq/node.key }
  windows: { authority: C:/certs/ca.pem, certificate: C:/certs/node.pem, key: C:/certs/node.key }
`

func sets(t *testing.T) map[string]*topology.Topology {
	return map[string]*topology.Topology{
		"quorum":   plants(t),
		"mirrored": plants(t, "profile: quorum\n", withTLS, ", address: 192.0.2.11", ", storage: ram", ", address: 192.0.2.10", "", "192.0.2.12", "192.0.2.12"),
	}
}

func TestScriptsAreAsCommitted(t *testing.T) {
	for name, top := range sets(t) {
		files, err := Files(top)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 4*3+3 {
			t.Errorf("%s: %d files", name, len(files))
		}
		for _, f := range files {
			if strings.HasPrefix(f.Name, "WIN3/") || strings.HasPrefix(f.Name, "WIN4/") {
				continue // as WIN2
			}
			golden(t, filepath.Join("testdata", name, filepath.FromSlash(f.Name)), f.Text)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (write it again with -update) is now:\n%s", file, got)
	}
}

func TestShellScriptsPassShellcheck(t *testing.T) {
	program := testserver.Require(t, "shellcheck")
	for name, top := range sets(t) {
		for i := range top.Nodes { // every script in sh, too
			top.Nodes[i].OS = topology.Linux
		}
		files, err := Files(top)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			cmd := exec.Command(program, "--shell=sh", "--norc", "-")
			cmd.Stdin = strings.NewReader(f.Text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, f.Name, err, out)
			}
		}
	}
}

// TestPowerShellIsBalanced checks what can be checked without PowerShell, which
// Debian does not have: quotes, brackets and here-strings close where they must.
// Where pwsh is installed, its own parser reads the scripts.
func TestPowerShellIsBalanced(t *testing.T) {
	for name, top := range sets(t) {
		files, err := Files(top)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name, ".ps1") {
				continue
			}
			if why := unbalanced(f.Text); why != "" {
				t.Errorf("%s: %s: %s", name, f.Name, why)
			}
			if strings.Contains(strings.ReplaceAll(f.Text, "\r\n", ""), "\n") {
				t.Errorf("%s: %s: a line ends without a carriage return", name, f.Name)
			}
			if pwsh, err := exec.LookPath("pwsh"); err == nil {
				parse(t, pwsh, f)
			}
		}
	}
	for _, broken := range []string{"if ($x) {", "\"open", "@'\r\nnever closed", "foo)", "'it''s", "x = @'\r\n'@ )"} {
		if unbalanced(broken) == "" {
			t.Errorf("%q passes", broken)
		}
	}
}

func parse(t *testing.T, pwsh string, f File) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.ps1")
	if err := os.WriteFile(file, []byte(f.Text), 0o600); err != nil {
		t.Fatal(err)
	}
	const check = `$e = $null; [void][System.Management.Automation.Language.Parser]::ParseFile($args[0], [ref]$null, [ref]$e); $e; exit $e.Count`
	if out, err := exec.Command(pwsh, "-NoProfile", "-Command", "& {"+check+"}", file).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", f.Name, err, out)
	}
}

// unbalanced says what does not close in a PowerShell text, "" if everything does.
func unbalanced(text string) string {
	var open []rune
	closing := map[rune]rune{')': '(', ']': '[', '}': '{'}
	in := '\n' // what the character stands in: a quote, a here-string (h), a comment (#), none
	runes := []rune(text)
	for i, r := range runes {
		next := func(s string) bool { return strings.HasPrefix(string(runes[i:min(len(runes), i+len(s))]), s) }
		switch {
		case in == 'h':
			if next("\n'@") {
				in = '@'
			}
		case in == '@': // the end of a here-string: its quote is none
			if r == '\'' {
				in = '\n'
			}
		case in == '#':
			if r == '\n' {
				in = '\n'
			}
		case in == '"' || in == '\'':
			if r == in && (i == 0 || runes[i-1] != '`') {
				in = '\n'
			}
		case next("@'\r"):
			in = 'h'
		case r == '"' || r == '\'' || r == '#':
			in = r
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case closing[r] != 0:
			if len(open) == 0 || open[len(open)-1] != closing[r] {
				return "a bracket closes that is not open: " + string(r)
			}
			open = open[:len(open)-1]
		}
	}
	if in != '\n' && in != '#' {
		return "a quote is not closed: " + string(in)
	}
	if len(open) > 0 {
		return "a bracket is not closed: " + string(open)
	}
	return ""
}

func TestScriptsHoldNoSecret(t *testing.T) {
	top := plants(t, "${CLUSTER_PASSWORD:guest}", "hunter2", "${MILLRACE_PASSWORD:}", "hunter2")
	files, err := Files(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.Contains(f.Text, "hunter2") {
			t.Errorf("%s shows a password", f.Name)
		}
	}
}

func TestPartitionHandlingIsLeftOutWhereItHasNoEffect(t *testing.T) {
	top := plants(t, `version: "3.10"`, `version: "4.3"`, "partition_handling: pause_minority\n", "")
	if conf := Conf(top, top.Replica()); strings.Contains(conf, "partition") {
		t.Error(conf)
	}
}
