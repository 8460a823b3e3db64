package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// engineRun runs the command and returns its exit code and what it printed.
func engineRun(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// clusterOf writes a cluster file whose nodes' management is all at one address.
func clusterOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	text := "kind: cluster\nversion: 1\nname: c\nadmin: { user: boss, password: \"${CLUSTER_PASSWORD}\" }\nnodes:\n"
	for i, name := range []string{"A", "B", "C"} {
		role := "owner"
		if i == 2 {
			role = "replica"
		}
		text += fmt.Sprintf("  - { name: %s, host: %s, node: %s@h, os: linux, role: %s, ports: { management: %s, amqp: %d } }\n", name, u.Hostname(), name, role, u.Port(), i+1)
	}
	text += "queues: [{ name: q, owner: A }]\n"
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWrongPasswordTellsNothing: exit code 3, and the password is nowhere.
func TestWrongPasswordTellsNothing(t *testing.T) {
	const secret = "hunter2-secret"
	t.Setenv("CLUSTER_PASSWORD", secret)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		http.Error(w, `{"error":"not_authorised","reason":"no `+password+`"}`, http.StatusUnauthorized)
	}))
	defer s.Close()
	file := clusterOf(t, s.URL)
	for _, args := range [][]string{{"verify", file}, {"plan", file}, {"apply", file}, {"drill", "--yes", file}, {"verify", "--json", file}} {
		code, out, errs := engineRun(append([]string{"cluster"}, args...)...)
		if code != exitEnvironment || strings.Contains(out+errs, secret) || !strings.Contains(errs, "refuses the login of boss") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}

// TestNobodyAnswers: exit code 3 from every command that asks.
func TestNobodyAnswers(t *testing.T) {
	t.Setenv("CLUSTER_PASSWORD", "x")
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	file := clusterOf(t, s.URL)
	for _, args := range [][]string{{"verify", "--no-canary", file}, {"plan", file}, {"apply", file}} {
		if code, out, errs := engineRun(append([]string{"cluster"}, args...)...); code != exitEnvironment {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}

// TestClusterReadme runs what the README shows of a cluster on this machine, and a
// drill on it. A cluster whose node was stopped is not sound.
func TestClusterReadme(t *testing.T) {
	testserver.Require(t, "rabbitmq-server")
	commands := strings.Split(strings.TrimSpace(readmeBlocks(t)["test clusterup"]), "\n")
	t.Chdir(t.TempDir())
	t.Cleanup(func() { engineRun("cluster", "down") })
	for i, line := range commands {
		if i == len(commands)-1 {
			drilledHere(t)
		}
		args, ok := strings.CutPrefix(line, "go run ./cmd/engine ")
		does := func() error {
			if code, out, errs := engineRun(strings.Fields(args)...); !ok || code != exitOK {
				return fmt.Errorf("exit code %d\n%s%s", code, out, errs)
			}
			return nil
		}
		if strings.HasPrefix(args, "cluster verify ") { // statistics come late, and its canary has two seconds
			testserver.Eventually(t, 3*time.Minute, line, does)
		} else if err := does(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func drilledHere(t *testing.T) {
	t.Helper()
	const file, ctl = ".task/cluster/cluster.yaml", ".task/cluster/ctl"
	code, out, errs := engineRun("cluster", "drill", "--json", "--yes", "--down", "1s", "--local", ".task/cluster", "--ctl", ctl, file)
	var d drilled
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != exitOK || d.Drill.Confirmed == 0 || len(d.Drill.Lost) > 0 {
		t.Errorf("drill: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if code, out, errs := engineRun("cluster", "drill", "--local", ".task/cluster", file); code != exitConfig && code != exitFindings {
		t.Errorf("a drill that nobody agreed to: exit code %d\n%s%s", code, out, errs)
	}
}
