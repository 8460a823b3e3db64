// Package sqlsink stores records as rows of a MariaDB or SQLite table through GORM,
// at the end of an event's way: the rows of one unit and the sink's position in
// its stream are one transaction, so that a unit that comes again, from whichever
// engine, is told exactly. It is the only package that knows GORM. It does not
// read streams, keep dead letters or retry: it says by the class of an error what
// should be done.
package sqlsink

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/health"
	"github.com/millrace/millrace/engine/spec"
	"gorm.io/gorm"
)

// Config is all that one sink needs.
type Config struct {
	// DSN is user:password@tcp(host:port)/database for MariaDB, sqlite:PATH for a
	// SQLite file. It never appears in errors or logs.
	DSN spec.Secret
	// Pipeline, Generation and Node (the sink's id) name the sink's positions.
	// Each has 1..64 characters; Generation is "live" if empty. A replay is another
	// generation, with positions of its own: of the same table, or of the one that
	// [ShadowTable] names.
	Pipeline, Generation, Node string
	// Streams are the input streams that the sink may be given; empty: any.
	Streams []string
	Options Options
	// Like, if set, names a table of the same database. If Options.Table does not
	// exist, Open makes it as an empty copy of that one: columns, defaults, checks,
	// unique keys and counters, but no triggers and, in MariaDB, no foreign keys. If
	// Like does not exist either, Options.AutoCreate decides as without it.
	Like string
	// Overwrite gives a row whose event id is stored already the event's values of
	// the configured columns; further columns keep theirs. Without it such a row is
	// left as it is. A row that collides in another unique key is rejected in
	// either case. A unit that was stored already is a repeat in either case: it is
	// a generation of its own that brings stored events again.
	Overwrite bool
	// Logger may be nil.
	Logger *slog.Logger
	// LeaseTTL is the lease under which lanes are written, default 5 s. A
	// transaction that stands still is ended by the server one second before.
	LeaseTTL time.Duration
	// OnCommit, if set, hears of every unit that was stored now: its rows and how
	// long its transaction took. Called by concurrent Writes.
	OnCommit func(rows int, took time.Duration)
}

// Errors that stop a lane; each comes with class Fatal.
var (
	// ErrGap: the position in the database is neither just before the unit nor at
	// or past its end.
	ErrGap        = errors.New("position in the database does not join the unit")
	errNoPosition = errors.New("no position in the database")
)

// Sink is an open SQL sink. Write and Position may be called concurrently for
// different lanes, Status at any time.
type Sink struct {
	cfg       Config
	dialect   dialect
	db        *gorm.DB
	pool      *sql.DB
	owner     string // token of this incarnation in millrace_positions
	statement int    // most bytes of one statement
	schema    atomic.Pointer[schema]
	suspect   atomic.Bool  // the table may have changed: verify before the next unit
	drifts    atomic.Int64 // how often the table was found not to fit
	verified  atomic.Int64 // when it was looked at last, ns since the Unix epoch
	verifying sync.Mutex
	batches   sync.Pool // *batch
	health    health.Lanes
}

var (
	_ node.Sink       = (*Sink)(nil)
	_ node.Positioned = (*Sink)(nil)
	_ spec.Checker    = (*Options)(nil)
)

// Open connects, brings the engine's own tables up to date, and creates (if Like
// or auto_create says so) and checks the target table. An error of class Away means
// that the database cannot be reached and Open may be called again; a Fatal one
// names what does not fit. Close must be called.
func Open(ctx context.Context, cfg Config) (*Sink, error) {
	s, err := newSink(cfg)
	if err != nil {
		return nil, node.AsFatal(fmt.Errorf("sink %q: %w", cfg.Node, err))
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sink %q: %w", cfg.Node, err), s.Close())
	}
	return s, nil
}

