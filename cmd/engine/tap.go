package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/status"
	"github.com/millrace/millrace/engine/tap"
)

func newTapCmd() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "tap NODE",
		Short: "Show the events that a node of a running engine hands on",
		Long: `Tap shows the events that a node hands on: those of a source, or those in a node's
own stream. Where what a node hands on rests nowhere (inside of a stage, behind a
sink), it shows what the node reads. It looks at the log alone and slows nothing.

Without --from it shows what comes from now on, until Ctrl-C; with --from first what
is there since, and then what comes, unless --to ends it. --where takes an expression
as in pipeline files. With --json each event is printed whole, one JSON object a line.`,
		Example: `  engine tap celsius
  engine tap celsius --from 10m --where 'value > 80 && device == "press-1"'
  engine tap plant1 --from earliest --limit 1 --json`,
		Args: usage(cobra.ExactArgs(1)),
	}
	c := serverFlag(cmd)
	cmd.ValidArgsFunction = c.completeNode
	flags := map[string]*string{}
	for _, f := range []struct{ name, usage string }{
		{"from", "begin with events that reached the log at `TIME` (RFC 3339), so long ago (such as 10m), or at the `earliest`"},
		{"to", "end before events that reached the log at `TIME`"},
		{"where", "only events for which the `EXPRESSION` is true"},
	} {
		flags[f.name] = cmd.Flags().String(f.name, "", f.usage)
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "end after `N` events (default: no limit)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := url.Values{}
		for name, value := range flags {
			if cmd.Flags().Changed(name) {
				q.Set(name, *value)
			}
		}
		if cmd.Flags().Changed("limit") {
			q.Set("limit", strconv.Itoa(limit))
		}
		return c.tap(cmd, args[0], q)
	}
	return cmd
}

// completeNode asks the engine for the ids of its nodes.
func (c *client) completeNode(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var s status.Status
	if len(args) > 0 || c.get(cmd.Context(), http.MethodGet, "/api/v1/status", nil, &s) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, n := range s.Nodes {
		ids = append(ids, n.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// tap prints lines until the engine has no more or the user ends it.
func (c *client) tap(cmd *cobra.Command, node string, q url.Values) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	resp, err := c.open(ctx, http.MethodGet, "/api/v1/tap/"+url.PathEscape(node), q, nil)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer resp.Body.Close()
	fmt.Fprintln(cmd.ErrOrStderr(), plain(resp.Header.Get(tap.Header)))
	p := &tapPrinter{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), raw: wantsJSON(cmd), width: widthOf(cmd.OutOrStdout(), 200)}
	return unlessEnded(ctx, p.print(resp.Body))
}

// unlessEnded returns err, nil if the user has ended the command.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tapPrinter prints the lines of a tap.
type tapPrinter struct {
	out, notes io.Writer
	raw        bool // as they come
	width      int  // of a line for people
}

func (p *tapPrinter) print(body io.Reader) error {
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the tap was cut off: %w (was its output not read, or did the engine end?)", err)
		}
		if err := p.line(line); err != nil {
			return err
		}
	}
}

// tapLine is any line of a tap.
type tapLine struct {
	tap.Event
	tap.Notice
	Error string `json:"error"`
}

func (p *tapPrinter) line(text []byte) error {
	if p.raw {
		if _, err := p.out.Write(text); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if !bytes.HasPrefix(text, []byte(`{"error":`)) {
			return nil
		}
	}
	var l tapLine
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("a line of the tap: %w (another program, or another version?)", err)
	}
	var err error
	switch {
	case l.Error != "" && p.raw:
		fmt.Fprintf(p.notes, "engine: %s\n", plain(l.Error))
		return told(exitFindings)
	case l.Error != "":
		return errors.New(plain(l.Error))
	case l.Notice.Notice != "":
		_, err = fmt.Fprintln(p.notes, shorten(plain(l.Notice.Notice), p.width))
	default:
		_, err = fmt.Fprintln(p.out, shorten(readableEvent(&l.Event), p.width))
	}
	return err
}

// readableEvent puts an event on one line: its time, its key and its content.
func readableEvent(e *tap.Event) string {
	at := e.Time
	if at.IsZero() {
		at = e.Appended
	}
	return strings.Join([]string{at.UTC().Format("2006-01-02T15:04:05.000Z"), shorten(plain(e.Key), 30), contentOf(e)}, "  ")
}

const mostShown = 4096 // bytes of a content that a line can show at all

func contentOf(e *tap.Event) string {
	text := string(e.Record)
	switch {
	case e.Record != nil:
	case e.Payload != nil:
		text = *e.Payload
	default:
		text = fmt.Sprintf("%d bytes, %x", len(e.PayloadB64), e.PayloadB64[:min(len(e.PayloadB64), 64)])
	}
	return plain(text[:min(len(text), mostShown)])
}
