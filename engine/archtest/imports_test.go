package archtest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// within reports whether path is tree or below it, by whole path elements:
// engine/eventlog is not within engine/event.
func within(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func withinAny(path string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(path, tree) })
}

// forbidden pairs of our own trees, without the module path: from may not
// import to, but for the trees in except. Tests are bound by them too, except
// where testsToo is false.
var forbidden = []struct {
	from, to string
	except   []string
	testsToo bool
}{
	{"engine", "plugins", nil, false},
	{"engine", "cmd", nil, true},
	{"plugins", "cmd", nil, true},
	{"schemas", "engine", nil, true},
	{"schemas", "plugins", nil, true},
	{"plugins/sdk", "plugins", []string{"plugins/sdk"}, true},
	{"plugins", "engine", []string{"engine/node", "engine/event"}, false},
	{"engine/event", "engine", []string{"engine/event"}, false},
	{"engine/dag", "engine", []string{"engine/dag"}, true},
	{"engine/node", "engine", []string{"engine/node", "engine/event"}, false},
	{"engine/source", "engine/sink", nil, false},
	{"engine/sink", "engine/source", []string{"engine/source/amqp/link", "engine/source/mqtt/link"}, false},
	{"engine/transform", "engine/stream", nil, false},
	{"engine/transform", "engine/stage", nil, false},
	{"engine/stream", "engine/stage", nil, false},
}

// heavy dependencies and the only trees that may know each.
var heavy = []struct {
	dependency string
	home       []string
}{
	{"github.com/rabbitmq/amqp091-go", []string{"engine/source/amqp", "engine/feed", "engine/cluster/canary", "engine/sink/amqp", "engine/sink/stock", "engine/source/stock"}},
	{"github.com/eclipse/paho.golang", []string{"engine/source/mqtt", "engine/sink/mqtt"}},
	{"github.com/ThreeDotsLabs/watermill-amqp", []string{"engine/source", "engine/sink", "engine/stream"}},
	{"github.com/ThreeDotsLabs/watermill-redisstream", []string{"engine/source", "engine/sink", "engine/stream"}},
	{"github.com/redis/go-redis", []string{"engine/stream", "engine/sink/stock", "engine/source/stock"}},
	{"github.com/alicebob/miniredis", []string{"engine/stream"}},
	{"github.com/hashicorp/go-plugin", []string{"engine/pluginhost", "plugins/sdk", "schemas/plugin"}},
	{"google.golang.org/grpc", []string{"engine/pluginhost", "plugins/sdk", "schemas/plugin"}},
	{"gorm.io", []string{"engine/sink/sql"}},
	{"github.com/ncruces/go-sqlite3", []string{"engine/sink/sql"}},
	{"github.com/tetratelabs/wazero", []string{"engine/sink/sql"}},
	{"github.com/go-sql-driver/mysql", []string{"engine/sink/sql", "engine/testserver"}},
	{"github.com/coder/websocket", []string{"engine/live/socket"}},
	{"github.com/spf13/cobra", []string{"cmd"}},
	{"github.com/Shopify/toxiproxy", []string{"engine/testserver"}},
	{"go.uber.org/goleak", []string{"engine/testserver"}},
}

func imports(t *testing.T, s *source) []string {
	t.Helper()
	var paths []string
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", s.path, err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestImportArrowsPointOneWay(t *testing.T) {
	for _, s := range tree(t) {
		for _, path := range imports(t, s) {
			for _, rule := range forbidden {
				if s.test && !rule.testsToo {
					continue
				}
				if within(s.pkg, module+"/"+rule.from) && within(path, module+"/"+rule.to) && !withinAny(strings.TrimPrefix(path, module+"/"), rule.except) && !isSuite(path) {
					t.Errorf("%s imports %s: %s may not import %s", s.path, path, rule.from, rule.to)
				}
			}
		}
	}
}

// isSuite reports whether path is a conformance suite, which every
// implementation's tests import.
func isSuite(path string) bool { return strings.HasSuffix(path, "test") }

func TestNoPluginImportsAnother(t *testing.T) {
	prefix := module + "/plugins/"
	for _, s := range tree(t) {
		from, ok := strings.CutPrefix(s.pkg, prefix)
		if !ok {
			continue
		}
		own, _, _ := strings.Cut(from, "/")
		for _, path := range imports(t, s) {
			to, ok := strings.CutPrefix(path, prefix)
			other, _, _ := strings.Cut(to, "/")
			if ok && other != own && other != "sdk" {
				t.Errorf("%s imports plugin %s", s.path, other)
			}
		}
	}
}

func TestHeavyDependenciesStayAtHome(t *testing.T) {
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		for _, path := range imports(t, s) {
			for _, rule := range heavy {
				if within(path, rule.dependency) && !withinAny(strings.TrimPrefix(s.pkg, module+"/"), rule.home) {
					t.Errorf("%s imports %s, which only %s may know", s.path, path, strings.Join(rule.home, ", "))
				}
			}
		}
	}
}

// TestOnlyTheStagePackageRoutes looks for the Router by name: its package also
// holds the Message, which adapters may know.
func TestOnlyTheStagePackageRoutes(t *testing.T) {
	for _, s := range tree(t) {
		if s.test || within(s.pkg, module+"/engine/stage") || !slices.Contains(imports(t, s), "github.com/ThreeDotsLabs/watermill/message") {
			continue
		}
		for _, name := range []string{"message.NewRouter", "message.Router"} {
			if strings.Contains(s.text, name) {
				t.Errorf("%s uses %s, which only engine/stage may know", s.path, name)
			}
		}
	}
}

// TestTestHelpersStayInTests keeps package testing, and what needs it, out of
// the programs.
func TestTestHelpersStayInTests(t *testing.T) {
	for _, s := range tree(t) {
		if s.test || isSuite(s.pkg) || within(s.pkg, module+"/engine/testserver") {
			continue
		}
		for _, path := range imports(t, s) {
			if path == "testing" || within(path, module+"/engine/testserver") {
				t.Errorf("%s imports %s outside of a test", s.path, path)
			}
		}
	}
}

func TestWithinMatchesWholeElements(t *testing.T) {
	if within("m/engine/eventlog", "m/engine/event") {
		t.Error("engine/eventlog is taken for a part of engine/event")
	}
	if !within("m/engine/event", "m/engine/event") || !within("m/engine/event/x", "m/engine/event") {
		t.Error("a tree does not hold itself and what is below it")
	}
}
