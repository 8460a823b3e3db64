package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Config describes one pipeline's log.
type Config struct {
	URL      string // redis://, rediss:// or unix://; may hold a password and is never printed
	Pipeline string // names the keys; letters, digits, '-', '_' and '.'
	EngineID string // names this engine; a newer process with the same id takes its leases over

	Lanes  int  // lanes of every stream, 1..256; must be what the log was created with
	Strict bool // refuse a Redis that does not prove to keep what it acknowledges

	MaxBytes       int64         // bytes that frames may take; 0: 60 % of maxmemory, or a quarter of the machine's memory
	Retention      time.Duration // how long the journal keeps frames that all readers have passed; default 24 h
	RetentionBytes int64         // how many bytes of such frames the journal keeps; default 4 GiB
	Resume         time.Duration // how long other streams keep frames that all readers have passed; default 15 min
	DeadRetention  time.Duration // how long dead letters are kept; default 30 days
	DeadAlarm      int64         // bytes of dead letters from which they are a matter for people; default 64 MiB
	IdentityWindow time.Duration // for how long at least an identity is remembered; default 1 h
	LeaseTTL       time.Duration // after which others may take a silent engine's leases; default 5 s, at least 100 ms

	Logger  *slog.Logger // default: discards
	OnFatal func(error)  // hears once why the log must not be used any more; must not block or call the log

	Dial   func(ctx context.Context) (net.Conn, error) // opens a connection to the server behind URL; default: as URL says
	Jitter func() float64                              // draws from [0, 1) how pauses between tries differ; default: at random
}

const maxLanes = 256

func (c *Config) setDefaults() {
	c.Retention = defaultTo(c.Retention, 24*time.Hour)
	c.RetentionBytes = defaultTo(c.RetentionBytes, 4<<30)
	c.Resume = defaultTo(c.Resume, 15*time.Minute)
	c.DeadRetention = defaultTo(c.DeadRetention, 30*24*time.Hour)
	c.DeadAlarm = defaultTo(c.DeadAlarm, 64<<20)
	c.IdentityWindow = defaultTo(c.IdentityWindow, time.Hour)
	c.LeaseTTL = defaultTo(c.LeaseTTL, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
}

func defaultTo[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate reports every bad field at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(!isName(c.Pipeline), "pipeline: %q is not a name", c.Pipeline)
	bad(!isName(c.EngineID), "engine id: %q is not a name", c.EngineID)
	bad(c.Lanes < 1 || c.Lanes > maxLanes, "lanes: %d is outside 1..%d", c.Lanes, maxLanes)
	bad(c.MaxBytes < 0, "max_bytes: %d is negative", c.MaxBytes)
	bad(c.Retention < 0, "retention: %s is negative", c.Retention)
	bad(c.RetentionBytes < 0, "retention_bytes: %d is negative", c.RetentionBytes)
	bad(c.Resume < 0, "resume: %s is negative", c.Resume)
	bad(c.DeadRetention < 0, "dead_letter_retention: %s is negative", c.DeadRetention)
	bad(c.DeadAlarm < 0, "dead_letter_alarm: %d is negative", c.DeadAlarm)
	bad(c.IdentityWindow < 0, "identity_window: %s is negative", c.IdentityWindow)
	bad(c.LeaseTTL < 0 || c.LeaseTTL > 0 && c.LeaseTTL < 100*time.Millisecond, "lease: %s is below 100ms", c.LeaseTTL)
	return errors.Join(errs...)
}

// isName reports whether s may stand in a key: separators and hash tags may not.
func isName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsAny(s, "{}|:/ \x00\r\n\t")
}

// Entry is one frame of a lane with its place in the log.
type Entry struct {
	At    event.Position
	Frame []byte // encoded by event.Frame; never changes
}

func fatalf(format string, args ...any) error { return node.AsFatal(fmt.Errorf(format, args...)) }
