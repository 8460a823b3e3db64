package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Up starts what does not run of the cluster and returns once every node sees all
// others running. The nodes outlive the caller; [Cluster.Down] ends them. What
// happens is told to out, one line each.
func (c *Cluster) Up(ctx context.Context, out io.Writer) error {
	mapper, err := c.Mapper(&c.Nodes[0])
	if err != nil {
		return err
	}
	mapper.Env = []string{"HOME=" + c.Dir}
	if err := c.detach(mapper, c.Dir, "epmd"); err != nil {
		return err
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		fmt.Fprintf(out, "starting %s\n", n.Erlang)
		if err := c.detach(c.Command(n, "rabbitmq-server"), c.NodeDir(n), "server"); err != nil {
			return err
		}
		if i > 0 && i < len(c.Nodes)-1 {
			continue // the first is there to be joined; the last waits for all
		}
		if err := c.await(ctx, n, i+1); err != nil {
			return err
		}
	}
	return nil
}

// detach starts a command in a session of its own, its output in a file, unless it
// runs already. Its process id is kept beside the output.
func (c *Cluster) detach(cmd *exec.Cmd, dir, name string) error {
	pidFile := filepath.Join(dir, name+".pid")
	if pid := alive(pidFile); pid != 0 {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	pid := cmd.Process.Pid
	began, err := born(pid)
	go cmd.Wait() //nolint:errcheck // so that alive can tell; the child outlives the caller
	if err != nil {
		return fmt.Errorf("start %s: %w; what it said is in %s", name, err, log.Name())
	}
	return os.WriteFile(pidFile, fmt.Appendf(nil, "%d %s\n", pid, began), 0o600)
}

// alive returns the process id in a file if that process is still the one that was
// started here, 0 otherwise: the system may have given the number to another.
func alive(pidFile string) int {
	var pid int
	var began string
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &pid, &began); err != nil {
		return 0
	}
	if now, err := born(pid); err != nil || now != began {
		return 0
	}
	return pid
}

// born is when a process that has not ended was started, in clock ticks after the
// machine was (field 22 of /proc/PID/stat, see proc_pid_stat(5)). With the number it
// names a process for good; its environment would not: while a process takes on a
// new program (exec), it has none to show.
func born(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	name := bytes.LastIndexByte(text, ')') // the second field; it may hold spaces
	fields := strings.Fields(string(text[name+1:]))
	if name < 0 || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("process %d is no more", pid)
	}
	return fields[19], nil
}

// await waits until n sees at least want nodes running.
func (c *Cluster) await(ctx context.Context, n *Node, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		running, err := c.running(ctx, n)
		if err == nil && running >= want {
			return nil
		}
		if alive(filepath.Join(c.NodeDir(n), "server.pid")) == 0 {
			return fmt.Errorf("%s has ended while starting:\n%s", n.Erlang, c.lastWords(n))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s sees %d of %d nodes running: %w\n%s", n.Erlang, running, want, errors.Join(err, context.Cause(ctx)), c.lastWords(n))
		case <-tick.C:
		}
	}
}

// lastWords is the end of what a node has printed.
func (c *Cluster) lastWords(n *Node) string {
	text, _ := os.ReadFile(filepath.Join(c.NodeDir(n), "server.log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// Down stops every node and removes the folder.
func (c *Cluster) Down(ctx context.Context, out io.Writer) error {
	for i := range c.Nodes {
		n := &c.Nodes[len(c.Nodes)-1-i]
		if err := c.Stop(ctx, n); err != nil {
			return err
		}
		fmt.Fprintf(out, "stopped %s\n", n.Erlang)
	}
	if err := c.end(ctx, filepath.Join(c.Dir, "epmd.pid")); err != nil {
		return err
	}
	return os.RemoveAll(c.Dir)
}

// Stop ends one node in good order and waits until it is gone. Its data stays.
func (c *Cluster) Stop(ctx context.Context, n *Node) error {
	return c.end(ctx, filepath.Join(c.NodeDir(n), "server.pid"))
}

// Kill ends one node as a power switch would.
func (c *Cluster) Kill(ctx context.Context, n *Node) error {
	file := filepath.Join(c.NodeDir(n), "server.pid")
	if pid := alive(file); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s: %w", n.Erlang, err)
		}
	}
	return c.end(ctx, file)
}

// Start runs a stopped node again and returns once it sees another one, or itself
// if it is the only one.
func (c *Cluster) Start(ctx context.Context, n *Node) error {
	if err := c.detach(c.Command(n, "rabbitmq-server"), c.NodeDir(n), "server"); err != nil {
		return err
	}
	return c.await(ctx, n, min(2, len(c.Nodes)))
}

// end asks a process to end, kills it after 30 s, and waits.
func (c *Cluster) end(ctx context.Context, pidFile string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		pid := alive(pidFile)
		if pid == 0 {
			return nil
		}
		switch i {
		case 0:
			_ = syscall.Kill(pid, syscall.SIGTERM)
		case 600:
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
