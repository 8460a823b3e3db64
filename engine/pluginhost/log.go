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
	"time"
)

// Limits of what a plugin may write into the host's log.
const (
	maxLine      = 16 << 10 // bytes; the rest of a longer line is cut off
	linesASecond = 200      // beyond this, lines are counted and left out
)

// copyLog writes the lines of a plugin's standard error to log until r ends.
// Lines of JSON, as slog and hclog write them, keep their level and attributes.
func copyLog(r io.Reader, log *slog.Logger) {
	lines := bufio.NewReaderSize(r, maxLine)
	var limit lineLimit
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 && limit.allow(time.Now(), log) {
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

// lineLimit allows so many lines in each second.
type lineLimit struct {
	second  int64
	lines   int
	dropped int
}

func (l *lineLimit) allow(now time.Time, log *slog.Logger) bool {
	if second := now.Unix(); second != l.second {
		l.report(log)
		l.second, l.lines = second, 0
	}
	l.lines++
	if l.lines > linesASecond {
		l.dropped++
		return false
	}
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
		attrs = append(attrs, slog.Any(name, fields[name]))
	}
	log.LogAttrs(context.Background(), level, message, attrs...)
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
// the handshake.
type lineWriter struct {
	log   *slog.Logger
	limit lineLimit
}

func (w *lineWriter) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		if w.limit.allow(time.Now(), w.log) {
			logLine(w.log, line[:min(len(line), maxLine)])
		}
	}
	return len(b), nil
}
