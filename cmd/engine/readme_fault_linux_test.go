package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// TestFaultReadmeServers runs what the README says about real servers: the engine
// with the variables that it names, the feed from a second terminal, and the query.
// Every message that the feed tells as confirmed is found in MariaDB.
func TestFaultReadmeServers(t *testing.T) {
	blocks := readmeBlocks(t)
	rabbit, redis, maria := testserver.RabbitMQ(t), testserver.Redis(t), testserver.MariaDB(t)
	dsn := maria.Database(t)
	servers := map[string]string{"AMQP_URLS": rabbit.AMQPURL(), "REDIS_URL": redis.URL(), "DB_DSN": dsn}
	command, env := exported(t, blocks["test servers"], servers)
	cmd, addr := startReadme(t, command, env)
	feed, result := startFeed(t, strings.TrimSpace(blocks["test feed"]), env)
	readyAndMoving(t, addr)
	signalEngine(t, feed, syscall.SIGINT)
	confirmed := result()
	db := maria.Open(t, dsn)
	testserver.Eventually(t, time.Minute, "every confirmed message", func() error {
		var n int
		err := db.QueryRow("SELECT COUNT(DISTINCT plant, source_id) FROM readings").Scan(&n)
		if err == nil && n != confirmed {
			err = fmt.Errorf("%d of %d messages are there", n, confirmed)
		}
		return err
	})
	showRows(t, db, blocks["test rows"])
	signalEngine(t, cmd, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v; want exit code 0", command, err)
	}
}

// exported returns the block's last line, and the variables that its other lines
// export with the values of these servers.
func exported(t *testing.T, text string, servers map[string]string) (command string, env []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines[:len(lines)-1] {
		m := regexp.MustCompile(`^export ([A-Z_]+)=\S+$`).FindStringSubmatch(line)
		if m == nil || servers[m[1]] == "" {
			t.Fatalf("%q exports none of the variables of charts.yaml", line)
		}
		env = append(env, m[1]+"="+servers[m[1]])
	}
	if len(env) != len(servers) {
		t.Fatalf("the README names %d of %d servers", len(env), len(servers))
	}
	return lines[len(lines)-1], env
}

// startFeed starts the README's feed; result waits for its end and returns how
// many messages it says are confirmed.
func startFeed(t *testing.T, command string, env []string) (cmd *exec.Cmd, result func() int) {
	t.Helper()
	cmd = exec.Command("sh", "-c", "exec "+command+" --json")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	file := filepath.Join(t.TempDir(), "feed.json")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = out.Close() })
	return cmd, func() int {
		t.Helper()
		err := cmd.Wait()
		text, _ := os.ReadFile(file)
		var told struct{ Confirmed, Returned int }
		if jerr := json.Unmarshal(text, &told); err != nil || jerr != nil || told.Confirmed == 0 || told.Returned != 0 {
			t.Fatalf("%s: %v: %s", command, err, text)
		}
		return told.Confirmed
	}
}

// showRows runs the README's query.
func showRows(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	rows, err := db.Query(strings.TrimSuffix(strings.TrimSpace(query), ";"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil || n != 3 {
		t.Errorf("the README's query gives %d rows, %v; want 3", n, err)
	}
}
