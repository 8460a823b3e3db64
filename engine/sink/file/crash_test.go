package filesink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Environment of a child process, which is this test binary again: it writes the
// journal from where its sink stands until it is killed or done.
const (
	childFolder = "FILESINK_FOLDER"
	childFormat = "FILESINK_FORMAT"
	childWay    = "FILESINK_WAY"  // how it writes; "": as the sink does
	childStep   = "FILESINK_STEP" // where it kills itself
	childNumber = "FILESINK_AT"   // at which passing of the step, from 1
)

// The controls' ways to write.
const (
	positionFirst = "position first"
	noCut         = "what was not delivered stays"
)

const journal = 600

var laneStart = event.Position{Epoch: 3, Ms: 1}

// child is the process's main; its answer is the exit code.
func child() int {
	cfg := config(os.Getenv(childFolder), os.Getenv(childFormat))
	cfg.Node, cfg.RotateBytes = "out", 8<<10
	if os.Getenv(childWay) == noCut {
		adoptSize(&cfg)
	}
	s, err := Open(context.Background(), cfg)
	if err == nil {
		s.hook = killer()
		err = writeJournal(s, os.Getenv(childWay))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// killer kills the process at the step that the environment names.
func killer() func(step) error {
	left, _ := strconv.Atoi(os.Getenv(childNumber))
	return func(at step) error {
		if string(at) != os.Getenv(childStep) {
			return nil
		}
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
}

func writeJournal(s *Sink, way string) error {
	for {
		at, err := s.Position(context.Background(), "readings", 0, laneStart)
		if err != nil {
			return err
		}
		done := int(at.Ms - laneStart.Ms)
		if done >= journal {
			return nil
		}
		u := &node.Unit{Stream: "readings", After: at, Last: at}
		for i := done; i < min(done+7, journal); i++ {
			u.Events = append(u.Events, reading(i))
		}
		u.Last.Ms += uint64(len(u.Events))
		write := s.Write
		if way == positionFirst {
			write = s.writePositionFirst
		}
		if err := write(context.Background(), u); err != nil {
			return err
		}
	}
}

// writePositionFirst is a control: it does what Write does in the wrong order.
func (s *Sink) writePositionFirst(ctx context.Context, u *node.Unit) error {
	lines, err := s.enc.lines(u.Events)
	if err != nil {
		return err
	}
	return s.locked(ctx, func() error {
		next := s.book.last.with(keyOf(u.Stream, u.Lane), u.Last, s.owner)
		if err := s.book.commit(next); err != nil { // no offset speaks of the lines to come
			return err
		}
		if err := s.passed(stepCommit); err != nil {
			return err
		}
		next, err := s.append(lines)
		if err != nil {
			return err
		}
		return s.book.commit(next)
	})
}

// adoptSize is a control: the position is made to speak of all that a part holds.
func adoptSize(cfg *Config) {
	b := book{path: filepath.Join(cfg.Path, ".out.position")}
	if b.load() != nil {
		return // the first run
	}
	defer b.close()
	next := b.last
	if size, err := sizeOf(filepath.Join(cfg.Path, "out."+cfg.Format+".part")); err == nil && size > 0 {
		next.Offset = size
	}
	_ = b.commit(next)
}

// run runs a child to its end, which is the exit code or the kill that it was to get.
func run(t *testing.T, dir, format, way string, at step, number int) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir, childFormat+"="+format, childWay+"="+way,
		childStep+"="+string(at), childNumber+"="+strconv.Itoa(number))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return false
}

// exact is the oracle: each event of the journal is on one whole line, in order.
func exact(t *testing.T, dir string) error {
	t.Helper()
	var ids []event.ID
	for _, path := range filesIn(t, dir) {
		ids = append(ids, idsOf(t, path)...)
	}
	for i := range max(len(ids), journal) {
		if i >= len(ids) || i >= journal || ids[i] != reading(i).ID {
			return fmt.Errorf("%d lines of %d events, the first wrong one is line %d", len(ids), journal, i)
		}
	}
	return nil
}

// TestFaultKilledBetweenSteps kills the process, with kill -9, at random passings of
// each step until the journal is written.
func TestFaultKilledBetweenSteps(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for _, format := range []string{JSONLines, CSV} {
		for _, at := range []step{stepLines, stepSynced, stepCommit, stepRename} {
			t.Run(format+", "+string(at), func(t *testing.T) {
				dir, kills := t.TempDir(), 0
				for run(t, dir, format, "", at, 1+chance.IntN(passings(at))) {
					kills++
				}
				if err := exact(t, dir); err != nil {
					t.Errorf("after %d kills: %v", kills, err)
				}
				if kills == 0 || len(filesIn(t, dir)) < 3 {
					t.Errorf("%d kills, files %v: the test has shown nothing", kills, filesIn(t, dir))
				}
			})
		}
	}
}

// passings bounds the chance: a rename comes once in a file, the first passing at
// all is left to live, or the journal would never end.
func passings(at step) int {
	if at == stepRename {
		return 2
	}
	return 40
}

// TestFaultKilledControl shows that the oracle sees what the order and the cut protect
// from.
func TestFaultKilledControl(t *testing.T) {
	for way, at := range map[string]step{positionFirst: stepCommit, noCut: stepSynced} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			if !run(t, dir, JSONLines, way, at, 10) || run(t, dir, JSONLines, way, "", 0) {
				t.Fatal("the child was not killed as it should")
			}
			if err := exact(t, dir); err == nil {
				t.Fatal("the oracle has not seen it")
			} else {
				t.Log(err)
			}
		})
	}
}
