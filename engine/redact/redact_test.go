package redact

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/event/eventjson"
)

func rules(t *testing.T, list ...string) *Rules {
	t.Helper()
	r, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPayloads(t *testing.T) {
	for name, c := range map[string]struct{ rule, in, want string }{
		"a name at any depth":             {"password", `{"a": {"password": "x"}, "n": 1.50}`, `{"a":{"password":"[redacted]"},"n":1.50}`},
		"capital letters":                 {"password", `{"PassWord":"x"}`, `{"PassWord":"[redacted]"}`},
		"a path":                          {"user.ssn", `{"ssn":"1","user":{"ssn":"2","x":null}}`, `{"ssn":"1","user":{"ssn":"[redacted]","x":null}}`},
		"a path that begins deeper":       {"user.ssn", `{"a":{"user":{"ssn":2}}}`, `{"a":{"user":{"ssn":"[redacted]"}}}`},
		"any name":                        {"*.token", `{"token":"1","a":{"token":"2"}}`, `{"token":"1","a":{"token":"[redacted]"}}`},
		"a list has its path":             {"users.ssn", `{"users":[{"ssn":1},{"ssn":2}]}`, `{"users":[{"ssn":"[redacted]"},{"ssn":"[redacted]"}]}`},
		"a list at the top":               {"ssn", `[{"ssn":1},[2]]`, `[{"ssn":"[redacted]"},[2]]`},
		"an object as a whole":            {"user", `{"user":{"a":[1,{"b":"c"}]},"z":true}`, `{"user":"[redacted]","z":true}`},
		"a name that is there twice":      {"p", `{"p":"a","p":"b"}`, `{"p":"[redacted]","p":"[redacted]"}`},
		"a name with a dot":               {"x.token", `{"x.token":"a"}`, `{"x.token":"[redacted]"}`},
		"an object within a text":         {"p", `{"body":"{\"p\":\"abc\"}"}`, `{"body":"{\"p\":\"[redacted]\"}"}`},
		"a text with nothing of it stays": {"p", `{"body":"{ \"q\": 1 }","log":"[WARN] <b>"}`, `{"body":"{ \"q\": 1 }","log":"[WARN] <b>"}`},
		"a text that is cut off":          {"p", `{"body":"{\"p\":\"ab"}`, `{"body":"` + Withheld + `"}`},
		"no JSON":                         {"p", `p;1`, Withheld},
		"a lone text":                     {"p", `"p"`, Withheld},
		"more than one value":             {"p", `{"p":1} {"p":2}`, Withheld},
		"cut off":                         {"p", `{"p":"ab`, Withheld},
		"too deep":                        {"p", strings.Repeat("[", 100_000), Withheld},
	} {
		t.Run(name, func(t *testing.T) {
			shown, _ := rules(t, c.rule).Event(&event.Event{Payload: []byte(c.in)})
			if string(shown.Payload) != c.want {
				t.Errorf("%s; want %s", shown.Payload, c.want)
			}
		})
	}
}

// TestTheSecretIsNowhere puts one value wherever an event has a place for it.
func TestTheSecretIsNowhere(t *testing.T) {
	const secret = "hunter2-0451"
	ev := &event.Event{
		RootID: "m/" + secret, Key: secret,
		Source:  event.Source{MessageID: secret, RoutingKey: "a." + secret},
		Headers: []event.Header{{Name: "Authorization", Value: event.String(secret)}, {Name: "plant", Value: event.String("p1")}},
		Record: &event.Record{Fields: []event.Field{
			{Name: "password", Value: event.String(secret)},
			{Name: "user", Value: event.JSON(`{"Password":["` + secret + `",451]}`)},
			{Name: "broken", Value: event.JSON(`{"password":"` + secret)},
			{Name: "blob", Value: event.Bytes([]byte(secret))},
			{Name: "n", Value: event.Int(7)},
		}},
	}
	shown, hidden := rules(t, "password", "authorization").Event(ev)
	text, err := json.Marshal(struct {
		*eventjson.Event
		Key, RootID string
	}{eventjson.Of(shown), shown.Key, shown.RootID})
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), "aHVudGVyMi0wNDUx") {
		t.Errorf("%s, %v", text, err)
	}
	for _, want := range []string{`"password":"[redacted]"`, `"Password":"[redacted]"`, `"n":7`, `"plant":"p1"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if ev.Key != secret || ev.Record.Fields[0].Value.Text() != secret || ev.Headers[0].Value.Text() != secret {
		t.Error("the event itself is changed")
	}
	if !hidden.Withheld || hidden.Scrub("cannot read "+secret) != Marker || hidden.Scrub("cannot read 7") != "cannot read 7" {
		t.Errorf("hidden %+v", hidden)
	}
}

func TestWithoutRulesAnEventIsShownAsItIs(t *testing.T) {
	ev := &event.Event{Payload: []byte("p;1")}
	if shown, hidden := rules(t).Event(ev); shown != ev || hidden.Withheld || hidden.Scrub("p") != "p" {
		t.Errorf("shown %+v", shown)
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for _, bad := range []string{"", ".", "a..b", ".a", "a."} {
		if _, err := Parse([]string{"ok", bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzPayloadsHideTheirSecret(f *testing.F) {
	for _, seed := range []string{`{"p":"SECRET"}`, `[{"p":{"a":"SECRET"}}]`, `{"b":"{\"p\":\"SECRET\"}"}`, `{"p":"SECRET`, `{"p":"SECRET"}x`} {
		f.Add([]byte(seed))
	}
	r, err := Parse([]string{"*"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		shown, _ := r.Event(&event.Event{Payload: payload})
		if text := string(shown.Payload); len(payload) > 0 && text != Withheld && !json.Valid(shown.Payload) {
			t.Errorf("%q is shown as %q, which is neither JSON nor withheld", payload, text)
		}
	})
}
