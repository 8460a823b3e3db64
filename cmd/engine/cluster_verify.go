package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/cluster/verify"
)

type clusterVerifyFlags struct {
	ctl, facts, cookie string
	noCanary, all      bool
	timeout            time.Duration
}

func newClusterVerifyCmd() *cobra.Command {
	var f clusterVerifyFlags
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that the cluster is as the file says, and healthy",
		Long: `Verify makes 22 checks, C01 to C22: nodes, versions, partitions, alarms, where each
queue's leader and copies are, what could drop messages, who reads, certificates,
clocks, and a canary message through each node to the replica's. It changes nothing
but the canary's own queue, which goes again.

HTTP does not tell cookies and partition handling: --ctl asks the nodes with
rabbitmqctl, which works on a node of the cluster; --facts reads what the nodes'
facts scripts have written.

Exit codes: 0 healthy, 1 findings, 2 the file is wrong, 3 something cannot be told.`,
		Example: `  engine cluster verify --ctl rabbitmqctl pipelines/cluster.yaml
  engine cluster verify --facts facts --json pipelines/cluster.yaml`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return runClusterVerify(cmd, args, f) },
	}
	cmd.Flags().StringVar(&f.ctl, "ctl", "", "`program` to ask the nodes with, such as rabbitmqctl")
	cmd.Flags().StringVar(&f.facts, "facts", "", "`folder` with NODE.facts, written by the facts scripts")
	cmd.Flags().StringVar(&f.cookie, "cookie", "", "`file` with the Erlang cookie that every node must have")
	cmd.Flags().BoolVar(&f.noCanary, "no-canary", false, "send nothing")
	cmd.Flags().BoolVar(&f.all, "all", false, "print the checks that are ok, too")
	timeoutFlag(cmd, &f.timeout)
	return cmd
}

func runClusterVerify(cmd *cobra.Command, args []string, f clusterVerifyFlags) error {
	t, err := loadCluster(cmd, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	r, err := verified(ctx, t, f)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), map[string]any{"ok": r.Status == verify.OK || r.Status == verify.Skipped, "report": r})
	} else {
		err = printReport(cmd.OutOrStdout(), r, f.all)
	}
	if code := verifyCode(r); err == nil && code != exitOK {
		err = told(code)
	}
	return err
}

func verified(ctx context.Context, t *topology.Topology, f clusterVerifyFlags) (verify.Report, error) {
	in, err := gather(ctx, t, f)
	if err != nil {
		return verify.Report{}, err
	}
	return verify.Run(in), nil
}

// gather asks for all that verify judges.
func gather(ctx context.Context, t *topology.Topology, f clusterVerifyFlags) (verify.Input, error) {
	in := verify.Input{NoCanary: f.noCanary}
	if f.cookie != "" {
		cookie, err := os.ReadFile(f.cookie)
		if err != nil {
			return in, environmentError(fmt.Errorf("--cookie: %w", err))
		}
		in.CookieHash = snapshot.CookieHash(cookie)
	}
	s, err := snapshot.Settled(ctx, t, f.timeout)
	if err == nil {
		err = s.Refused()
	}
	if err != nil {
		return in, environmentError(fmt.Errorf("%w (admin: in the cluster file, or CLUSTER_ADMIN and CLUSTER_PASSWORD)", err))
	}
	switch {
	case f.ctl != "" && f.facts != "":
		return in, configError(errors.New("--ctl and --facts: give one of them"))
	case f.ctl != "":
		s.AskFacts(ctx, strings.Fields(f.ctl))
	case f.facts != "":
		s.ReadFacts(f.facts)
	}
	in.Snapshot = s
	if !f.noCanary && s.From != "" {
		in.Canary = fly(ctx, t, f.timeout)
	}
	return in, nil
}

// fly sends a canary through each node to the replica's.
func fly(ctx context.Context, t *topology.Topology, timeout time.Duration) map[string]canary.Result {
	var from []canary.Endpoint
	for i := range t.Nodes {
		from = append(from, endpoint(t, &t.Nodes[i]))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout+2*verify.CanaryLimit)
	defer cancel()
	return canary.Fly(ctx, endpoint(t, t.Replica()), from, 2*verify.CanaryLimit)
}

func endpoint(t *topology.Topology, n *topology.Node) canary.Endpoint {
	e := canary.Endpoint{Node: n.Name, Address: t.AMQP(n), User: t.Admin.User, Password: t.Admin.Password, VHost: t.VHost}
	if t.TLS != nil {
		e.TLS, e.Trust = true, t.TLS.Trust
	}
	return e
}

// verifyCode is the exit code of a report: what is wrong counts more than what
// cannot be told.
func verifyCode(r verify.Report) int {
	switch r.Status {
	case verify.Finding:
		return exitFindings
	case verify.Unknown:
		return exitEnvironment
	}
	return exitOK
}

func printReport(w io.Writer, r verify.Report, all bool) error {
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Status == verify.OK && !all {
			continue
		}
		fmt.Fprintf(&b, "%s %-7s  %s", c.ID, strings.ToUpper(string(c.Status)), c.Title)
		if c.Note != "" {
			fmt.Fprintf(&b, ": %s", c.Note)
		}
		b.WriteString("\n")
		for _, i := range c.Items {
			printItem(&b, i)
		}
	}
	fmt.Fprintf(&b, "cluster %s: %s (", r.Cluster, r.Status)
	for _, s := range []verify.Status{verify.OK, verify.Finding, verify.Unknown, verify.Skipped} {
		fmt.Fprintf(&b, "%d %s", len(r.Fired(s)), s)
		if s != verify.Skipped {
			b.WriteString(", ")
		}
	}
	b.WriteString(")\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// itemWidth bounds a line of a report, in characters.
const itemWidth = 200

func printItem(b *strings.Builder, i verify.Item) {
	fmt.Fprintf(b, "    %s: expected %s\n", shorten(plain(i.Subject), itemWidth), shorten(plain(i.Expected), itemWidth))
	fmt.Fprintf(b, "        seen: %s\n", shorten(plain(i.Seen), itemWidth))
	if i.Mend != "" {
		fmt.Fprintf(b, "        mend: %s\n", shorten(plain(i.Mend), itemWidth))
	}
}

func newClusterHashCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "hash FILE",
		Short: "Print the hash of an Erlang cookie file",
		Long: `Hash prints what RabbitMQ calls the cookie hash, the base64 text of the cookie's
MD5, as nodes write it to their logs when they start and as
rabbitmq-diagnostics erlang_cookie_hash shows it. Equal cookies have equal hashes.`,
		Example: `  engine cluster hash /var/lib/rabbitmq/.erlang.cookie`,
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cookie, err := os.ReadFile(args[0])
			if err != nil {
				return environmentError(err)
			}
			hash := snapshot.CookieHash(cookie)
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), map[string]any{"ok": true, "hash": hash})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash)
			return err
		},
	}
}
