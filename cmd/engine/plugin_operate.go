package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/pluginhost"
)

const pluginsPath = "/api/v1/plugins"

func newPluginListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Short: "List the programs of a running engine's plugin folder", Args: usage(cobra.NoArgs),
		Long: `Ls lists every program of the folder that the running engine follows: its version,
whether it may run and why not, and the nodes that run it.`,
		Example: `  engine plugin ls
  engine plugin ls --json`,
	}
	c := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var l pluginhost.Listing
		if err := c.get(cmd.Context(), http.MethodGet, pluginsPath, nil, &l); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd.OutOrStdout(), l)
		}
		return printVersions(cmd.OutOrStdout(), l.Versions)
	}
	return cmd
}

func printVersions(out io.Writer, versions []pluginhost.Version) error {
	if len(versions) == 0 {
		_, err := fmt.Fprintln(out, "no plugins")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PLUGIN\tVERSION\tHASH\tSTATE\tNODES\tREASON")
	for _, v := range versions {
		state := string(v.State)
		if v.Deleted {
			state += ", file removed"
		}
		fmt.Fprintf(w, "%s\t%s\t%.8s\t%s\t%s\t%s\n", v.Name, v.Version, v.Hash, state, strings.Join(v.Nodes, " "), oneLine(v.Reason))
	}
	return w.Flush()
}

func newPluginInspectCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect NAME", Short: "Show a plugin's versions, nodes and latest actions", Args: usage(cobra.ExactArgs(1)),
		Long: `Inspect shows which versions of a plugin there are, which nodes run it with what
counts, and what was done about it since the engine started.`,
		Example: "  engine plugin inspect scale",
	}
	c := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in pluginhost.Inspection
		if err := c.get(cmd.Context(), http.MethodGet, pluginsPath+"/"+url.PathEscape(args[0]), nil, &in); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd.OutOrStdout(), in)
		}
		return printInspection(cmd.OutOrStdout(), &in)
	}
	return cmd
}

func printInspection(out io.Writer, in *pluginhost.Inspection) error {
	if err := printVersions(out, in.Versions); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(in.Nodes) > 0 {
		fmt.Fprintln(w, "\nNODE\tWANTS\tRUNS\tPID\tRESTARTS\tEVENTS\tBAD\tREASON")
	}
	for _, n := range in.Nodes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", n.Node, n.Ref, n.Runs, n.PID, n.Restarts, n.Events, n.Bad, oneLine(n.Reason))
	}
	if len(in.Actions) > 0 {
		fmt.Fprintln(w, "\nACTION\tKIND\tVERSION\tSTATE\tOUTCOME")
	}
	for _, a := range in.Actions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Kind, a.Version, a.State, oneLine(a.Text))
	}
	return w.Flush()
}

// operation is one of the commands that change which version runs.
type operation struct {
	*client
	kind     pluginhost.Kind
	noWait   bool
	replace  bool
	lift     bool
	oneWay   bool
	reason   string
	progress io.Writer
}

func newPluginInstallCmd() *cobra.Command {
	o := &operation{kind: pluginhost.Install}
	cmd := o.command("install NAME@VERSION|FILE", "Pin a program of the folder, and run it if it is the highest",
		`Install pins a program that lies in the running engine's plugin folder, without
waiting for the engine to see it. A FILE called NAME@VERSION, built elsewhere, is
copied into the folder first, where the engine runs on this machine. If it is the
highest version that a node allows, it takes the node over lane by lane; a failure
in the trial brings the version before back.`,
		`  engine plugin install scale@1.1.0
  engine plugin install ./dist/scale@1.1.0`)
	cmd.Flags().BoolVar(&o.replace, "replace", false, "accept another content under a version that is pinned already")
	return cmd
}

func newPluginPromoteCmd() *cobra.Command {
	o := &operation{kind: pluginhost.Promote}
	cmd := o.command("promote NAME@VERSION", "Run this version, and hold higher ones",
		`Promote makes the version the one that runs: it is taken out of being held, and
higher versions are held until they are promoted themselves.`,
		"  engine plugin promote scale@1.0.0")
	cmd.Flags().BoolVar(&o.lift, "lift", false, "also out of quarantine")
	cmd.Flags().BoolVar(&o.oneWay, "one-way", false, "also a version whose keyed state the present one cannot read; without a trial")
	return cmd
}

func newPluginRollbackCmd() *cobra.Command {
	o := &operation{kind: pluginhost.Rollback}
	return o.command("rollback NAME", "Go back from the version at work",
		`Rollback ends a trial that is under way. Otherwise it holds the version at work and
runs the highest of the others that may run.`,
		"  engine plugin rollback scale")
}

