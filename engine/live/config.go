package live

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/sink/chart"
)

// Chart is one chart sink of the plan and the streams that it follows.
type Chart struct {
	Sink  *chart.Sink
	Edges []plan.Edge
}

// Config is what a hub needs. Zero durations and counts mean their defaults.
type Config struct {
	Log      Log
	Charts   []Chart
	Pipeline string // name of the pipeline, shown to viewers
	Version  string // of the engine, shown to viewers
	Topics   Topics // what viewers may subscribe to beside charts; nil: nothing
	Embedded bool   // the data does not outlive the process; viewers are told

	Flush        time.Duration // least time between two frames, default 10ms, 1ms..1s
	Ping         time.Duration // between two pings, default 5s
	WriteTimeout time.Duration // a viewer that takes nothing for so long is cut off, default 5s
	IdlePause    time.Duration // pause after each read while nobody looks, default 200ms
	MaxClients   int           // default 16384; more are answered with 503
	MaxClasses   int           // different queries that are looked at, default 512; more are answered with 503
	MaxReduced   int           // of them such as are reduced to pixels, default 64; each keeps up to 7 MB
	MaxPast      int           // questions about the past, of which one is read at a time, default 16; more are answered with 503
	MaxSeries    int           // lines of all charts together, default 2048; points of more are counted, not kept
	Recent       int           // points kept in order of arrival for those who resume, default 200000

	Logger *slog.Logger // default: discards
}

func (c Config) withDefaults() Config {
	c.Flush = cmp.Or(c.Flush, 10*time.Millisecond)
	c.Ping = cmp.Or(c.Ping, 5*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 5*time.Second)
	c.IdlePause = cmp.Or(c.IdlePause, 200*time.Millisecond)
	c.MaxClients = cmp.Or(c.MaxClients, 16_384)
	c.MaxClasses = cmp.Or(c.MaxClasses, 512)
	c.MaxReduced = cmp.Or(c.MaxReduced, 64)
	c.MaxPast = cmp.Or(c.MaxPast, 16)
	c.MaxSeries = cmp.Or(c.MaxSeries, 2048)
	c.Recent = cmp.Or(c.Recent, 200_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("log: is missing"))
	}
	if c.Flush < time.Millisecond || c.Flush > time.Second {
		errs = append(errs, fmt.Errorf("flush: %s is outside 1ms..1s", c.Flush))
	}
	for i, ch := range c.Charts {
		if ch.Sink == nil || len(ch.Edges) == 0 {
			errs = append(errs, fmt.Errorf("charts[%d]: needs a sink and at least one edge", i))
		}
	}
	return errors.Join(errs...)
}

// streams returns the names of all streams that the charts follow, in order.
func (c Config) streams() []string {
	var names []string
	for _, ch := range c.Charts {
		for _, e := range ch.Edges {
			names = append(names, e.Stream)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// window is the longest window of all charts.
func (c Config) window() time.Duration {
	longest := chart.DefaultWindow
	for i, ch := range c.Charts {
		if w := ch.Sink.Options.Window; i == 0 || w > longest {
			longest = w
		}
	}
	return longest
}

// shortest is the shortest window of all charts.
func (c Config) shortest() time.Duration {
	out := c.window()
	for _, ch := range c.Charts {
		out = min(out, ch.Sink.Options.Window)
	}
	return out
}

// reads reports whether an edge of ch comes from the stream.
func (ch Chart) reads(streamName string) bool {
	return slices.ContainsFunc(ch.Edges, func(e plan.Edge) bool { return e.Stream == streamName })
}

// wants reports whether an edge of ch names events of stream that came in by
// source. Only the journal mixes sources: from it, an edge means its own node's.
func (ch Chart) wants(streamName, source string) bool {
	for _, e := range ch.Edges {
		if e.Stream == streamName && (streamName != journal || e.Node == source) {
			return true
		}
	}
	return false
}
