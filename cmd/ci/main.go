// Ci is the helper behind the tasks of this repository: it installs the
// packages that tests need, keeps each lane of tests within its share of time,
// and runs go test so that a skipped test cannot pass unseen. It knows nothing
// of the engine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

const usage = `usage:
  ci setup                       install the Debian packages that tests need
  ci lane NAME SHARE -- CMD...   run CMD, print its time, fail above SHARE (as 8m)
  ci test [-may-skip RE] [-keep FILE] [-without PKG] [-only PKG] [-having PREFIX] -- FLAGS PACKAGES
                                 go test with one line a package and every skip;
                                 of PACKAGES, take those whose tests do not need
                                 PKG, need it, have a name with PREFIX; FILE
                                 keeps the events of go test -json
  ci unchanged -- CMD...         run CMD, fail if a file of the tree is another after
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	if !errors.Is(err, errQuiet) {
		fmt.Fprintln(os.Stderr, "ci:", err)
	}
	stop()
	os.Exit(1)
}

// errQuiet ends the program with a failure that has been printed already.
var errQuiet = errors.New("failed")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		args = []string{""}
	}
	switch args[0] {
	case "setup":
		return setup(ctx, out)
	case "lane":
		return lane(ctx, args[1:], out)
	case "test":
		return test(ctx, args[1:], out)
	case "unchanged":
		return unchanged(ctx, args[1:], out)
	}
	fmt.Fprint(out, usage)
	return fmt.Errorf("unknown command %q", args[0])
}

// command prepares a child in a process group of its own, which ends with ctx:
// SIGTERM to the whole group, SIGKILL ten seconds later.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	ownGroup(cmd)
	return cmd
}