func newPluginQuarantineCmd() *cobra.Command {
	o := &operation{kind: pluginhost.Quarantine}
	cmd := o.command("quarantine NAME@VERSION", "Never run this program again, unless it is promoted with --lift",
		`Quarantine forbids the present content of a version. A node that runs it goes to
another version; if there is none the quarantine is refused.`,
		"  engine plugin quarantine scale@1.1.0 --reason 'wrong factor for psi'")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for those who come later: `TEXT`")
	return cmd
}

func (o *operation) command(use, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long + "\n\nThe command waits for the outcome: exit code 1 if it was refused or rolled back.", Example: example, Args: usage(cobra.ExactArgs(1))}
	o.client = serverFlag(cmd)
	cmd.Flags().BoolVar(&o.noWait, "no-wait", false, "print the action's id and do not wait for the outcome")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *operation) run(cmd *cobra.Command, target string) error {
	o.progress = cmd.ErrOrStderr()
	if o.kind == pluginhost.Install && filepath.Base(target) != target {
		if err := o.bring(cmd.Context(), target); err != nil {
			return err
		}
		target = filepath.Base(target)
	}
	name, version, _ := strings.Cut(target, "@")
	var a pluginhost.Action
	path := pluginsPath + "/" + url.PathEscape(name) + "/" + string(o.kind)
	if err := o.get(cmd.Context(), http.MethodPost, path, o.values(version), &a); err != nil {
		return err
	}
	if !o.noWait {
		var err error
		if a, err = o.outcome(cmd.Context(), a); err != nil {
			return err
		}
	}
	return o.print(cmd, &a)
}

func (o *operation) values(version string) url.Values {
	q := url.Values{"version": {version}}
	if o.reason != "" {
		q.Set("reason", o.reason)
	}
	for name, on := range map[string]bool{"replace": o.replace, "lift": o.lift, "one_way": o.oneWay} {
		if on {
			q.Set(name, strconv.FormatBool(on))
		}
	}
	return q
}

// bring copies a file into the engine's plugin folder, all at once.
func (o *operation) bring(ctx context.Context, file string) error {
	var l pluginhost.Listing
	if err := o.get(ctx, http.MethodGet, pluginsPath, nil, &l); err != nil {
		return err
	}
	from, err := os.Open(file)
	if err != nil {
		return environmentError(err)
	}
	defer from.Close()
	to, err := os.CreateTemp(l.Dir, ".install-")
	if err != nil {
		return environmentError(fmt.Errorf("%w (does the engine run on another machine? then copy the file into its plugin folder there)", err))
	}
	defer os.Remove(to.Name())
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close()); err != nil {
		return environmentError(err)
	}
	return os.Rename(to.Name(), filepath.Join(l.Dir, filepath.Base(file)))
}

// pluginLook is the pause between two looks at an action.
const pluginLook = 100 * time.Millisecond

// outcome waits for the outcome of a and tells of its states on the way.
func (o *operation) outcome(ctx context.Context, a pluginhost.Action) (pluginhost.Action, error) {
	last := pluginhost.State("")
	for !a.Over() {
		if a.State != last {
			last = a.State
			fmt.Fprintf(o.progress, "%s: %s\n", a.ID, a.State)
		}
		if !lifecycle.Sleep(ctx, pluginLook) {
			return a, ctx.Err()
		}
		if err := o.get(ctx, http.MethodGet, pluginsPath+"/actions/"+url.PathEscape(a.ID), nil, &a); err != nil {
			return a, err
		}
	}
	return a, nil
}

// print prints the action, and is an error unless it did what the command asks for. A
// trial that is ended on request was another command's action.
func (o *operation) print(cmd *cobra.Command, a *pluginhost.Action) error {
	if wantsJSON(cmd) {
		if err := printJSON(cmd.OutOrStdout(), a); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s: %s\n", a.ID, a.State, plain(a.Text))
		for _, n := range a.Nodes {
			fmt.Fprintf(cmd.OutOrStdout(), "  node %s: %s -> %s, %d lanes, each still for %.1f ms at most\n", n.Node, n.From, n.To, n.Lanes, n.PauseMaxMs)
		}
	}
	forward := o.kind == pluginhost.Install || o.kind == pluginhost.Promote
	if a.State == pluginhost.Refused || a.State == pluginhost.RolledBack && forward {
		return told(exitFindings)
	}
	return nil
}
