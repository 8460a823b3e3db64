package pluginhost

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// plainLogger writes to out without the time.
func plainLogger(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).With("plugin", "p@1.0.0")
}

func TestLinesOfAPlugin(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"a word", `level=WARN msg="a word" plugin=p@1.0.0`},
		{"tabs\tand \x1b[31mcolours\r", `level=WARN msg="tabs\tand \x1b[31mcolours" plugin=p@1.0.0`},
		{`{"time":"2026-01-01T00:00:00Z","level":"DEBUG","msg":"slog","n":1}`, `level=DEBUG msg=slog plugin=p@1.0.0 n=1`},
		{`{"@level":"error","@message":"hclog","@module":"m","@timestamp":"2026"}`, `level=ERROR msg=hclog plugin=p@1.0.0 @module=m`},
		{`{"@level":"trace","@message":"hclog"}`, `level=DEBUG msg=hclog plugin=p@1.0.0`},
		{`{"level":"WARN+2","msg":"between"}`, `level=WARN+2 msg=between plugin=p@1.0.0`},
		{`{"level":"loud","msg":"no such level"}`, `level=INFO msg="no such level" plugin=p@1.0.0`},
		{`{"level":"INFO","msg":"another's name","plugin":"q@1.0.0","node":"x"}`, `level=INFO msg="another's name" plugin=p@1.0.0 its_node=x its_plugin=q@1.0.0`},
		{`{"msg":`, `level=WARN msg="{\"msg\":" plugin=p@1.0.0`},
		{`[1,2]`, `level=WARN msg=[1,2] plugin=p@1.0.0`},
	} {
		var raw, pieces bytes.Buffer
		copyLog(strings.NewReader(c.line+"\n"), plainLogger(&raw))
		w := &lineWriter{log: plainLogger(&pieces)}
		for i := range len(c.line) {
			_, _ = w.Write([]byte(c.line[i : i+1])) // never fails
		}
		w.end()
		for way, out := range map[string]string{"standard error": raw.String(), "handed on in pieces": pieces.String()} {
			if strings.TrimSpace(out) != c.want {
				t.Errorf("%q, %s:\n%swant\n%s", c.line, way, out, c.want)
			}
		}
	}
}

func TestFloodsOfLinesAreLeftOut(t *testing.T) {
	for _, c := range []struct {
		name, line string
		most       int // bytes of the log
	}{
		{"short lines", "x\n", 2 * linesASecond * 60},
		{"lines of 1 KiB", strings.Repeat("x", 1023) + "\n", 2 * (bytesASecond + 1024*60)},
		{"one endless line", strings.Repeat("x", 1024), 2 * (maxLine + 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // all of it within one second
				var raw, pieces bytes.Buffer
				text := strings.Repeat(c.line, 10_000)
				copyLog(strings.NewReader(text), plainLogger(&raw))
				w := &lineWriter{log: plainLogger(&pieces)}
				fmt.Fprint(w, text)
				w.end()
				for way, out := range map[string]string{"standard error": raw.String(), "handed on": pieces.String()} {
					if len(out) == 0 || len(out) > c.most {
						t.Errorf("%s: %d bytes of log, want 1..%d", way, len(out), c.most)
					}
					if strings.HasSuffix(c.line, "\n") && !strings.Contains(out, "left out") {
						t.Errorf("%s: nobody is told that lines are missing", way)
					}
				}
			})
		})
	}
}
