package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one running child. Its done channel closes once it has been
// reaped; err is readable after that.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done closes
}

// launch starts cmd in a process group of its own. The kernel kills the child
// when the thread that forked it ends, so that thread is held by a goroutine
// that lives exactly as long as the child does.
func launch(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// running reports whether the child has not been reaped yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig to the child alone.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to pid %d: %w", sig, p.pid(), err)
	}
	return nil
}

// stop asks with SIGTERM and kills what is still there after grace.
func (p *process) stop(grace time.Duration) {
	_ = p.signal(syscall.SIGCONT)
	_ = p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	p.kill()
}

// kill ends the child, its process group and every descendant that has moved to
// a session of its own, and returns when all of them are gone.
func (p *process) kill() {
	family := descendants(p.pid())
	if p.running() {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	<-p.done
	for _, f := range family {
		f.end()
	}
}

// member identifies a process beyond its pid, which the kernel may hand out
// again: the start time is in clock ticks since boot.
type member struct {
	pid   int
	start string
}

// end kills m unless it has gone by itself, and waits until it is gone.
func (m member) end() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; m.alive(); n++ {
		if n == 50 { // most children leave with their parent's pipe
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
		if n == 5000 {
			return
		}
		<-tick.C
	}
}

func (m member) alive() bool {
	st, err := readStat(m.pid)
	return err == nil && st.start == m.start && st.state != "Z"
}

type procStat struct {
	ppid         int
	state, start string
}

// readStat parses /proc/PID/stat (proc(5)); the command name in parentheses
// may hold spaces, so fields are counted from its end.
func readStat(pid int) (procStat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("stat of pid %d: %d fields", pid, len(fields))
	}
	ppid, err := strconv.Atoi(fields[1])
	return procStat{ppid: ppid, state: fields[0], start: fields[19]}, err
}

// descendants lists the processes below pid, nearest first.
func descendants(pid int) []member {
	children := map[int][]member{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(id); err == nil {
			children[st.ppid] = append(children[st.ppid], member{id, st.start})
		}
	}
	family := slices.Clone(children[pid])
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i].pid]...)
	}
	return family
}
