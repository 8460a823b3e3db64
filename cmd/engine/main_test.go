package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"engine": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(env *testscript.Env) error { env.Setenv("ROOT", root+"/../.."); return nil },
	})
}

// TestEveryCommandIsDocumented walks all commands: each has a short and a long
// text and an example that names it, and takes --json.
func TestEveryCommandIsDocumented(t *testing.T) {
	for _, cmd := range newRootCmd().Commands() {
		checkDocumented(t, cmd)
	}
}

func checkDocumented(t *testing.T, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkDocumented(t, sub)
	}
	if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.HasSubCommands() {
		return
	}
	if cmd.Short == "" || cmd.Long == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
		t.Errorf("%s: short %q, long %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Long, cmd.Example)
	}
	if cmd.InheritedFlags().Lookup("json") == nil {
		t.Errorf("%s does not take --json", cmd.CommandPath())
	}
	if cmd.Args == nil {
		t.Errorf("%s does not check its arguments", cmd.CommandPath())
	}
}

func TestBrokenOutputIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	if code := run([]string{"schema"}, strings.NewReader(""), brokenWriter{}, &stderr); code != exitFindings {
		t.Errorf("code %d, %s", code, stderr.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }
