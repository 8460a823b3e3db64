package sqlsink

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/testserver"
)

// user is an account of its own with the rights that a test gives it.
type user struct {
	name, password string
	dsn, database  string
	root           *sql.DB
}

// user makes an account that may do nothing in the store's database.
func (s *store) user(t testing.TB) *user {
	t.Helper()
	server := testserver.SharedMariaDB(t)
	u := &user{password: "hidden-word", database: s.one(t, "SELECT DATABASE()"), root: server.Open(t, "root@unix("+server.Dir+"/s)/")}
	u.name = "u" + strings.TrimPrefix(u.database, "t_")
	u.dsn = fmt.Sprintf("%s:%s@tcp(%s)/%s", u.name, u.password, server.Addr(), u.database)
	u.grant(t, "CREATE USER %[2]s IDENTIFIED BY 'hidden-word'%.0[1]s")
	t.Cleanup(func() { u.grant(t, "DROP USER %[2]s%.0[1]s") })
	return u
}

// grant runs a statement with the database's and the account's name in it.
func (u *user) grant(t testing.TB, format string) {
	t.Helper()
	statement := fmt.Sprintf(format, u.database, "'"+u.name+"'@'127.0.0.1'")
	if _, err := u.root.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// mend wants a missing right whose text holds want, grants it as told, and wants
// none to be missing then.
func (u *user) mend(t testing.TB, c Config, want string) {
	t.Helper()
	x, err := Examine(t.Context(), c)
	if err != nil || len(x.Rights) == 0 || !strings.Contains(fmt.Sprint(x.Rights), want) {
		t.Fatalf("rights %+v, %v; want %q", x, err, want)
	}
	for _, r := range x.Rights {
		if _, err := u.root.Exec(r.Mend); err != nil {
			t.Fatalf("%s: %v", r.Mend, err)
		}
	}
	if x, err = Examine(t.Context(), c); err != nil || x.Rights != nil {
		t.Errorf("after the grant: %+v, %v", x, err)
	}
}
