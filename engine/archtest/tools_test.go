package archtest

import (
	"bytes"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/testserver"
)

func TestFilesAreFormatted(t *testing.T) {
	for _, s := range tree(t) {
		want, err := format.Source([]byte(s.text))
		if err != nil {
			t.Fatalf("%s: %v", s.path, err)
		}
		if string(want) != s.text {
			t.Errorf("%s: gofmt would change it", s.path)
		}
	}
}

func TestScriptsPassShellcheck(t *testing.T) {
	program := testserver.Require(t, "shellcheck")
	files, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range files {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil || !strings.HasSuffix(path, ".sh") && !bytes.HasPrefix(text, []byte("#!/bin/sh\n")) && !bytes.HasPrefix(text, []byte("#!/usr/bin/env bash\n")) {
			continue
		}
		checked++
		if out, err := exec.Command(program, filepath.Join(root, path)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
	if checked == 0 {
		t.Error("no script found, not even .ci/run")
	}
}
