package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"strings"

	"gorm.io/gorm"
)

// inspect opens a file that is there without writing to it. Without a write-ahead
// log beside it no program has it open, and then none is made.
func (d sqliteFile) inspect(_ *Config, x *Examination) (opener, error) {
	x.Product, x.File = "SQLite", d.path
	if d.path == "" || strings.ContainsAny(d.path, "?#%") {
		return nil, errBadDSN
	}
	switch _, err := os.Stat(d.path); {
	case errors.Is(err, fs.ErrNotExist):
		x.NewFile = true
		return nil, nil
	case err != nil:
		return nil, err
	}
	flags := "?mode=ro&_pragma=busy_timeout(1000)"
	if _, err := os.Stat(d.path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		flags = "?mode=ro&immutable=1"
	}
	return func(context.Context) (*gorm.DB, *sql.DB, error) { return d.openAs(flags) }, nil
}

func (sqliteFile) identify(_ context.Context, db *gorm.DB, x *Examination) error {
	return db.Raw("SELECT sqlite_version()").Scan(&x.Version).Error
}

// rights: whoever may write the file may do all.
func (sqliteFile) rights(context.Context, *gorm.DB, []string, *Examination) error { return nil }
