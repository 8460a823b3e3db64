package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of what a plugin may write into the host's log.
const (
	maxLine      = 16 << 10 // bytes; the rest of a longer line is cut off
	linesASecond = 200      // beyond this, lines are counted and left out
	bytesASecond = 64 << 10 // likewise; a line that begins below it is taken
)

// copyLog writes the lines of a plugin's standard error to log until r ends.
// Lines of JSON, as slog and hclog write them, keep their level and attributes.
func copyLog(r io.Reader, log *slog.Logger) {
	lines := bufio.NewReaderSize(r, maxLine)
	var limit lineLimit
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 && limit.allow(time.Now(), len(line), log) {
			logLine(log, line)
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			limit.report(log)
			return
		}
	}
}

// lineLimit allows so many lines and bytes in each second.
type lineLimit struct {
	second  int64
	lines   int
	bytes   int
	dropped int
}

func (l *lineLimit) allow(now time.Time, size int, log *slog.Logger) bool {
	if second := now.Unix(); second != l.second {
		l.report(log)
		l.second, l.lines, l.bytes = second, 0, 0
	}
	if l.lines == linesASecond || l.bytes >= bytesASecond {
		l.dropped++
		return false
	}
	l.lines++
	l.bytes += size
	return true
}

func (l *lineLimit) report(log *slog.Logger) {
	if l.dropped > 0 {
		log.Warn("lines of the plugin's log were left out", "lines", l.dropped)
	}
	l.dropped = 0
}

// logLine logs one line: as it was meant if it is a JSON log record, else as text.
func logLine(log *slog.Logger, line []byte) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		log.Warn(strings.TrimRight(string(line), "\r\n"))
		return
	}
	take := func(names ...string) string {
		for _, name := range names {
			if text, ok := fields[name].(string); ok {
				delete(fields, name)
				return text
			}
		}
		return ""
	}
	level := levelOf(take("level", "@level"))
	message := take("msg", "@message")
	take("time", "@timestamp")
	attrs := make([]slog.Attr, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		attrs = append(attrs, slog.Any(ownName(name), fields[name]))
	}
	log.LogAttrs(context.Background(), level, message, attrs...)
}

// ownName keeps a plugin from signing as another one.
func ownName(name string) string {
	switch name {
	case "plugin", "node", "part", "probe":
		return "its_" + name
	}
	return name
}

func levelOf(name string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err == nil {
		return level
	}
	if name == "trace" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// lineWriter logs what a plugin prints to its standard output and error after
// the handshake. It comes in pieces that know no lines.
type lineWriter struct {
	log   *slog.Logger
	mu    sync.Mutex
	limit lineLimit // guarded by mu
	begun []byte    // guarded by mu: of the line that has no end yet, at most maxLine
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for piece := range bytes.Lines(b) {
		w.begun = append(w.begun, piece[:min(len(piece), maxLine-len(w.begun))]...)
		if piece[len(piece)-1] == '\n' {
			w.line()
		}
	}
	return len(b), nil
}

// line logs the line that has been gathered.
func (w *lineWriter) line() {
	if len(w.begun) > 0 && w.limit.allow(time.Now(), len(w.begun), w.log) {
		logLine(w.log, w.begun)
	}
	w.begun = w.begun[:0]
}

// end logs what is left once the process has ended.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line()
	w.limit.report(w.log)
}