func newSink(cfg Config) (*Sink, error) {
	if cfg.Generation == "" {
		cfg.Generation = liveGeneration
	}
	if cfg.LeaseTTL <= 0 {
		cfg.LeaseTTL = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, name := range []string{cfg.Pipeline, cfg.Generation, cfg.Node} {
		if name == "" || len(name) > 64 {
			return nil, fmt.Errorf("name %q: want 1..64 bytes", name)
		}
	}
	for _, e := range cfg.Options.Check() {
		return nil, e
	}
	if msg := badIdentifier(cfg.Like); cfg.Like != "" && msg != "" {
		return nil, fmt.Errorf("like: %s", msg)
	}
	s := &Sink{cfg: cfg, dialect: dialectOf(cfg.DSN), owner: strings.ToLower(rand.Text())[:24]}
	s.batches.New = func() any { return new(batch) }
	return s, nil
}

func dialectOf(dsn spec.Secret) dialect {
	if path, ok := strings.CutPrefix(dsn.Reveal(), sqlitePrefix); ok {
		return sqliteFile{path}
	}
	return mariadb{}
}

func (s *Sink) start(ctx context.Context) (err error) {
	if s.db, s.pool, err = s.dialect.open(ctx, &s.cfg); err != nil {
		return s.classifyStart(fmt.Errorf("open database: %w", err))
	}
	if err := s.pool.PingContext(ctx); err != nil {
		return s.classifyStart(fmt.Errorf("connect to database: %w", err))
	}
	if s.statement, err = s.dialect.maxStatement(ctx, s.db); err != nil {
		return s.classifyStart(fmt.Errorf("read max_allowed_packet: %w", err))
	}
	if err := s.migrate(ctx); err != nil {
		return s.classifyStart(fmt.Errorf("migrate the engine's tables: %w", err))
	}
	return s.prepareTable(ctx)
}

// Write implements [node.Sink]: one transaction stores the unit's rows and moves
// the position from u.After to u.Last, which are told apart from a repeat (nil)
// and a gap (Fatal). A unit without events only moves the position. An answer
// that was lost on the way, that of a COMMIT included, gives an Away error; the
// same unit then tells what became of it.
func (s *Sink) Write(ctx context.Context, u *node.Unit) error {
	key := laneKey{u.Stream, u.Lane}
	begun := time.Now()
	stored, err := s.write(ctx, key, u)
	if err != nil && node.ClassOf(err) != node.Rejected {
		err = fmt.Errorf("sink %q: unit %s..%s of %s: %w", s.cfg.Node, u.After, u.Last, key, err)
	}
	s.health.Note(key.stream, key.lane, err)
	if stored && s.cfg.OnCommit != nil {
		s.cfg.OnCommit(len(u.Events), time.Since(begun))
	}
	return err
}

func (s *Sink) write(ctx context.Context, key laneKey, u *node.Unit) (stored bool, err error) {
	if err := s.knows(key); err != nil {
		return false, err
	}
	drifts := s.drifts.Load()
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	b := s.batches.Get().(*batch)
	defer s.release(b)
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := s.advance(tx, u); err != nil {
			return err
		}
		return s.insert(ctx, tx, b, u)
	})
	if errors.Is(err, errRepeat) {
		return false, nil
	}
	if rejected, ok := errors.AsType[*node.RejectedError](err); ok {
		return s.rejected(ctx, key, u, knowledge{b.schema, drifts}, rejected)
	}
	return err == nil, s.classify(err)
}

// knowledge is what a unit was written by: the table as it was found, and how often
// it had been found unfit.
type knowledge struct {
	schema *schema
	drifts int64
}

// rejected asks whether it is the data that does not fit, or whether the table has
// changed since the sink looked at it; it then writes the unit anew. So it does if
// another lane has found the table unfit meanwhile: it may have been mended since.
func (s *Sink) rejected(ctx context.Context, key laneKey, u *node.Unit, used knowledge, rejected error) (stored bool, err error) {
	if time.Since(time.Unix(0, s.verified.Load())) > verifyEvery {
		s.suspect.Store(true)
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	if s.schema.Load().same(used.schema) && s.drifts.Load() == used.drifts {
		return false, rejected
	}
	return s.write(ctx, key, u)
}

// verifyEvery is how old the sink's knowledge of its table may be when it rejects a
// row by it.
const verifyEvery = 2 * time.Second

// release drops what the batch holds of the unit and keeps its buffers.
func (s *Sink) release(b *batch) {
	b.events, b.schema = nil, nil
	clear(b.enc.args[:cap(b.enc.args)])
	s.batches.Put(b)
}

// settle verifies the table if an earlier answer made it suspect.
func (s *Sink) settle(ctx context.Context) error {
	if !s.suspect.Load() {
		return nil
	}
	s.verifying.Lock()
	defer s.verifying.Unlock()
	if !s.suspect.Load() {
		return nil
	}
	return s.verify(ctx)
}

func (s *Sink) knows(key laneKey) error {
	if len(s.cfg.Streams) > 0 && !slices.Contains(s.cfg.Streams, key.stream) {
		return node.AsFatal(fmt.Errorf("sink %q does not read stream %q", s.cfg.Node, key.stream))
	}
	return nil
}

// Status implements [node.Sink]: ready unless a lane's last attempt failed.
func (s *Sink) Status() node.Status { return s.health.Status() }

// Close implements [node.Sink]. Closing again does nothing.
func (s *Sink) Close() error {
	if s.pool == nil {
		return nil
	}
	return s.pool.Close()
}
