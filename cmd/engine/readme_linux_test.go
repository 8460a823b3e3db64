package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

const root = "../.."

// A block is the text between a README's fences, with its name in the comment
// above it: <!-- test: NAME --> for what is run, <!-- output: NAME --> for what it
// prints.
var block = regexp.MustCompile("(?m)^<!-- (test|output): ([a-z]+) -->\n```[a-z]*\n((?s:.*?))^```$")

// readmeBlocks returns the README's blocks by "test NAME" and "output NAME".
func readmeBlocks(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		blocks[m[1]+" "+m[2]] = m[3]
	}
	return blocks
}

// TestEveryReadmeCommandIsRun: each shell block has a name, and each name a test.
func TestEveryReadmeCommandIsRun(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	run := []string{
		"run", "test", "plan", "look", "tap", "top", "dlq", "dlqreplay", "replay", "reload", "check", "doctor", "plugin", "plugintap", "operate", "cluster", "clusterup",
		"servers", "feed", "rows",
	}
	for _, m := range regexp.MustCompile("(?m)(.*)\n```sh$").FindAllStringSubmatch(string(text), -1) {
		name := strings.TrimSuffix(strings.TrimPrefix(m[1], "<!-- test: "), " -->")
		if !slices.Contains(run, name) {
			t.Errorf("the shell block below %q is run by no test", m[1])
		}
	}
	for _, name := range run {
		if readmeBlocks(t)["test "+name] == "" {
			t.Errorf("the README has no block %q", name)
		}
	}
}

// TestReadmeChecks runs the commands that connect to nothing, and compares what
// they print with what the README shows.
func TestReadmeChecks(t *testing.T) {
	blocks := readmeBlocks(t)
	t.Chdir(root)
	for _, name := range []string{"plan", "check", "cluster"} {
		var out, errs bytes.Buffer
		for line := range strings.Lines(blocks["test "+name]) {
			args, ok := strings.CutPrefix(strings.TrimSpace(line), "go run ./cmd/engine ")
			if code := run(strings.Fields(args), strings.NewReader(""), &out, &errs); !ok || code != exitOK {
				t.Errorf("%s: exit code %d: %s%s", line, code, out.String(), errs.String())
			}
		}
		if want, ok := blocks["output "+name]; ok && strings.TrimSpace(out.String()) != strings.TrimSpace(want) {
			t.Errorf("%s prints\n%s\nthe README shows\n%s", name, out.String(), want)
		}
	}
}

// TestDocumentsPointAtWhatIsThere: links lead to files, and tests that are named
// exist.
func TestDocumentsPointAtWhatIsThere(t *testing.T) {
	tests := testNames(t)
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "FORMAT.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELIABILITY.md", "schemas/live.md", "schemas/plugin/README.md", "plugins/sdk/python/README.md", "pipelines/cluster.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)[)#]`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", name, err)
			}
		}
		for _, m := range regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(string(text), -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is no test", name, m[1])
			}
		}
	}
}

// testNames returns the names of all tests under engine/.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "engine"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestReadmeTask: what the README calls the test command is a task.
func TestReadmeTask(t *testing.T) {
	name, ok := strings.CutPrefix(strings.TrimSpace(readmeBlocks(t)["test test"]), "go tool task ")
	tasks, err := os.ReadFile(filepath.Join(root, "Taskfile.yml"))
	if err != nil || !ok || !strings.Contains(string(tasks), "\n  "+name+":\n") {
		t.Errorf("task %q is not in the Taskfile: %v", name, err)
	}
}

// TestFirstCommandTwice runs the README's first command as it stands there, on a
// free port: charts of every plant move and rows arrive, and a stop ends it with
// exit code 0; SIGINT the first time, SIGTERM the second.
func TestFirstCommandTwice(t *testing.T) {
	blocks := readmeBlocks(t)
	command := strings.TrimSpace(blocks["test run"])
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, addr := startReadme(t, command, nil)
		readyAndMoving(t, addr)
		lookAsShown(t, blocks, addr)
		deadLettersAsShown(t, blocks, addr)
		replayAsShown(t, blocks, addr)
		watchedAsShown(t, blocks, addr)
		signalEngine(t, cmd, sig)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%s: %v; want exit code 0", command, err)
		}
	}
}

// startReadme starts an `engine run` of the README in a process group of its own
// and returns once it says where it listens.
func startReadme(t *testing.T, command string, env []string) (cmd *exec.Cmd, addr string) {
	t.Helper()
	cmd = exec.Command("sh", "-c", "exec "+command+" --listen 127.0.0.1:0")
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 20 * time.Second
	out, in := io.Pipe()
	cmd.Stderr = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	found, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		page := regexp.MustCompile(`page +http://(\S+)/`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.Log(lines.Text())
			if m := page.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default: // it is known
				}
			}
		}
	}()
	t.Cleanup(func() { _ = in.Close(); <-read }) // nothing is logged once the test is over
	select {
	case addr = <-found:
	case <-time.After(4 * time.Minute): // a cold cache is compiled first
		t.Fatalf("%s: no page after 4 minutes", command)
	}
	return cmd, addr
}

