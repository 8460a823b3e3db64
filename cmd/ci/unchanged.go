package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// unchanged runs -- CMD... and fails if the tree differs afterwards: generated
// files that are committed must be what their generator makes. It compares with
// the tree as it was, committed or not.
func unchanged(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 2 || args[0] != "--" {
		return errors.New("unchanged wants -- CMD")
	}
	before, err := fingerprints(ctx)
	if err != nil {
		return err
	}
	cmd := command(ctx, args[1:]...)
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args[1:], " "), err)
	}
	after, err := fingerprints(ctx)
	if err != nil {
		return err
	}
	changed := differing(before, after)
	if len(changed) > 0 {
		return fmt.Errorf("%s has changed: %s", strings.Join(args[1:], " "), strings.Join(changed, ", "))
	}
	return nil
}

// fingerprints hashes every file that git tracks or would track.
func fingerprints(ctx context.Context) (map[string][32]byte, error) {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	prints := map[string][32]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if err == nil {
			prints[name] = sha256.Sum256(text)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return prints, nil
}

// differing names the files that are in one map only or not the same in both.
func differing(a, b map[string][32]byte) []string {
	changed := map[string]bool{}
	for name, sum := range a {
		if b[name] != sum {
			changed[name] = true
		}
	}
	for name := range b {
		if _, old := a[name]; !old {
			changed[name] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
