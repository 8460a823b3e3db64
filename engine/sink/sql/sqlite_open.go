package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
	_ "github.com/ncruces/go-sqlite3/embed"  // SQLite as WebAssembly
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	gormschema "gorm.io/gorm/schema"
)

// sqliteDriver is the name under which database/sql knows SQLite.
const sqliteDriver = "sqlite3"

// sqlitePragmas: WAL lets readers read while the sink writes. NORMAL keeps the
// file whole after a power cut, though its last transactions, rows and position
// together, may be gone: the log still has them.
const sqlitePragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"

// sqlitePages bounds what SQLite takes of memory, in pages of 64 KiB.
const sqlitePages = 4096

// sqliteRuntime makes the machine code of SQLite's WebAssembly outlive the
// process: translating it takes more than a second, reading it back some
// milliseconds. Without a cache folder each process translates it anew.
var sqliteRuntime = sync.OnceFunc(func() {
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(sqlitePages).WithCoreFeatures(api.CoreFeaturesV2)
	if dir, err := os.UserCacheDir(); err == nil {
		if cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(dir, "millrace")); err == nil {
			config = config.WithCompilationCache(cache)
		}
	}
	sqlite3.RuntimeConfig = config
})

func openSQLite(dsn string) (*sql.DB, error) {
	sqliteRuntime()
	return sql.Open(sqliteDriver, "file:"+dsn)
}

func (d sqliteFile) open(_ context.Context, _ *Config) (*gorm.DB, *sql.DB, error) {
	if d.path == "" || strings.ContainsAny(d.path, "?#%") {
		return nil, nil, errBadDSN
	}
	return d.openAs(sqlitePragmas)
}

// openAs opens the file with the given parameters.
func (d sqliteFile) openAs(parameters string) (*gorm.DB, *sql.DB, error) {
	pool, err := openSQLite(d.path + parameters)
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(1)
	db, err := gorm.Open(sqliteDialector{pool}, gormConfig())
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, pool, nil
}

// sqliteDialector is as much of GORM's dialect as the sink uses: placeholders and
// quoted names. Tables are made by migrations and createTable, never by GORM.
type sqliteDialector struct{ pool *sql.DB }

var _ gorm.Dialector = sqliteDialector{}

// Name implements [gorm.Dialector].
func (sqliteDialector) Name() string { return "sqlite" }

// Initialize implements [gorm.Dialector].
func (d sqliteDialector) Initialize(db *gorm.DB) error {
	db.ConnPool = d.pool
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{})
	return nil
}

// Migrator implements [gorm.Dialector]; there is none.
func (sqliteDialector) Migrator(*gorm.DB) gorm.Migrator { return nil }

// DataTypeOf implements [gorm.Dialector]; no table is made from a Go type.
func (sqliteDialector) DataTypeOf(*gormschema.Field) string { return "" }

// DefaultValueOf implements [gorm.Dialector].
func (sqliteDialector) DefaultValueOf(*gormschema.Field) clause.Expression {
	return clause.Expr{SQL: "NULL"}
}

// BindVarTo implements [gorm.Dialector].
func (sqliteDialector) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { _ = w.WriteByte('?') }

// QuoteTo implements [gorm.Dialector].
func (sqliteDialector) QuoteTo(w clause.Writer, name string) {
	_, _ = w.WriteString(sqliteFile{}.quote(name))
}

// Explain implements [gorm.Dialector]: statements are logged without values.
func (sqliteDialector) Explain(query string, _ ...any) string { return query }