// signalEngine sends sig to the engine alone, which `go run` has started: that one
// ends with the engine's exit code, but not if it is interrupted itself.
func signalEngine(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		stat, _ := os.ReadFile(file) // the process may be gone
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // state, parent, ...
		if len(fields) < 2 || fields[1] != strconv.Itoa(cmd.Process.Pid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the engine's process is not found")
}

// oneOfEach are charts that only one plant each can fill.
var oneOfEach = map[string]string{"machine-1": "plant1", "energy": "plant2", "humidity": "plant3", "pm25": "plant4"}

func readyAndMoving(t *testing.T, addr string) {
	t.Helper()
	testserver.Eventually(t, 3*time.Minute, "readiness", func() error {
		_, err := get(addr, "/readyz")
		return err
	})
	var before map[string]int64
	testserver.Eventually(t, time.Minute, "charts of every plant", func() (err error) {
		before, err = newest(addr)
		return err
	})
	testserver.Eventually(t, time.Minute, "charts that move", func() error {
		after, err := newest(addr)
		for chart := range after {
			if after[chart] <= before[chart] {
				err = errors.Join(err, fmt.Errorf("%s stands still", chart))
			}
		}
		return err
	})
	testserver.Eventually(t, time.Minute, "rows", func() error { return rowsArrive(addr) })
}

// deadLettersAsShown asks the engine at addr for dead letters, as the README does.
func deadLettersAsShown(t *testing.T, blocks map[string]string, addr string) {
	t.Helper()
	for _, name := range []string{"dlq", "dlqreplay"} {
		args, ok := strings.CutPrefix(strings.TrimSpace(blocks["test "+name]), "go run ./cmd/engine dlq ")
		code, out, errs := ask("http://"+addr, "", strings.Fields(args)...)
		if want := blocks["output "+name]; !ok || code != exitOK || out != want {
			t.Errorf("%s: code %d, %s%s; the README shows %s", name, code, out, errs, want)
		}
	}
}

// replayAsShown replays, as the README does, what the engine at addr has taken in.
func replayAsShown(t *testing.T, blocks map[string]string, addr string) {
	t.Helper()
	args, ok := strings.CutPrefix(strings.TrimSpace(blocks["test replay"]), "go run ./cmd/engine ")
	args = strings.Replace(args, "pipelines/", filepath.Join(root, "pipelines")+"/", 1)
	var out, errs bytes.Buffer
	code := run(append(strings.Fields(args), "--server", "http://"+addr), strings.NewReader(""), &out, &errs)
	shape := regexp.MustCompile(`^trial: done, (\d+) of (\d+) events read\nrows: \d+ events, \d+ rows in readings__replay_trial\n  only here 0, only in the live table, of the same event times, \d+, different 0\n`)
	if m := shape.FindStringSubmatch(out.String()); !ok || code != exitOK || m == nil || m[1] != m[2] || m[1] == "0" {
		t.Errorf("replay: code %d, %s%s", code, out.String(), errs.String())
	}
}

// watchedAsShown taps and watches the engine at addr with the README's commands.
func watchedAsShown(t *testing.T, blocks map[string]string, addr string) {
	t.Helper()
	for name, want := range map[string]string{"tap": `"value":`, "top": "celsius      plugin "} {
		line, ok := strings.CutPrefix(strings.TrimSpace(blocks["test "+name]), "go run ./cmd/engine ")
		args := strings.Fields(strings.ReplaceAll(line, "'", ""))
		code, out, errs := command(append(args, "--server", "http://"+addr)...)
		if !ok || code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%s: code %d, %s%s; want %q", name, code, out, errs, want)
		}
	}
}

// lookAsShown asks what the README asks with curl.
func lookAsShown(t *testing.T, blocks map[string]string, addr string) {
	t.Helper()
	path, ok := strings.CutPrefix(strings.TrimSpace(blocks["test look"]), "curl -s http://127.0.0.1:8080")
	if !ok {
		t.Fatalf("the README looks elsewhere: %s", path)
	}
	testserver.Eventually(t, time.Minute, path+" as the README shows it", func() error {
		body, err := get(addr, path)
		if want := blocks["output look"]; err == nil && body != want {
			err = fmt.Errorf("%q; want %q", body, want)
		}
		return err
	})
}

// newest returns the time of the newest point of each chart in oneOfEach.
func newest(addr string) (map[string]int64, error) {
	body, err := get(addr, "/api/v1/charts")
	if err != nil {
		return nil, err
	}
	var page struct {
		Charts []struct {
			Key    string
			Series []struct {
				Key string
				T   []int64
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		return nil, err
	}
	times := map[string]int64{}
	for _, c := range page.Charts {
		for _, s := range c.Series {
			for _, name := range []string{c.Key, s.Key} {
				if oneOfEach[name] != "" && len(s.T) > 0 {
					times[name] = max(times[name], s.T[len(s.T)-1])
				}
			}
		}
	}
	if len(times) < len(oneOfEach) {
		return nil, fmt.Errorf("charts %v; want %v", times, oneOfEach)
	}
	return times, nil
}

var rowsOut = regexp.MustCompile(`(?m)^millrace_node_events_out_total\{node="rows"\} ([0-9.e+]+)$`)

func rowsArrive(addr string) error {
	body, err := get(addr, "/metrics")
	if err != nil {
		return err
	}
	m := rowsOut.FindStringSubmatch(body)
	if m == nil {
		return errors.New("no count of rows yet")
	}
	if n, err := strconv.ParseFloat(m[1], 64); err != nil || n < 10 {
		return fmt.Errorf("%s rows: %w", m[1], err)
	}
	return nil
}

func get(addr, path string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}
