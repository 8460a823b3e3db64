package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func TestConformance(t *testing.T) { plugintest.Run(t, mqtttopic, "examples/*.yaml") }

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                              "patterns: none given",
		`{"patterns":[""]}`:               `patterns[0]: "" is empty`,
		`{"patterns":["a","{x}/{x}"]}`:    `patterns[1]: "{x}/{x}" takes field "x" twice`,
		`{"patterns":["#/a"]}`:            "# stands before the end",
		`{"patterns":["{a...}/b"]}`:       "{a...} stands before the end",
		`{"patterns":["{a:int...}"]}`:     "takes several levels, which are no int",
		`{"patterns":["a{b}"]}`:           `level "a{b}" is neither`,
		`{"patterns":["a+"]}`:             `level "a+" is neither`,
		`{"patterns":["{a b}"]}`:          `level "{a b}" is neither`,
		`{"patterns":["a"],"existing":1}`: "existing: is a number",
		`{"patterns":["a"],"existing":"drop","unmatched":"x"}`: `unmatched: "x" is none`,
	} {
		if _, err := mqtttopic.Open([]byte(config), sdk.Node{ID: "n", Lanes: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

func TestTopicOfARoutingKey(t *testing.T) {
	if got := topic("plant3.office-1.v1/2"); got != "plant3/office-1/v1.2" {
		t.Errorf("topic %q", got)
	}
}

// TestAFieldIsWhatItsLevelIs builds topics of levels and takes them apart again.
func TestAFieldIsWhatItsLevelIs(t *testing.T) {
	text := rapid.StringMatching(`[^/]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, rest := text.Draw(t, "a"), text.Draw(t, "b"), rapid.SliceOfN(text, 0, 3).Draw(t, "rest")
		p, err := compile("fixed/{a}/+/{b}/{rest...}")
		if err != nil {
			t.Fatal(err)
		}
		levels := append([]string{"fixed", a, "any", b}, rest...)
		fields, ok, err := p.match(levels)
		want := []event.Field{{Name: "a", Value: event.String(a)}, {Name: "b", Value: event.String(b)}, {Name: "rest", Value: event.String(strings.Join(rest, "/"))}}
		if !ok || err != nil || len(fields) != 3 || fields[0] != want[0] || fields[1] != want[1] || fields[2] != want[2] {
			t.Fatalf("%q gives %v, %v, %v", levels, fields, ok, err)
		}
		levels[0] = "other"
		if _, ok, _ := p.match(levels); ok {
			t.Fatalf("%q fits", levels)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a/{b}/#", "a/x/y/z")
	f.Add("{a:int}/+/{c...}", "5//")
	f.Add("", "/")
	f.Fuzz(func(t *testing.T, text, topic string) {
		p, err := compile(text)
		if err != nil {
			return
		}
		levels := strings.Split(topic, "/")
		fields, ok, why := p.match(levels)
		if ok && (why != nil || len(levels) < len(p.levels)) || !ok && fields != nil {
			t.Errorf("%q and %q: %v, %v, %v", text, topic, fields, ok, why)
		}
	})
}
