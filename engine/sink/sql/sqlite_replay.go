package sqlsink

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"gorm.io/gorm"
)

const (
	sqliteTableExists = "SELECT COUNT(*) FROM sqlite_master WHERE name = ? COLLATE NOCASE"
	sqliteTableText   = `SELECT name, sql AS text FROM sqlite_master
		WHERE tbl_name = ? COLLATE NOCASE AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC, name`
)

// copyTable runs the statements that made like and its indexes under other names.
// SQLite keeps their text in a normal form: from the name on it is the author's,
// the keywords before it are its own.
func (d sqliteFile) copyTable(ctx context.Context, db *gorm.DB, table, like string) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var there int
		if err := tx.Raw(sqliteTableExists, table).Scan(&there).Error; err != nil || there > 0 {
			return err
		}
		var parts []struct{ Name, Text string }
		if err := tx.Raw(sqliteTableText, like).Scan(&parts).Error; err != nil {
			return err
		}
		for _, p := range parts {
			ddl, ok := d.renamed(p.Name, p.Text, table)
			if !ok {
				return fmt.Errorf("%s is neither a plain table nor an index of one", p.Name)
			}
			if _, err := tx.Statement.ConnPool.ExecContext(ctx, ddl); err != nil {
				return err
			}
		}
		return nil
	})
}

// renamed returns the statement text, which made the table or index name, for
// another table.
func (d sqliteFile) renamed(name, text, table string) (string, bool) {
	if rest, ok := strings.CutPrefix(text, "CREATE TABLE "); ok {
		rest, ok = afterName(rest)
		return "CREATE TABLE " + d.quote(table) + rest, ok
	}
	for _, begin := range []string{"CREATE INDEX ", "CREATE UNIQUE INDEX "} {
		if rest, ok := strings.CutPrefix(text, begin); ok {
			rest, ok = afterIndexed(rest)
			return begin + d.quote(table+"__"+name) + " ON " + d.quote(table) + rest, ok
		}
	}
	return "", false
}

// afterIndexed cuts `name ON table` off the beginning of s.
func afterIndexed(s string) (string, bool) {
	s, ok := afterName(s)
	s = afterSpace(s)
	if !ok || len(s) < 2 || !strings.EqualFold(s[:2], "ON") {
		return "", false
	}
	return afterName(afterSpace(s[2:]))
}

// afterName cuts an identifier off the beginning of s, quoted in any way that
// SQLite takes.
func afterName(s string) (string, bool) {
	if s == "" {
		return "", false
	}
	end, quoted := map[byte]byte{'"': '"', '`': '`', '\'': '\'', '[': ']'}[s[0]]
	if !quoted {
		rest := strings.TrimLeftFunc(s, isNameRune)
		return rest, rest != s
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != end:
		case end != ']' && i+1 < len(s) && s[i+1] == end:
			i++
		default:
			return s[i+1:], true
		}
	}
	return "", false
}

func isNameRune(r rune) bool {
	return r == '_' || r == '$' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0x80
}

// afterSpace cuts white space and comments off the beginning of s.
func afterSpace(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\n\f\r")
		switch {
		case strings.HasPrefix(s, "--"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s[2:], "*/")
		default:
			return s
		}
	}
}

// snapshot begins without a lock, unlike the transactions that write.
func (sqliteFile) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

// equal compares values of one class of storage; decimals are text, in which
// 1.5 and 1.50 are the same number.
func (d sqliteFile) equal(a, b string, fa, fb family) string {
	if fa == famDecimal && fb == famDecimal {
		a, b = d.digits(a), d.digits(b)
	}
	return a + " COLLATE BINARY IS " + b + " COLLATE BINARY"
}

func (sqliteFile) digits(expr string) string {
	return fmt.Sprintf("CASE WHEN typeof(%[1]s) = 'text' AND instr(%[1]s, '.') > 0 THEN rtrim(rtrim(%[1]s, '0'), '.') ELSE %[1]s END", expr)
}

func (sqliteFile) double(expr string) string { return "CAST(" + expr + " AS REAL)" }

// shown goes by the class of storage. A real's text has fifteen digits; where
// those stand for another number, it is written with seventeen.
func (sqliteFile) shown(expr string, _ family) string {
	return fmt.Sprintf(`CASE typeof(%[1]s) WHEN 'blob' THEN lower(hex(substr(%[1]s, 1, %[2]d)))
		WHEN 'real' THEN iif(CAST(CAST(%[1]s AS TEXT) AS REAL) = %[1]s, CAST(%[1]s AS TEXT), printf('%%!.17g', %[1]s))
		ELSE substr(CAST(%[1]s AS TEXT), 1, %[3]d) END`, expr, shownLimit/2, shownLimit)
}
