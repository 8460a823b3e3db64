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

	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) {
	livetest.Join()
	code := m.Run()
	testserver.Shutdown()
	os.Exit(code)
}

// servers are the private servers of one run.
type servers struct {
	t      *testing.T
	rabbit *testserver.RabbitServer
	redis  *testserver.RedisServer
	maria  *testserver.MariaDBServer
	bin    string
	url    string // of the broker; "": rabbit's
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

// store returns a database whose table of readings holds rows rows already.
func (s *servers) store(rows int) (dsn string, db *sql.DB) {
	s.t.Helper()
	dsn = s.maria.Database(s.t)
	db = s.maria.Open(s.t, dsn)
	_, err := db.Exec(fmt.Sprintf(createTable, "readings"))
	must(s.t, err)
	if rows > 0 {
		_, err = db.Exec(fmt.Sprintf(prefill, rows))
		must(s.t, err)
	}
	return dsn, db
}

// prefill makes rows of the past year with time-prefixed ids, in order.
const prefill = `INSERT INTO readings SELECT UNHEX(CONCAT(LPAD(HEX(1730000000000 + seq), 12, '0'), LEFT(MD5(seq), 20))), CONCAT('old-', seq),
 'plant0', CONCAT('machine-', seq %% 32), 'temperature', FROM_UNIXTIME(1730000000 + seq / 1000), seq %% 1000, 'C', 'old' FROM seq_1_to_%d`

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

func peakOf(pid int) int64 { return memoryOf(pid, "VmHWM:") }

// residentOf is what a process has in memory now, in bytes.
func residentOf(pid int) int64 { return memoryOf(pid, "VmRSS:") }

func memoryOf(pid int, name string) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kb, ok := strings.CutPrefix(s.Text(), name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
