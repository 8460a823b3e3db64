package runtime

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// head is what all files of these tests begin with: embedded queues and log, and a
// SQLite file that outlives the engine.
const head = `kind: pipeline
version: 1
name: mill
lanes: 2
connections: { q: { amqp: { urls: embedded } }, log: { redis: { url: embedded } }, s: { sql: { dsn: "sqlite:%s" } } }
nodes:
`

// Nodes of the files. Each transform notes itself in the field way.
const (
	sourceA = "  - { id: a, source: amqp, with: { connection: q, queue: mine, identity: message_id } }\n"
	decode  = "  - { id: decode, transform: json, inputs: [a] }\n"
)

// table is a sink that fills the table of its name.
func table(id, input, more string) string {
	return fmt.Sprintf("  - { id: %s, sink: sql, inputs: [%s], %swith: { connection: s, table: %[1]s, auto_create: true, columns: [{ name: n, type: bigint }, { name: way, type: varchar(64) }] } }\n", id, input, more)
}

func rows(input string) string        { return table("rows", input, "") }
func more(start, input string) string { return table("more", input, start) }

func drawn(input string) string {
	return fmt.Sprintf("  - { id: live, sink: chart, inputs: [%s], with: { value: n, chart: '\"c\"', series: '\"s\"' } }\n", input)
}

// marks is a transform that writes its mark into the field way.
func marks(id, mark, input, more string) string {
	return fmt.Sprintf("  - { id: %s, transform: expr, inputs: [%s], %swith: { set: { way: '(way ?? \"\") + %q' } } }\n", id, input, more, mark)
}

// mill is an engine at work on a file.
type mill struct {
	t      *testing.T
	engine *Engine
	file   string
	store  string
	db     *sql.DB
	addr   string
	sent   int
	stop   func()
}

