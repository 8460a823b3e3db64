package reload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWatch: a file is applied when it has come to rest with another content,
// however that came about.
func TestWatch(t *testing.T) {
	const tick = WatchEvery
	dir := t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(from string) {
		if err := os.Rename(filepath.Join(dir, from), file); err != nil {
			t.Fatal(err)
		}
	}
	write("p.yaml", "one")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		calls := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			Watch(ctx, file, []byte("one"), tick, func() { calls++ })
		}()
		step := func(name string, want int, do func()) {
			t.Helper()
			do()
			time.Sleep(4 * tick)
			synctest.Wait()
			if calls != want {
				t.Errorf("%s: called %d times by now, want %d", name, calls, want)
			}
		}
		step("nothing happens", 0, func() {})
		step("written into", 1, func() { write("p.yaml", "two two") })
		step("renamed into its place", 2, func() { write("new", "three"); rename("new") })
		step("the same content again", 2, func() { write("new", "three"); rename("new") })
		step("gone", 2, func() { os.Remove(file) })
		step("there again, as it was", 2, func() { write("p.yaml", "three") })
		step("there again, otherwise", 3, func() { os.Remove(file); write("p.yaml", "four") })
		step("a link to another file", 4, func() {
			write("other", "five")
			os.Remove(file)
			if err := os.Symlink("other", file); err != nil {
				t.Fatal(err)
			}
		})
		step("what the link leads to", 5, func() { write("other", "six six") })
		step("being written", 5, func() {
			for i := range 6 {
				write("other", strings.Repeat("x", i+20))
				time.Sleep(tick)
				synctest.Wait()
				if calls != 5 {
					t.Errorf("read by half")
				}
			}
			write("other", "six six")
		})
		stop()
		<-done
	})
}

type fake struct {
	dry bool
	err error
}

func (f *fake) Reload(_ context.Context, trigger string, dryRun bool) (*Result, error) {
	f.dry = dryRun
	return &Result{ID: "r1", Trigger: trigger, Outcome: RolledBack, Error: "no\nway"}, f.err
}

func (*fake) Results() []Result { return []Result{{ID: "r2"}, {ID: "r1"}} }

func TestRoutes(t *testing.T) {
	f := &fake{}
	mux := http.NewServeMux()
	for pattern, h := range Routes(f) {
		mux.Handle(pattern, h)
	}
	ask := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w
	}
	var r Result
	if w := ask("POST", "/api/v1/reload?dry_run=true"); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &r) != nil || !f.dry || r.Trigger != ByAPI || !r.Failed() {
		t.Errorf("dry run: %d %s", w.Code, w.Body)
	}
	if w := ask("POST", "/api/v1/reload"); w.Code != 200 || f.dry {
		t.Errorf("reload: %d, dry %t", w.Code, f.dry)
	}
	if w := ask("POST", "/api/v1/reload?dry_run=perhaps"); w.Code != 400 {
		t.Errorf("a wrong flag: %d %s", w.Code, w.Body)
	}
	if w := ask("GET", "/api/v1/reload"); w.Code != 200 || !strings.Contains(w.Body.String(), `{"reloads":[{"id":"r2"`) {
		t.Errorf("results: %d %s", w.Code, w.Body)
	}
	f.err = errors.New("the engine is stopping")
	if w := ask("POST", "/api/v1/reload"); w.Code != 503 || !strings.Contains(w.Body.String(), "stopping") {
		t.Errorf("an engine that stops: %d %s", w.Code, w.Body)
	}
}

func TestWriteTellsWhatHappened(t *testing.T) {
	r := Result{
		ID: "r1", File: "p.yaml", Outcome: RolledBack, Error: "sink \"rows\": away\nand more", Notes: []string{"read this"},
		Nodes: []plan.NodeChange{{ID: "a", Kind: "source", Change: plan.Kept}, {ID: "b", Kind: "sink", Change: plan.Added, Why: []string{"reads a from now on"}}},
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `reload r1 of p.yaml: rolled back
  kept       source     a
  added      sink       b  reads a from now on
  note: read this
  error: sink "rows": away
         and more
  the pipeline runs on as before
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
