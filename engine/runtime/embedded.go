package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/feed"
	"github.com/millrace/millrace/engine/source/stock"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream/embedded"
)

// embeddedServers are the in-process stand-ins of the servers that a pipeline
// leaves at "embedded". What they hold goes with the process.
type embeddedServers struct {
	redis  *embedded.Server // nil if the log is on a real server
	dir    string           // of the SQLite file; "" if every store is real
	queues *stock.Queues    // nil if every broker is real
}

// EmbeddedParts names the connections of p that are embedded, sorted.
func EmbeddedParts(p *spec.Pipeline) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Connections)) {
		if p.Connections[name].Embedded() {
			names = append(names, name)
		}
	}
	return names
}

func (e *Engine) openEmbedded(context.Context) error {
	s := &embeddedServers{}
	e.closers = append(e.closers, s.close)
	if e.Pipeline.LogAddress() == spec.Embedded {
		redis, err := embedded.Start(e.Logger)
		if err != nil {
			return err
		}
		s.redis = redis
	}
	for _, name := range EmbeddedParts(e.Pipeline) {
		switch e.Pipeline.Connections[name].Kind() {
		case "sql":
			dir, err := os.MkdirTemp("", "millrace-"+e.Pipeline.Name+"-")
			if err != nil {
				return fmt.Errorf("folder for the embedded store: %w", err)
			}
			s.dir = dir
		case "amqp":
			s.queues = stock.NewQueues(e.Logger)
		}
	}
	e.embedded = s
	return nil
}

// any reports whether anything is embedded.
func (s *embeddedServers) any() bool { return s.redis != nil || s.dir != "" || s.queues != nil }

// feed publishes the plants' data to the embedded queues until ctx ends.
func (s *embeddedServers) feed(ctx context.Context, log *slog.Logger) error {
	if s.queues == nil {
		return nil
	}
	return feed.Embedded(ctx, s.queues.Publish, feed.EmbeddedOptions{Log: log})
}

func (s *embeddedServers) close() error {
	var errs []error
	if s.queues != nil {
		errs = append(errs, s.queues.Close())
	}
	if s.redis != nil {
		s.redis.Close()
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

func (e *Engine) logURL() string {
	if e.embedded.redis != nil {
		return e.embedded.redis.URL()
	}
	return e.Pipeline.LogAddress().Reveal()
}

// dsn returns the DSN of an SQL connection of p.
func (e *Engine) dsn(p *spec.Pipeline, connection string) spec.Secret {
	c := p.Connections[connection]
	if c.Embedded() {
		return spec.Secret("sqlite:" + filepath.Join(e.embedded.dir, "store.db"))
	}
	return c.Address()
}
