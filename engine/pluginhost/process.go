package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// process is one plugin process. Its standard input is a pipe that the kernel
// closes when the host dies, however it dies; the plugin ends then.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File // the host's end; nothing is ever written
	stdout *os.File
	stderr *os.File
	theirs []*os.File // the plugin's ends, closed here after the start

	limits  limits
	overrun atomic.Pointer[overrun] // why the guard ended it

	attached bool // somebody else has started it; there are no pipes, and Kill lets go of it
	once     sync.Once
	pid      atomic.Int64 // 0 until started
	killed   atomic.Bool
	done     chan struct{} // closed when the process has ended and err is set
	err      error
}

var _ runner.Runner = (*process)(nil)

// pipeGrace is how long output of a process that has ended is still read; a
// grandchild might hold the pipe open for ever.
const pipeGrace = 200 * time.Millisecond

func newProcess(prog *registry.Program, l limits) (*process, error) {
	p := &process{cmd: exec.Command(prog.Exec), limits: l, done: make(chan struct{})}
	p.cmd.Args[0] = prog.Path
	p.cmd.Dir = os.TempDir()
	p.cmd.SysProcAttr = ownGroup()
	var files [6]*os.File
	for i := 0; i < len(files); i += 2 {
		var err error
		if files[i], files[i+1], err = os.Pipe(); err != nil {
			closeAll(files[:])
			return nil, fmt.Errorf("pipe for plugin: %w", err)
		}
	}
	p.cmd.Stdin, p.stdin = files[0], files[1]
	p.stdout, p.cmd.Stdout = files[2], files[3]
	p.stderr, p.cmd.Stderr = files[4], files[5]
	p.theirs = []*os.File{files[0], files[3], files[5]}
	return p, nil
}

// inherit gives the process file, which it has under the number that is returned.
func (p *process) inherit(file *os.File) int {
	p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, file)
	p.theirs = append(p.theirs, file)
	return 2 + len(p.cmd.ExtraFiles)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing was written
		}
	}
}

// Start starts the process and the goroutine that waits for its end.
func (p *process) Start(context.Context) error {
	err := errNotStarted
	p.once.Do(func() { err = p.start() })
	return err
}

var errNotStarted = errors.New("the process was given up before its start")

func (p *process) start() error {
	err := p.cmd.Start()
	closeAll(p.theirs)
	if err != nil {
		p.end(err)
		closeAll([]*os.File{p.stdin, p.stdout, p.stderr})
		return err
	}
	pid := p.cmd.Process.Pid
	p.pid.Store(int64(pid))
	err = p.limits.apply(pid)
	if p.killed.Load() || err != nil {
		killGroup(pid)
	}
	go p.wait()
	return err
}

// release waits for the end; a process that was never started never will be.
func (p *process) release() {
	p.once.Do(func() {
		closeAll(append(p.theirs, p.stdin, p.stdout, p.stderr))
		p.end(errNotStarted)
	})
	<-p.done
}

func (p *process) end(err error) {
	p.err = err
	close(p.done)
}

func (p *process) wait() {
	ended := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { p.guard(ended) })
	err := p.cmd.Wait()
	close(ended)
	guard.Wait()
	killGroup(int(p.pid.Load())) // what it may have started
	limit := time.Now().Add(pipeGrace)
	_ = p.stdout.SetReadDeadline(limit) // a pipe has deadlines; if not, reads end with the pipe
	_ = p.stderr.SetReadDeadline(limit)
	_ = p.stdin.Close()
	p.end(err)
}

// fate returns how the process ended, "" while it runs.
func (p *process) fate() string {
	select {
	case <-p.done:
	default:
		return ""
	}
	if o := p.overrun.Load(); o != nil {
		return o.String()
	}
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// Kill ends the process and all of its group at once, also a stopped one.
func (p *process) Kill(context.Context) error {
	if first := !p.killed.Swap(true); p.attached {
		if first {
			p.end(errDetached)
		}
		return nil
	}
	select {
	case <-p.done: // its number may belong to another process by now
	default:
		if pid := p.pid.Load(); pid != 0 {
			killGroup(int(pid))
		}
	}
	return nil
}

// Wait blocks until the process has ended.
func (p *process) Wait(context.Context) error {
	<-p.done
	return p.err
}

// Stdout is where the handshake comes from.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr is empty for go-plugin: the host reads the plugin's log itself.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the program's path.
func (p *process) Name() string { return p.cmd.Args[0] }

// ID is the process id.
func (p *process) ID() string {
	if pid := p.pid.Load(); pid != 0 {
		return strconv.FormatInt(pid, 10)
	}
	return ""
}

// Diagnose has nothing to add to the handshake's error.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost keeps addresses as they are: both sides see the same files.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin keeps addresses as they are.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
