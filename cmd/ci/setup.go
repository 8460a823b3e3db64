package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// packages are the Debian packages that tests need beyond Go.
var packages = []string{
	"redis-server", "rabbitmq-server", "mariadb-server", "mosquitto", "chromium",
	"gcc", "libc6-dev", "shellcheck", "python3-grpcio", "iproute2",
}

// setup installs what is missing of packages and leaves no service running.
func setup(ctx context.Context, out io.Writer) error {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		fmt.Fprintf(out, "setup: not a Debian system; tests that miss a program are skipped. Wanted: %s\n",
			strings.Join(packages, " "))
		return nil
	}
	lacking := missing(ctx, packages)
	if len(lacking) == 0 {
		fmt.Fprintln(out, "setup: all Debian packages are installed")
		return nil
	}
	fmt.Fprintf(out, "setup: installing %s\n", strings.Join(lacking, " "))
	before := daemons()
	restore, err := forbidServices(ctx)
	if err != nil {
		return fmt.Errorf("setup: keep services from starting: %w", err)
	}
	err = errors.Join(install(ctx, out, lacking), restore())
	endDaemons(ctx, out, before)
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	if lacking = missing(ctx, packages); len(lacking) > 0 {
		return fmt.Errorf("setup: still missing: %s", strings.Join(lacking, " "))
	}
	return nil
}

// missing returns the packages of names that are not installed.
func missing(ctx context.Context, names []string) []string {
	var lacking []string
	for _, name := range names {
		status, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
		if err != nil || string(status) != "installed" {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// install tries with the package lists at hand and refreshes them only if that
// fails, which is how a bare image begins.
func install(ctx context.Context, out io.Writer, names []string) error {
	args := append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, names...)
	if asRoot(ctx, out, args...) == nil {
		return nil
	}
	if err := asRoot(ctx, out, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return asRoot(ctx, out, args...)
}

// asRoot runs a command as root: directly, or through sudo, which may ask for a
// password on a terminal.
func asRoot(ctx context.Context, out io.Writer, args ...string) error {
	if os.Getuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return fmt.Errorf("%s: not root and no sudo: run it by hand", strings.Join(args, " "))
		}
		args = append([]string{"sudo", "--preserve-env=DEBIAN_FRONTEND"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// policyFile is asked by Debian's invoke-rc.d before it starts a service;
// exit status 101 forbids it.
const policyFile = "/usr/sbin/policy-rc.d"

// forbidServices keeps packages from starting services until restore is
// called. A policy that the machine already has is left alone.
func forbidServices(ctx context.Context) (restore func() error, err error) {
	if _, err := os.Lstat(policyFile); err == nil {
		return func() error { return nil }, nil
	}
	f, err := os.CreateTemp("", "policy-rc.d-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := asRoot(ctx, io.Discard, "install", "-m", "755", f.Name(), policyFile); err != nil {
		return nil, err
	}
	return func() error {
		// Also after an interrupt: the file must not stay.
		return asRoot(context.WithoutCancel(ctx), io.Discard, "rm", "-f", policyFile)
	}, nil
}
