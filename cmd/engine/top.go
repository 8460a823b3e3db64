package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/status"
)

// leastInterval keeps a view from asking more than anyone can read.
const leastInterval = 100 * time.Millisecond

func newTopCmd() *cobra.Command {
	var once bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch what the nodes of a running engine do",
		Long: `Top shows what every node takes in and hands on a second and in total, what it
rejected and gave up, how far readers are behind, how full the log is, and why
anything stands still. On a terminal the view is drawn anew until q or Ctrl-C;
elsewhere, with --once or --json, it is printed once, after one interval: rates need
two looks.`,
		Example: `  engine top
  engine top --once
  engine top --json --interval 10s`,
		Args: usage(cobra.NoArgs),
	}
	c := serverFlag(cmd)
	cmd.Flags().BoolVar(&once, "once", false, "print one view and end")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two looks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if interval < leastInterval {
			return configError(fmt.Errorf("--interval %s is below %s", interval, leastInterval))
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		t := &top{client: c, interval: interval}
		if err := t.look(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
		if fd, ok := terminal(cmd.OutOrStdout()); ok && !once && !wantsJSON(cmd) {
			return t.watch(ctx, stop, cmd.InOrStdin(), cmd.OutOrStdout(), fd)
		}
		return unlessEnded(ctx, t.once(ctx, cmd))
	}
	return cmd
}

// top is a view of a running engine. It is used by one goroutine.
type top struct {
	client      *client
	interval    time.Duration
	before, now *status.Status
	problem     string // why now is not newer
}

// look asks for the engine's status.
func (t *top) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(t.interval, 10*time.Second))
	defer cancel()
	var s status.Status
	if err := t.client.get(ctx, http.MethodGet, "/api/v1/status", nil, &s); err != nil {
		return err
	}
	t.before, t.now = t.now, &s
	return nil
}

func (t *top) once(ctx context.Context, cmd *cobra.Command) error {
	if !lifecycle.Sleep(ctx, t.interval) {
		return ctx.Err()
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	v := newTopView(t.before, t.now)
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), v)
	}
	lines := v.draw(widthOf(cmd.OutOrStdout(), math.MaxInt), math.MaxInt)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
	return err
}

// What is written to a terminal besides text (ECMA-48, xterm's private modes).
const (
	screenOn  = "\x1b[?1049h\x1b[?25l\x1b[?7l" // another screen, no cursor, no lines that wrap
	screenOff = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	lineEnd   = "\x1b[K" // clears what is behind it
	clearRest = "\x1b[J"
)

// watch draws the view again and again on the terminal out until ctx ends; end ends
// it when a key says so.
func (t *top) watch(ctx context.Context, end context.CancelFunc, in io.Reader, out io.Writer, fd int) error {
	if keys, ok := terminal(in); ok {
		old, err := term.MakeRaw(keys)
		if err != nil {
			return environmentError(fmt.Errorf("read keys from the terminal: %w", err))
		}
		defer func() { _ = term.Restore(keys, old) }()
		go endAtKey(in, end) // a read of a terminal cannot be ended: it goes with the process
	}
	if _, err := io.WriteString(out, screenOn); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(out, screenOff) }()
	for {
		width, height, err := term.GetSize(fd)
		if err != nil || width < 1 || height < 1 {
			width, height = 80, 24
		}
		if _, err := io.WriteString(out, t.frame(width, height)); err != nil {
			return err
		}
		if !lifecycle.Sleep(ctx, t.interval) {
			return nil
		}
		t.problem = ""
		if err := t.look(ctx); err != nil {
			t.problem = err.Error()
		}
	}
}

// frame returns what draws the view in the place of the one before.
func (t *top) frame(width, height int) string {
	v := newTopView(t.before, t.now)
	v.problem = t.problem
	return home + strings.Join(v.draw(width, height), lineEnd+"\r\n") + lineEnd + clearRest
}

// endAtKey reads keys until one means the end: q, Ctrl-C, Ctrl-D, or no more keys.
func endAtKey(in io.Reader, end context.CancelFunc) {
	defer end()
	key := make([]byte, 1)
	for {
		if n, err := in.Read(key); err != nil {
			return
		} else if n > 0 && strings.ContainsRune("qQ\x03\x04", rune(key[0])) {
			return
		}
	}
}
