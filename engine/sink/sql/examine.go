package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/node"
	"gorm.io/gorm"
)

// Examination is what a database says of itself and of one sink's table.
type Examination struct {
	Product, Version string // MariaDB or SQLite
	Address          string // of MariaDB: host:port/database; "" for SQLite
	File             string // of SQLite; "" for MariaDB
	NewFile          bool   // SQLite will create it

	MaxPacket  int64         // most bytes of one statement that MariaDB takes; 0 for SQLite
	Clock      time.Duration // how far the server's clock is ahead of this machine's; 0 for SQLite
	ClockError time.Duration // at most this much of Clock is the network's

	Creates  []string  // tables that are not there and that [Open] would create
	Problems []Problem // what keeps the target table from taking rows, as [Open] would find it
	Rights   []Problem // what this user may not do and must
}

// Examine looks at everything that [Open] would, and more, without waiting; it
// creates, migrates and changes nothing. Errors never hold the DSN. Away: no
// answer; Fatal: a DSN that cannot be used, or a database that refuses this user or
// this sink.
func Examine(ctx context.Context, cfg Config) (x *Examination, err error) {
	s, err := newSink(cfg)
	if err != nil {
		return nil, node.AsFatal(fmt.Errorf("sink %q: %w", cfg.Node, err))
	}
	x = &Examination{}
	open, err := s.dialect.inspect(&s.cfg, x)
	if err != nil {
		return nil, s.classifyStart(err)
	}
	if open == nil {
		return x, s.judge(map[string]*tableInfo{}, x)
	}
	if s.db, s.pool, err = open(ctx); err != nil {
		return nil, s.classifyStart(fmt.Errorf("open database: %w", err))
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.pool.PingContext(ctx); err != nil {
		return nil, s.classifyStart(fmt.Errorf("connect to database: %w", err))
	}
	for _, look := range []func(context.Context, *gorm.DB, *Examination) error{s.dialect.identify, s.examineTable, s.examineRights} {
		if err := look(ctx, s.db.WithContext(ctx), x); err != nil {
			return nil, s.classifyStart(fmt.Errorf("look at database: %w", err))
		}
	}
	return x, nil
}

// opener opens a database in a way that changes nothing.
type opener func(ctx context.Context) (*gorm.DB, *sql.DB, error)

// positionsTable holds the sinks' positions.
const positionsTable = "millrace_positions"

func (s *Sink) examineTable(ctx context.Context, db *gorm.DB, x *Examination) error {
	found := map[string]*tableInfo{}
	for _, name := range []string{migrationTable, positionsTable, s.cfg.Options.Table} {
		var err error
		if found[name], err = s.dialect.describe(ctx, db, name); err != nil {
			return err
		}
	}
	return s.judge(found, x)
}

// judge says which tables are to be created and whether the target table fits.
func (s *Sink) judge(found map[string]*tableInfo, x *Examination) error {
	for _, name := range []string{migrationTable, positionsTable} {
		if found[name] == nil {
			x.Creates = append(x.Creates, name)
		}
	}
	table := s.cfg.Options.Table
	if found[table] == nil && s.cfg.Options.AutoCreate {
		x.Creates = append(x.Creates, table)
		return nil
	}
	if x.Problems = s.problems(found[table]); len(x.Problems) > 0 {
		return nil
	}
	adopted, err := s.adopt(found[table])
	s.schema.Store(adopted)
	return err
}

// examineRights lets the database explain what the sink will ask for: it checks
// this user's rights as if it were to be done.
func (s *Sink) examineRights(ctx context.Context, db *gorm.DB, x *Examination) error {
	return s.dialect.rights(ctx, db, s.statements(x), x)
}

// ownStatements are those on the engine's own tables.
var ownStatements = map[string][]string{
	migrationTable: {"SELECT version_id FROM " + migrationTable},
	positionsTable: {
		"INSERT INTO millrace_positions (pipeline, generation, sink, stream, lane, epoch, ms, seq, owner) VALUES ('', '', '', '', 0, 0, 0, 0, '')",
		"UPDATE millrace_positions SET owner = '' WHERE pipeline = '' AND generation = '' AND sink = '' AND stream = '' AND lane = 0",
	},
}

// statements are those that the sink runs on tables that are there.
func (s *Sink) statements(x *Examination) []string {
	var out []string
	if adopted := s.schema.Load(); adopted != nil {
		out = append(out, adopted.insert+"(NULL"+strings.Repeat(", NULL", len(adopted.columns))+")"+adopted.tail)
	}
	for _, name := range []string{migrationTable, positionsTable} {
		if !slices.Contains(x.Creates, name) {
			out = append(out, ownStatements[name]...)
		}
	}
	return out
}
