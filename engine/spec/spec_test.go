package spec

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testSource are the options of the source type of this package's tests.
type testSource struct {
	Connection string        `yaml:"connection" jsonschema:"required"`
	Queue      string        `yaml:"queue" jsonschema:"required"`
	Identity   string        `yaml:"identity,omitempty"`
	Prefetch   int           `yaml:"prefetch,omitempty" jsonschema:"minimum=1,maximum=100"`
	Wait       time.Duration `yaml:"wait,omitempty"`
	Declare    *bool         `yaml:"declare,omitempty"`
	Tags       []string      `yaml:"tags,omitempty" jsonschema:"enum=red,enum=blue"`
	Ratio      float64       `yaml:"ratio,omitempty"`
	testInline `yaml:",inline"`
}

type testInline struct {
	Size Bytes `yaml:"size,omitempty"`
}

func testCatalog() *Catalog {
	return NewCatalog(
		NodeType{Kind: Source, Name: "queue", Connection: "amqp", Writes: Payload, NewConfig: func() any { return &testSource{Prefetch: 7} }},
		NodeType{Kind: Transform, Name: "decode", Reads: Payload, Writes: Record},
		NodeType{Kind: Transform, Name: "pass", Reads: Any, Writes: Any},
		NodeType{Kind: Sink, Name: "store", Reads: Record},
		NodeType{Kind: Sink, Name: "dump", Reads: Any},
	)
}

const head = "kind: pipeline\nversion: 1\nname: test\nconnections: {q: {amqp: {urls: embedded}}, r: {redis: {url: embedded}}}\nnodes:\n"

const good = head + `
- id: a
  source: queue
  with: {connection: q, queue: master}
- {id: b, transform: decode, inputs: [a]}
- {id: c, sink: store, inputs: [b]}
`

