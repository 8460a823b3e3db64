package sqlsink

import (
	"context"
	"database/sql"
	"fmt"

	"gorm.io/gorm"
)

// copyTable leaves out foreign keys as well: that is the server's way.
func (d mariadb) copyTable(ctx context.Context, db *gorm.DB, table, like string) error {
	text := "CREATE TABLE IF NOT EXISTS " + d.quote(table) + " LIKE " + d.quote(like)
	_, err := db.Statement.ConnPool.ExecContext(ctx, text)
	return err
}

func (mariadb) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// equal compares texts byte by byte: collations hold texts for equal that differ in
// case or in spaces at the end.
func (d mariadb) equal(a, b string, fa, fb family) string {
	if kind := fa.kind(); kind != fb.kind() || kind == kindBytes {
		a, b = d.bytes(a, fa), d.bytes(b, fb)
	}
	return a + " <=> " + b
}

func (d mariadb) bytes(expr string, f family) string {
	if f == famBinary {
		return expr
	}
	return "CAST(" + d.text(expr, f) + " AS BINARY)"
}

// text: a FLOAT shows six digits, as a DOUBLE all that tell it from its neighbours.
func (d mariadb) text(expr string, f family) string {
	if f == famFloat {
		expr = d.double(expr)
	}
	return "CONVERT(" + expr + " USING utf8mb4)"
}

func (mariadb) double(expr string) string { return "CAST(" + expr + " AS DOUBLE)" }

func (d mariadb) shown(expr string, f family) string {
	if f == famBinary {
		return fmt.Sprintf("LOWER(HEX(LEFT(%s, %d)))", expr, shownLimit/2)
	}
	return fmt.Sprintf("LEFT(%s, %d)", d.text(expr, f), shownLimit)
}
