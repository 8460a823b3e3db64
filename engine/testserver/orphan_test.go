package testserver_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/engine/testserver"
)

// hostEnv makes this test binary the one that is killed.
const hostEnv = "MILLRACE_TESTSERVER_HOST"

// TestFaultHostIsKilled is not a test of its own: started by the next one, it
// holds servers until it is killed, and beside them, as the control, a child
// that was started without this package.
func TestFaultHostIsKilled(t *testing.T) {
	if os.Getenv(hostEnv) == "" {
		return
	}
	control := exec.Command("sleep", "600")
	if err := control.Start(); err != nil {
		t.Fatal(err)
	}
	r := testserver.RabbitMQ(t)
	pids := append(testserver.Family(r), testserver.Redis(t).PID(), testserver.MariaDB(t).PID())
	fmt.Println("pids", control.Process.Pid, strings.Trim(fmt.Sprint(pids), "[]"))
	select {}
}

func TestFaultNothingSurvivesAKilledTestBinary(t *testing.T) {
	for _, program := range []string{"rabbitmq-server", "redis-server", "mariadbd"} {
		testserver.Require(t, program)
	}
	host := exec.Command(os.Args[0], "-test.run=^TestFaultHostIsKilled$", "-test.v")
	host.Env = append(os.Environ(), hostEnv+"=1")
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readPIDs(out)
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := host.Wait(); err == nil {
		t.Fatal("the killed host ended well")
	}
	if len(pids) < 6 {
		t.Fatalf("the host named pids %v, want those of three servers and a control", pids)
	}
	wantGone(t, pids[1:])
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Errorf("the unprotected control, pid %d, is gone too: %v; this test proves nothing", pids[0], err)
	}
}

// readPIDs reads up to the line of pids that the host prints.
func readPIDs(out io.Reader) []int {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "pids ")
		if !ok {
			continue
		}
		var pids []int
		for _, word := range strings.Fields(rest) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	return nil
}