func parse(t *testing.T, text string, env map[string]string) (*Pipeline, []Diagnostic) {
	t.Helper()
	return Parse("test.yaml", []byte(text), testCatalog(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func mustParse(t *testing.T, text string, env map[string]string) *Pipeline {
	t.Helper()
	p, diags := parse(t, text, env)
	if p == nil {
		t.Fatalf("refused: %v", diags)
	}
	return p
}

func TestDefaultsAreFilledIn(t *testing.T) {
	p := mustParse(t, good, nil)
	if p.Lanes != 4 || p.Log.Retention != 24*time.Hour || p.Log.Connection != "r" || p.Unit.MaxEvents != 4096 || p.Durability != BestEffort {
		t.Errorf("pipeline: %+v", p)
	}
	if n := p.Node("b"); n.Retry != DefaultRetry || n.Type.Name != "decode" || n.Line != 10 {
		t.Errorf("node b: %+v", n)
	}
	if o := p.Node("a").With.(*testSource); o.Prefetch != 7 || o.Declare != nil {
		t.Errorf("options of a: %+v", o)
	}
}

func TestDurabilityOfRealServersIsStrict(t *testing.T) {
	text := strings.Replace(good, "redis: {url: embedded}", "redis: {url: 'redis://localhost'}", 1)
	if p := mustParse(t, text, nil); p.Durability != Strict || p.LogAddress() != "redis://localhost" {
		t.Errorf("durability %s, log %s", p.Durability, p.LogAddress().Reveal())
	}
}

func TestOptionsOfAllKinds(t *testing.T) {
	p := mustParse(t, strings.Replace(good, "queue: master}",
		"queue: 7, prefetch: 0x10, wait: 1m30s, declare: false, tags: [red, blue], ratio: 2, size: 1.5KiB}", 1), nil)
	o := p.Node("a").With.(*testSource)
	if o.Queue != "7" || o.Prefetch != 16 || o.Wait != 90*time.Second || *o.Declare || len(o.Tags) != 2 || o.Ratio != 2 || o.Size != 1536 {
		t.Errorf("options: %+v", o)
	}
}

func TestExplicitZeroIsKept(t *testing.T) {
	p := mustParse(t, strings.Replace(good, "inputs: [a]", "inputs: [a], retry: {max: 0, backoff: {jitter: 0}}", 1), nil)
	if r := p.Node("b").Retry; r.Max != 0 || r.Backoff.Jitter != 0 || r.Backoff.Multiplier != 2 {
		t.Errorf("retry: %+v", r)
	}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		rule, queue, want string
		env               map[string]string
	}{
		{"a value", "${Q}", "pumps", map[string]string{"Q": "pumps"}},
		{"a default", "${Q:master.plant1}", "master.plant1", nil},
		{"a default with a colon", "${Q:a:b}", "a:b", nil},
		{"an empty value takes the default", "${Q:x}", "x", map[string]string{"Q": ""}},
		{"within a text", "a.${Q:b}.${R:c}", "a.b.c", nil},
		{"the characters themselves", "$${Q}", "${Q}", nil},
		{"a value is never YAML", "${Q}", "x, prefetch: 1}", map[string]string{"Q": "x, prefetch: 1}"}},
		{"a value is not expanded again", "${Q}", "${R}", map[string]string{"Q": "${R}", "R": "no"}},
		{"a number stays a text where a text is wanted", "${Q}", "007", map[string]string{"Q": "007"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := mustParse(t, strings.Replace(good, "queue: master", fmt.Sprintf("queue: %q", c.queue), 1), c.env)
			if got := p.Node("a").With.(*testSource).Queue; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestVariableGivesNumberAndBool(t *testing.T) {
	for _, quote := range []string{"", `"`} {
		text := strings.Replace(good, "queue: master}", "queue: m}\n  key: '\"k\"'", 1)
		text = strings.Replace(text, "name: test", "name: test\nlanes: "+quote+"${LANES:8}"+quote, 1)
		if p := mustParse(t, text, nil); p.Lanes != 8 {
			t.Errorf("lanes %d", p.Lanes)
		}
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	p := mustParse(t, head+`
- id: a
  source: queue
  with: &shared {connection: q, queue: one, prefetch: 3}
- id: a2
  source: queue
  with: {<<: *shared, queue: two}
- {id: b, transform: decode, inputs: [a, a2]}
- {id: c, sink: store, inputs: [b]}
`, nil)
	if o := p.Node("a2").With.(*testSource); o.Queue != "two" || o.Prefetch != 3 || o.Connection != "q" {
		t.Errorf("options: %+v", o)
	}
}

func TestPluginOptionsAreFree(t *testing.T) {
	p := mustParse(t, strings.Replace(good, "- {id: c, sink: store, inputs: [b]}", `
- id: s
  plugin: scale@>=1.2 <2
  inputs: [b]
  with: {rules: [{from: F, factor: 0.5, on: true}], none: ~, limit: "${LIMIT:12}", count: 12}
- {id: c, sink: store, inputs: [s]}`, 1), nil)
	got := fmt.Sprint(p.Node("s").PluginOptions())
	if want := "map[count:12 limit:12 none:<nil> rules:[map[factor:0.5 from:F on:true]]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, isText := p.Node("s").PluginOptions()["limit"].(string); !isText {
		t.Error("a quoted variable is no text")
	}
}

func TestAnyContentPassesThrough(t *testing.T) {
	mixed := head + `
- {id: a, source: queue, with: {connection: q, queue: m}}
- {id: b, transform: decode, inputs: [a]}
- {id: both, transform: pass, inputs: [a, b]}
- {id: d, sink: dump, inputs: [both]}
`
	mustParse(t, mixed, nil)
	_, diags := parse(t, strings.Replace(mixed, "sink: dump", "sink: store", 1), nil)
	if len(diags) != 1 || diags[0].Code != "needs-record" {
		t.Errorf("payloads reach a sink of records: %v", diags)
	}
}

func TestLintFindings(t *testing.T) {
	_, diags := parse(t, strings.Replace(good, "queue: master}", "queue: master, identity: message_id}\n  key: '\"constant\"'\n- {id: a2, source: queue, with: {connection: q, queue: master}}", 1)+
		"- {id: b2, transform: decode, inputs: [a2]}\n- {id: c2, sink: store, inputs: [b2]}\n", nil)
	var codes []string
	for _, d := range diags {
		codes = append(codes, string(d.Severity)+" "+d.Code)
	}
	want := "[note identity-memory warning constant-key warning shared-queue]"
	if fmt.Sprint(codes) != want {
		t.Errorf("got %v, want %s", codes, want)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const secret = "hunter2"
	env := map[string]string{"S": "ftp://u:" + secret + "@h"}
	for _, text := range []string{
		strings.Replace(good, "urls: embedded", `urls: "${S}"`, 1),
		strings.Replace(good, "url: embedded", `url: "${S}"`, 1),
		strings.Replace(good, "queue: master", `queue: m, prefetch: "${S}"`, 1),
		strings.Replace(good, "queue: master", `queue: m, tags: ["${S}"]`, 1),
		strings.Replace(good, "name: test", "name: test\nlanes: ${S}", 1),
		strings.Replace(good, "name: test", "name: test\ndurability: ${S}", 1),
		strings.Replace(good, "name: test", "name: ${S}", 1),
		strings.Replace(good, "inputs: [a]", `inputs: ["${S}"]`, 1),
		strings.Replace(good, "id: a\n", `id: "${S}"`+"\n", 1),
		strings.Replace(good, "connection: q", `connection: "${S}"`, 1),
		strings.Replace(good, "transform: decode", `transform: "${S}"`, 1),
		strings.Replace(good, "transform: decode", `plugin: "${S}"`, 1),
	} {
		p, diags := parse(t, text, env)
		if p != nil {
			t.Errorf("accepted: %s", text)
		}
		if strings.Contains(fmt.Sprint(diags), secret) {
			t.Errorf("shown: %v", diags)
		}
	}
}

// "embedded" is no secret: a message that says where a log lives keeps the word,
// also if it came from a variable.
func TestEmbeddedIsNotHidden(t *testing.T) {
	text := strings.Replace(good, "urls: embedded", `urls: "amqp://host/"`, 1)
	text = strings.Replace(text, "url: embedded", `url: "${S}"`, 1)
	p, diags := parse(t, text, map[string]string{"S": Embedded})
	if p != nil || !strings.Contains(fmt.Sprint(diags), "the log is embedded") {
		t.Errorf("got %v, want it to say that the log is embedded", diags)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "64MiB": 64 << 20, "4 GiB": 4 << 30, "10MB": 1e7, "1.5KiB": 1536, "17B": 17, "123": 123} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "0x10", "NaN", "Inf", "9999999TiB", "1 PB", "1,5MB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d", text, got)
		}
	}
	if got := Bytes(64<<20).String() + " " + Bytes(1500).String(); got != "64MiB 1500" {
		t.Errorf("got %s", got)
	}
}

func TestUnreadableFile(t *testing.T) {
	_, diags := Load("no/such.yaml", testCatalog(), nil)
	if len(diags) != 1 || diags[0].String() != "no/such.yaml: error: open: no such file or directory" {
		t.Errorf("got %v", diags)
	}
}

func TestHugeFile(t *testing.T) {
	p, diags := parse(t, good+strings.Repeat("# padding\n", 200_000), nil)
	if p != nil || len(diags) != 1 || diags[0].Code != "too-large" {
		t.Errorf("got %v", diags)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(strings.ReplaceAll(good, "[a]", "&x [*x]")))
	f.Add([]byte("a: &a [*a, *a]\n<<: *a\n? [x]\n: ${"))
	f.Add([]byte("kind: ${A:$${}}\nnodes: [{id: a, with: {<<: [&m {a: *m}, *m]}}]"))
	f.Add([]byte(head + "- {id: a, key: \"x +\", with: !!binary aGk=}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, diags := Parse("fuzz.yaml", data, testCatalog(), nil)
		if (p == nil) != HasErrors(diags) {
			t.Fatalf("pipeline %v with %v", p, diags)
		}
		for _, d := range diags {
			if d.Line < 0 || d.Line > 0 && d.Column < 1 || d.Code == "" || d.Message == "" {
				t.Fatalf("incomplete: %+v", d)
			}
		}
	})
}
