package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
)

// sqlitePrefix marks a DSN that names a SQLite file.
const sqlitePrefix = "sqlite:"

// sqliteFile is the dialect of the embedded default: one file, one writer, WAL.
type sqliteFile struct{ path string }

func (sqliteFile) migrations(*sql.DB) (goose.Dialect, fs.FS, []goose.ProviderOption) {
	files, _ := fs.Sub(migrationFiles, "migrations/sqlite") // the path is compiled in
	return goose.DialectSQLite3, files, nil
}

// maxStatement: SQLite takes a million bytes of SQL by default.
func (sqliteFile) maxStatement(context.Context, *gorm.DB) (int, error) { return 500_000, nil }

func (sqliteFile) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// conflict names the key: a row that collides in another one is refused.
func (d sqliteFile) conflict(_ bool, overwrite []string) string {
	if len(overwrite) == 0 {
		return ` ON CONFLICT("event_id") DO NOTHING`
	}
	sets := make([]string, len(overwrite))
	for i, name := range overwrite {
		sets[i] = d.quote(name) + " = excluded." + d.quote(name)
	}
	return ` ON CONFLICT("event_id") DO UPDATE SET ` + strings.Join(sets, ", ")
}

func (sqliteFile) appendText(dst []byte, s string) []byte {
	if plainText(s) {
		return append(append(append(dst, '\''), s...), '\'')
	}
	return append(appendHex(append(dst, "CAST("...), s), " AS TEXT)"...)
}

// appendDecimal keeps the digits: SQLite has no decimal numbers, the column is text.
func (sqliteFile) appendDecimal(dst []byte, plain string) []byte {
	return append(append(append(dst, '\''), plain...), '\'')
}

// appendFloat binds f: SQLite's own reading of digits is not exact in the last bit.
func (sqliteFile) appendFloat(dst []byte, args []any, f float64) ([]byte, []any) {
	return append(dst, '?'), append(args, f)
}

// number: SQLite's integers are signed; the bits are kept.
func (sqliteFile) number(u uint64) any { return int64(u) }

func (sqliteFile) fault(err error) fault {
	code, ok := errors.AsType[sqlite3.ErrorCode](err)
	if !ok {
		return networkFault(err)
	}
	switch code {
	case sqlite3.BUSY, sqlite3.LOCKED, sqlite3.NOMEM, sqlite3.READONLY, sqlite3.INTERRUPT, sqlite3.IOERR,
		sqlite3.FULL, sqlite3.CANTOPEN, sqlite3.PROTOCOL, sqlite3.SCHEMA:
		return faultAway
	case sqlite3.TOOBIG, sqlite3.CONSTRAINT, sqlite3.MISMATCH:
		return faultData
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		return faultSetup
	case sqlite3.ERROR:
		text := err.Error()
		if strings.Contains(text, "no such table") || strings.Contains(text, "no column named") || strings.Contains(text, "no such column") {
			return faultDrift
		}
	}
	return faultUnknown
}

func (d sqliteFile) createTable(table string, columns []target) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n  %s BLOB NOT NULL PRIMARY KEY", d.quote(table), d.quote(IDColumn))
	for _, c := range columns {
		fmt.Fprintf(&b, ",\n  %s %s%s", d.quote(c.name), d.typeDDL(c.typ), nullDDL(c.nullable))
	}
	b.WriteString("\n) WITHOUT ROWID")
	return b.String()
}

// typeDDL picks declared types whose affinity changes no value: a DECIMAL column
// would turn digits into floats.
func (sqliteFile) typeDDL(t colType) string {
	switch t.family {
	case famText:
		if t.bytes < 1<<40 {
			return "TEXT"
		}
		return "VARCHAR(" + strconv.FormatInt(t.size, 10) + ")"
	case famDecimal:
		return fmt.Sprintf("DECIMAL_TEXT(%d,%d)", t.prec, t.scale)
	case famJSON:
		return "JSON_TEXT"
	case famBinary:
		return "BLOB"
	case famTime:
		return fmt.Sprintf("DATETIME(%d)", t.scale)
	case famBool:
		return "BOOLEAN"
	case famFloat:
		return "DOUBLE"
	}
	return strings.ToUpper(t.text)
}

func (d sqliteFile) describe(ctx context.Context, db *gorm.DB, table string) (*tableInfo, error) {
	db = db.WithContext(ctx)
	var rows []struct {
		Name, Type string
		Notnull    bool
		DfltValue  *string
		Pk, Hidden int
	}
	err := db.Raw("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?)", table).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	info := &tableInfo{name: table}
	for _, r := range rows {
		t, err := readType(r.Type)
		if err != nil {
			t = colType{text: r.Type}
		}
		info.columns = append(info.columns, columnInfo{
			name: r.Name, typ: t, nullable: !r.Notnull, generated: r.Hidden > 1,
			optional: !r.Notnull || r.DfltValue != nil || r.Hidden > 1,
		})
		if r.Pk > 0 {
			info.primaryKey = append(info.primaryKey, r.Name)
		}
	}
	return info, d.kind(db, table, info)
}

func (sqliteFile) kind(db *gorm.DB, table string, info *tableInfo) error {
	var kind string
	err := db.Raw("SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE", table).Scan(&kind).Error
	if kind != "table" {
		info.unfit = "it is a " + kind
	}
	return err
}
