package sqlsink

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"gorm.io/gorm"
)

// step is one thing that a sink's transaction does with the database.
type step string

const (
	stepPosition step = "position"
	stepInsert   step = "insert"
	stepCommit   step = "commit"
)

// steps stands between GORM and the pool: before and after each step of a
// transaction its functions run, and an error of theirs takes the step's place.
type steps struct {
	*sql.DB
	before, after func(ctx context.Context, s step, tx *sql.Tx) error
	rolledBack    func()
}

type steppedTx struct {
	*sql.Tx
	s *steps
}

// watch puts st between s and its database.
func watch(s *Sink, st *steps) {
	st.DB = s.pool
	s.db.ConnPool = st
	s.db.Statement.ConnPool = st
}

func (st *steps) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := st.DB.BeginTx(ctx, opts)
	return &steppedTx{tx, st}, err
}

func (st *steps) around(ctx context.Context, s step, tx *sql.Tx, do func() error) error {
	if st.before != nil {
		if err := st.before(ctx, s, tx); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && st.after != nil {
		err = st.after(ctx, s, tx)
	}
	return err
}

func (t *steppedTx) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	at := stepInsert
	if strings.Contains(query, "millrace_positions") {
		at = stepPosition
	}
	err = t.s.around(ctx, at, t.Tx, func() error {
		res, err = t.Tx.ExecContext(ctx, query, args...)
		return err
	})
	return res, err
}

func (t *steppedTx) Commit() error {
	return t.s.around(context.Background(), stepCommit, t.Tx, t.Tx.Commit)
}

func (t *steppedTx) Rollback() error {
	err := t.Tx.Rollback()
	if t.s.rolledBack != nil {
		t.s.rolledBack()
	}
	return err
}

// killSession ends the server's side of tx's connection, as a crash of the engine
// or a cut network does.
func (s *store) killSession(t testing.TB, tx *sql.Tx) {
	t.Helper()
	var id int64
	if err := tx.QueryRow("SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "KILL CONNECTION ?", id)
}
