package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
)

// dialect is everything in which MariaDB and SQLite differ.
type dialect interface {
	// open returns the connection pool and GORM's handle on it, with every session
	// set as the design asks. The pool may not have been connected yet.
	open(ctx context.Context, c *Config) (*gorm.DB, *sql.DB, error)
	// describe reads what the database says about table; nil if there is none.
	describe(ctx context.Context, db *gorm.DB, table string) (*tableInfo, error)
	// migrations returns the engine's own tables and how two engines that start at
	// once take turns.
	migrations(db *sql.DB) (goose.Dialect, fs.FS, []goose.ProviderOption)
	// createTable returns the DDL of a user's table.
	createTable(table string, columns []target) string
	// copyTable makes table as an empty copy of like, with its keys but without
	// triggers, if there is no table of that name.
	copyTable(ctx context.Context, db *gorm.DB, table, like string) error
	// typeDDL returns a column's type as the database spells it.
	typeDDL(t colType) string
	// conflict returns the end of an INSERT that makes a row whose event id is
	// stored already a no-op, or gives it the new values of the columns in
	// overwrite. A row that collides in another key is refused in either case.
	conflict(otherKeys bool, overwrite []string) string
	// maxStatement returns the most bytes that the database takes as one statement.
	maxStatement(ctx context.Context, db *gorm.DB) (int, error)
	// fault says what an error of the database means.
	fault(err error) fault

	// inspect prepares an examination: it returns how the database is opened without
	// a change to it, nil if there is none yet.
	inspect(c *Config, x *Examination) (opener, error)
	// identify fills in what the database says of itself.
	identify(ctx context.Context, db *gorm.DB, x *Examination) error
	// rights fills in which of the statements this user may not run, and which of
	// the tables to be created this user may not create.
	rights(ctx context.Context, db *gorm.DB, statements []string, x *Examination) error

	quote(name string) string
	appendText(dst []byte, s string) []byte
	appendDecimal(dst []byte, plain string) []byte
	appendFloat(dst []byte, args []any, f float64) ([]byte, []any)
	// number makes a position's part a value that the position columns take.
	number(u uint64) any

	// snapshot returns a transaction that reads the database as it was at its first
	// statement and keeps nobody from writing.
	snapshot() *sql.TxOptions
	// equal returns the condition that the expressions a and b, of the families fa
	// and fb, hold the same value or both none; it is never NULL.
	equal(a, b string, fa, fb family) string
	// double returns expr, a number or a decimal's digits, as a double.
	double(expr string) string
	// shown returns expr as text, at most shownLimit characters of it.
	shown(expr string, f family) string
}

// tableInfo is a table as the database describes it.
type tableInfo struct {
	name       string
	columns    []columnInfo
	primaryKey []string
	otherKeys  bool   // it has further unique keys
	unfit      string // why the table can take no transactional insert, "" if it can
}

// columnInfo is a column as the database describes it.
type columnInfo struct {
	name      string
	typ       colType
	nullable  bool
	optional  bool // has a default, counts by itself or is computed
	generated bool // cannot be written
}

func (t *tableInfo) column(name string) *columnInfo {
	for i := range t.columns {
		if foldName(t.columns[i].name) == foldName(name) {
			return &t.columns[i]
		}
	}
	return nil
}

// foldName makes names comparable as both databases compare column names.
func foldName(name string) string { return strings.ToLower(name) }

// fault is what an error of the database means to the sink.
type fault uint8

const (
	faultUnknown fault = iota
	faultAway          // waiting helps
	faultData          // a row cannot be stored as it is
	faultDrift         // the table is not what it was
	faultAuth          // the database refuses this user
	faultSetup         // the server is set up in a way that the sink cannot work with
)

// networkFault classifies errors below SQL, alike for every dialect.
func networkFault(err error) fault {
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &network),
		errors.Is(err, sql.ErrConnDone), isBadConn(err):
		return faultAway
	}
	return faultUnknown
}

// idleLimit is how long a transaction that has written may stand still: below
// the lease, so that a stopped engine's locks are gone when another takes over.
func (c *Config) idleLimit() time.Duration {
	return max(c.LeaseTTL-time.Second, time.Second).Truncate(time.Second)
}

// driverLog hands what a driver would print to standard error to the sink's log.
type driverLog struct{ log *slog.Logger }

// Print implements the driver's logger.
func (l driverLog) Print(v ...any) {
	l.log.Debug("database driver", "says", v)
}
