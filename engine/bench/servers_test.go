//go:build bench

package bench

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// servers are the private servers of one run.
type servers struct {
	t      *testing.T
	rabbit *testserver.RabbitServer
	redis  *testserver.RedisServer
	maria  *testserver.MariaDBServer
	bin    string
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{t: t, rabbit: testserver.RabbitMQ(t), redis: testserver.Redis(t), maria: testserver.MariaDB(t)}
	s.bin = filepath.Join(t.TempDir(), "engine")
	cmd := exec.Command("go", "build", "-o", s.bin, "./cmd/engine")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return s
}

// store returns a database with an empty table of readings.
func (s *servers) store() (dsn string, db *sql.DB) {
	s.t.Helper()
	dsn = s.maria.Database(s.t)
	db = s.maria.Open(s.t, dsn)
	if _, err := db.Exec(fmt.Sprintf(createTable, "readings")); err != nil {
		s.t.Fatal(err)
	}
	return dsn, db
}

// usage is what processes have used.
type usage struct {
	cpu  time.Duration
	peak int64 // bytes of resident memory
}

// clockTick is the kernel's unit of CPU time in /proc.
const clockTick = 10 * time.Millisecond

// usageOf adds up pid and its descendants.
func usageOf(pid int) usage {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	for _, i := range []int{11, 12} { // utime, stime
		n, _ := strconv.ParseInt(f[i], 10, 64)
		u.cpu += time.Duration(n) * clockTick
	}
	u.peak = peakOf(pid)
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, c := range children {
		list, _ := os.ReadFile(c)
		for _, word := range strings.Fields(string(list)) {
			child, _ := strconv.Atoi(word)
			cu := usageOf(child)
			u.cpu += cu.cpu
			u.peak += cu.peak
		}
	}
	return u
}

func peakOf(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kb, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