// startMill runs the nodes until the test ends.
func startMill(t *testing.T, nodes string) *mill {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	m := &mill{t: t, file: filepath.Join(t.TempDir(), "mill.yaml"), store: filepath.Join(t.TempDir(), "store.db")}
	m.write(nodes)
	p, diags := spec.Load(m.file, catalog.Builtin(), os.LookupEnv)
	if p == nil {
		t.Fatal(diags)
	}
	made, _ := plan.Make(p)
	var err error
	listening := make(chan string, 1)
	m.engine, err = New(Config{
		OnListening: func(addr string) { listening <- addr },
		Pipeline:    p, Plan: made, EngineID: "e", Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.engine.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(m.stop)
	m.addr = <-listening
	m.ready()
	if m.db, err = sql.Open("sqlite3", "file:"+m.store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.db.Close() })
	return m
}

// testLog shows what the engine says if the test fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (m *mill) write(nodes string) {
	m.t.Helper()
	text := fmt.Sprintf(head, m.store) + nodes
	if err := os.WriteFile(m.file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mill) ready() {
	m.t.Helper()
	testserver.Eventually(m.t, time.Minute, "engine ready", func() error {
		if r := m.engine.reasons(); len(r) > 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
}

// apply writes the nodes, reloads and wants the outcome.
func (m *mill) apply(nodes string, want reload.Outcome) *reload.Result {
	m.t.Helper()
	m.write(nodes)
	r, err := m.engine.Reload(m.t.Context(), reload.ByAPI, false)
	if err != nil {
		m.t.Fatal(err)
	}
	var text strings.Builder
	_ = r.Write(&text)
	m.t.Log(text.String())
	if r.Outcome != want {
		m.t.Fatalf("outcome %s, want %s", r.Outcome, want)
	}
	return r
}

// changes are the nodes of a result that do not stay, as "id change".
func changes(r *reload.Result) string {
	var list []string
	for _, n := range r.Nodes {
		if n.Change != plan.Kept {
			list = append(list, n.ID+" "+string(n.Change))
		}
	}
	return strings.Join(list, ", ")
}

// under sends messages while f runs, one after another, and returns when all that was
// sent is stored in the journal.
func (m *mill) under(f func()) {
	m.t.Helper()
	ctx, stop := context.WithCancel(m.t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			m.send()
		}
	})
	f()
	stop()
	load.Wait()
}

// send sends the next message and waits until it is taken in.
func (m *mill) send() {
	msg := node.Message{MessageID: fmt.Sprintf("m%d", m.sent), ContentType: "application/json", Body: fmt.Appendf(nil, `{"n":%d}`, m.sent)}
	if err := m.engine.embedded.queues.Publish(m.t.Context(), "mine", msg); err != nil {
		m.t.Error(err)
	}
	m.sent++
}

// few sends some messages.
func (m *mill) few() {
	for range 20 {
		m.send()
	}
}

// ways reads a table and wants each number from..to-1 in it once; it returns their
// ways.
func (m *mill) ways(table string, from, to int) []string {
	m.t.Helper()
	var ways []string
	testserver.Eventually(m.t, 30*time.Second, fmt.Sprintf("all of %d..%d in %s", from, to-1, table), func() error {
		rows, err := m.db.Query("SELECT n, way FROM " + table + " ORDER BY n, way")
		if err != nil {
			return err
		}
		defer rows.Close()
		ways = nil
		for rows.Next() {
			var n int
			var way string
			if err := rows.Scan(&n, &way); err != nil {
				return err
			}
			if n != from+len(ways) {
				return fmt.Errorf("number %d where %d is wanted", n, from+len(ways))
			}
			ways = append(ways, way)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || from+len(ways) != to {
			return errors.Join(err, fmt.Errorf("%d rows, want %d", len(ways), to-from))
		}
		return nil
	})
	return ways
}

// readers lists the readers that the log knows, as "reader|stream".
func (m *mill) readers() string {
	m.t.Helper()
	seen := map[string]bool{}
	asked := time.Now()
	testserver.Eventually(m.t, 30*time.Second, "stats of the log", func() error {
		if !m.engine.log.Stats().At.After(asked) {
			return errors.New("old")
		}
		return nil
	})
	for _, r := range m.engine.log.Stats().Readers {
		seen[r.Reader+"|"+r.Stream] = true
	}
	var list []string
	for name := range seen {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// runs shows a list of ways as the ways that follow each other.
func runs(ways []string) string { return strings.Join(slices.Compact(slices.Clone(ways)), " ") }

// TestReloadUnderLoad goes from one file to the next while messages come in; each of
// them is stored once, on its way through the old nodes or the new.
func TestReloadUnderLoad(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark") + drawn("mark")
	m := startMill(t, one)
	steps := []struct{ name, nodes, want string }{
		{"an expression changes", strings.ReplaceAll(one, `"1"`, `"2"`), "decode restarted, mark restarted"},
		{"the key changes", sourceA + decode + marks("mark", "3", "decode", "key: n, ") + rows("mark") + drawn("mark"), "decode restarted, mark restarted"},
		{"a node is renamed", sourceA + decode + marks("tag", "4", "decode", "") + rows("tag") + drawn("tag"),
			"decode restarted, tag added, rows restarted, live restarted, mark removed"},
		{"a node is put between", sourceA + decode + marks("tag", "4", "decode", "") + marks("more", "5", "tag", "") + rows("more") + drawn("tag"),
			"more added, rows restarted"},
		{"a stage is cut in two", sourceA + decode + marks("tag", "4", "decode", "durable: true, ") + marks("more", "6", "tag", "") + rows("more"),
			"decode restarted, tag restarted, more restarted, live removed"},
		{"two stages become one", sourceA + decode + marks("tag", "4", "decode", "") + marks("more", "7", "tag", "") + rows("more"),
			"decode restarted, tag restarted, more restarted"},
		{"the stage's first node is renamed", sourceA + strings.ReplaceAll(decode, "id: decode", "id: parse") + marks("tag", "4", "parse", "") + marks("more", "8", "tag", "") + rows("more"),
			"parse added, tag restarted, more restarted, decode removed"},
		{"the source is renamed", strings.ReplaceAll(sourceA, "id: a", "id: b") + strings.ReplaceAll(decode, "[a]", "[b]") + marks("more", "9", "decode", "") + rows("more"),
			"b added, decode added, more restarted, a removed, parse removed, tag removed"},
	}
	m.under(func() {
		for i, step := range steps {
			if got := changes(m.apply(step.nodes, reload.Applied)); got != step.want {
				t.Errorf("%s: %s; want %s", step.name, got, step.want)
			}
			testserver.Eventually(t, 30*time.Second, "a row by the new nodes: "+step.name, func() error {
				var n int
				if err := m.db.QueryRow("SELECT count(*) FROM rows WHERE way LIKE ?", fmt.Sprintf("%%%d", i+2)).Scan(&n); err != nil || n > 0 {
					return err
				}
				return errors.New("none")
			})
		}
	})
	t.Logf("%d messages, ways %s", m.sent, runs(m.ways("rows", 0, m.sent)))
	if got := m.readers(); got != "decode@live|journal rows@live|more" {
		t.Errorf("readers %s; want only those of the last file", got)
	}
}

// TestReloadOfSinks adds sinks that begin where they say, takes one out and puts it
// back in: it then begins where it says, not where it stood.
func TestReloadOfSinks(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark")
	m := startMill(t, one)
	m.few()
	m.ways("rows", 0, 20)
	if r := m.apply(one+more("", "mark"), reload.Refused); !strings.Contains(r.Error, "start: earliest") {
		t.Errorf("a sink that does not say where it begins: %s", r.Error)
	}
	if got := changes(m.apply(one+more("start: now, ", "mark"), reload.Applied)); got != "more added" {
		t.Errorf("changes %s", got)
	}
	m.few()
	m.ways("more", 20, 40)
	m.apply(one, reload.Applied)
	m.few()
	m.ways("rows", 0, 60)
	m.ways("more", 20, 40)
	if got := m.readers(); got != "decode@live|journal rows@live|mark" {
		t.Errorf("readers %s; the sink that went still pins its stream", got)
	}
	if _, ok := m.engine.recorder.Totals()["more"]; ok {
		t.Error("the sink that went is still counted")
	}
	if _, err := m.db.Exec("DROP TABLE more"); err != nil {
		t.Fatal(err)
	}
	m.apply(one+more("start: earliest, ", "mark"), reload.Applied)
	m.few()
	m.ways("more", 0, 80)
	m.ways("rows", 0, 80)
	if r := m.apply(one+more("start: now, ", "mark"), reload.Unchanged); r.Failed() || changes(r) != "" {
		t.Errorf("another start of a sink that has begun: %+v", r)
	}
}

// TestReloadThatFailsChangesNothing: a file that is wrong, or cannot be applied, leaves
// everything at work as it was.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "key: n, ") + rows("mark")
	m := startMill(t, one)
	m.engine.reloads.settle = 300 * time.Millisecond
	if _, err := m.db.Exec("CREATE TABLE more (event_id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	at := m.engine.crew.all()
	for _, c := range []struct{ name, nodes, want string }{
		{"no YAML", "  - [", "mill.yaml:7:3"},
		{"no such node", strings.ReplaceAll(one, "[mark]", "[marc]"), "did you mean mark?"},
		{"a bad expression", strings.ReplaceAll(one, "??", "???"), "way: unexpected"},
		{"other lanes", one + "lanes_: 4\n", "unknown field"},
		{"a plugin that nobody has", one + "  - { id: p, plugin: nosuch@^1, inputs: [mark] }\n" + table("third", "p", "start: now, "), "nosuch"},
		{"a table that does not fit", one + more("start: now, ", "mark"), "event_id"},
	} {
		if r := m.apply(c.nodes, reload.Refused); !strings.Contains(r.Error, c.want) {
			t.Errorf("%s: %s; want %q told", c.name, r.Error, c.want)
		}
	}
	m.few()
	m.ways("rows", 0, 20)

	// A sink that stands still cannot finish the stream of a node that is to go.
	keeper := m.engine.crew.find(plan.SinkPart, "rows").keeper
	if _, err := keeper.halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.few()
	renamed := sourceA + decode + marks("tag", "2", "decode", "key: n, ") + rows("tag")
	if r := m.apply(renamed, reload.Refused); !strings.Contains(r.Error, "rows must first finish what waits in stream mark") {
		t.Errorf("a sink that stands still: %s", r.Error)
	}
	if !slices.Equal(m.engine.crew.all(), at) {
		t.Error("other parts are at work than before")
	}
	keeper.resume(nil)
	m.ways("rows", 0, 40)
	m.engine.reloads.settle = settleWithin // the log hears of the rows after the table has them
	m.apply(renamed, reload.Applied)
	m.few()
	m.ways("rows", 0, 60)
}

// TestReloadRollsBack: when the readers' places cannot be moved because a lease is
// lost, what had been ended goes on as it was.
func TestReloadRollsBack(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark") + drawn("mark")
	m := startMill(t, one)
	renamed := sourceA + decode + marks("tag", "2", "decode", "") + rows("tag") + drawn("tag")
	for range 40 {
		m.few()
		m.ways("rows", 0, m.sent)
		at, drawing := m.engine.crew.all(), m.engine.drawn.Load()
		m.redis("HSET", "mr:{mill}:owners", "sink:rows@live", "other:1:1")
		m.write(renamed)
		r, err := m.engine.Reload(t.Context(), reload.ByAPI, false)
		if err != nil || !r.Failed() || !slices.Equal(m.engine.crew.all(), at) || m.engine.drawn.Load() != drawing {
			t.Fatalf("%+v, %v; want a failure that leaves everything", r, err)
		}
		m.redis("DEL", "mr:{mill}:lease:sink:rows@live")
		m.ready()
		if r.Outcome == reload.RolledBack {
			m.few()
			ways := m.ways("rows", 0, m.sent)
			if got := runs(ways); got != "1" || !strings.Contains(r.Error, "lease") {
				t.Errorf("ways %s after %s", got, r.Error)
			}
			if got := m.readers(); got != "decode@live|journal rows@live|mark" {
				t.Errorf("readers %s", got)
			}
			m.apply(renamed, reload.Applied)
			m.few()
			m.ways("rows", 0, m.sent)
			return
		} // else the lease was found lost before
	}
	t.Error("no reload came as far as to be rolled back")
}

// redis sends one command to the embedded log.
func (m *mill) redis(words ...string) {
	m.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(m.engine.logURL(), "redis://"), "/0"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(answer, ":") {
		m.t.Fatalf("%v: %q, %v", words, answer, err)
	}
}

// TestReloadKeepsViewers: who looks at the charts stays connected, whether or not they
// change, and sees the new ones.
func TestReloadKeepsViewers(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark") + drawn("mark")
	m := startMill(t, one)
	resp, err := http.Get("http://" + m.addr + "/api/v1/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := make(chan string, 4096)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	see := func(want string) {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			select {
			case line, ok := <-lines:
				if strings.Contains(line, "reset") && want != "reset" || !ok {
					t.Fatalf("%q, open %t, before %s", line, ok, want)
				}
				if regexp.MustCompile(want).MatchString(line) {
					return
				}
			case <-limit:
				t.Fatalf("%s is not shown", want)
			}
		}
	}
	m.few()
	see(`"v":\[([0-9,]+,)?19\]`)
	m.apply(strings.ReplaceAll(one, `"1"`, `"2"`), reload.Applied)
	m.send()
	see(`"v":\[20\]`)
	m.apply(one+strings.ReplaceAll(drawn("mark"), "id: live", "id: second"), reload.Applied)
	see("reset")
	see(`"second/c"`)
	m.send()
	see(`"v":\[21\]`)
}

// TestReloadOverHTTP: a dry run does nothing, and the last results can be asked for.
func TestReloadOverHTTP(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark")
	m := startMill(t, one)
	m.write(strings.ReplaceAll(one, `"1"`, `"2"`))
	ask := func(method, query string, into any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+m.addr+"/api/v1/reload"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(httpapi.Header, "test")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d, %v", method, resp.StatusCode, err)
		}
	}
	at := m.engine.crew.all()
	var planned, applied reload.Result
	if ask("POST", "?dry_run=true", &planned); planned.Outcome != reload.Planned || changes(&planned) != "decode restarted, mark restarted" || !slices.Equal(m.engine.crew.all(), at) {
		t.Errorf("dry run: %+v", planned)
	}
	if ask("POST", "", &applied); applied.Outcome != reload.Applied || applied.ID == planned.ID {
		t.Errorf("reload: %+v", applied)
	}
	var all struct{ Reloads []reload.Result }
	if ask("GET", "", &all); len(all.Reloads) != 2 || all.Reloads[0].ID != applied.ID {
		t.Errorf("results %+v", all)
	}
}
