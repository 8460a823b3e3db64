package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errShare = errors.New("over its share of time")

// lane runs NAME SHARE -- CMD... and prints how long it took. A command that
// passes its share is ended: what comes after it needs the time.
func lane(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 4 || args[2] != "--" {
		return errors.New("lane wants NAME SHARE -- CMD")
	}
	name := args[0]
	share, err := time.ParseDuration(args[1])
	if err != nil {
		return fmt.Errorf("lane %s: share: %w", name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, share, errShare)
	defer cancel()
	start := time.Now()
	cmd := command(ctx, args[3:]...)
	cmd.Stdout = out
	err = cmd.Run()
	took := time.Since(start).Round(100 * time.Millisecond)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		fmt.Fprintf(out, "lane %-8s FAIL  %s of %s: %v\n", name, took, share, err)
		return errQuiet
	}
	fmt.Fprintf(out, "lane %-8s ok    %s of %s\n", name, took, share)
	return nil
}
