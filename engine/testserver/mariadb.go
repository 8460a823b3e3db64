package testserver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The account that tests use. It has a password so that a test can look for it
// where no password may appear.
const (
	mariaUser     = "millrace"
	mariaPassword = "s3cret-of-the-test"
	mariaLogSize  = "32M" // in template and server alike: changing it costs a start
)

// MariaDBServer is a private MariaDB. Its methods may be called from any
// goroutine.
type MariaDBServer struct{ server }

// MariaDB starts a MariaDB that syncs every commit, with a small buffer pool
// and 64 MiB packets unless opts say otherwise, and ends it with the test.
func MariaDB(t testing.TB, opts ...MariaDBOption) *MariaDBServer {
	t.Helper()
	s := &MariaDBServer{}
	program, installer := Require(t, "mariadbd"), Require(t, "mariadb-install-db")
	s.adopt(t, s.open(program, installer, opts))
	return s
}

func (s *MariaDBServer) open(program, installer string, opts []Option) error {
	if err := s.prepare("mariadb", 1); err != nil {
		return err
	}
	template, err := mariaTemplate(program, installer)
	if err != nil {
		return err
	}
	o := collect(s.defaults(), opts)
	data := filepath.Join(cmp.Or(o.data, s.Dir), "data")
	if err := os.CopyFS(data, os.DirFS(template)); err != nil {
		return err
	}
	if err := os.WriteFile(s.file("init.sql"), []byte(mariaInit), 0o600); err != nil {
		return err
	}
	o.conf = append(o.conf, setting{"datadir", data})
	args := []string{"--no-defaults"}
	for _, c := range o.conf {
		args = append(args, "--"+c.key+"="+c.value)
	}
	s.env = o.env
	s.command = func() *exec.Cmd { return exec.Command(program, args...) }
	s.ready = s.ping
	return s.start()
}

func (s *MariaDBServer) file(name string) string { return filepath.Join(s.Dir, name) }

// mariaInit runs at each start before the first client is let in.
const mariaInit = `CREATE DATABASE IF NOT EXISTS millrace;
CREATE USER IF NOT EXISTS '` + mariaUser + `'@'127.0.0.1' IDENTIFIED BY '` + mariaPassword + `';
GRANT ALL ON *.* TO '` + mariaUser + `'@'127.0.0.1';
`

func (s *MariaDBServer) defaults() []setting {
	conf := []setting{
		{"socket", s.file("s")},
		{"pid-file", s.file("pid")},
		{"init-file", s.file("init.sql")},
		{"tmpdir", s.Dir},
		{"bind-address", "127.0.0.1"},
		{"port", s.ports[0].String()},
		{"skip-name-resolve", "1"},
		{"innodb-flush-log-at-trx-commit", "1"},
		{"innodb-buffer-pool-size", "64M"},
		{"innodb-log-file-size", mariaLogSize},
		{"max-allowed-packet", "64M"},
		{"character-set-server", "utf8mb4"},
	}
	return append(conf, asRoot()...)
}

// asRoot is the setting without which mariadbd refuses to run as root.
func asRoot() []setting {
	if os.Getuid() == 0 {
		return []setting{{"user", "root"}}
	}
	return nil
}

// Addr is host:port.
func (s *MariaDBServer) Addr() string { return s.ports[0].addr() }

// DSN is user:password@tcp(host:port)/millrace, the form of go-sql-driver. The
// user has all rights, the database is there and empty.
func (s *MariaDBServer) DSN() string { return s.dsn("millrace") }

func (s *MariaDBServer) dsn(database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", mariaUser, mariaPassword, s.Addr(), database)
}

// Database creates an empty database that no other call has got and returns
// its DSN. On a shared server it is dropped with the test.
func (s *MariaDBServer) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t_%08x", rand.Uint32())
	if err := s.exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	if s.shared {
		t.Cleanup(func() {
			if err := s.exec("DROP DATABASE " + name); err != nil {
				t.Errorf("mariadb: %v", err)
			}
		})
	}
	return s.dsn(name)
}

// Open returns a pool on dsn that is closed with the test.
func (s *MariaDBServer) Open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (s *MariaDBServer) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.with(func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
}

func (s *MariaDBServer) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.with(func(db *sql.DB) error { return db.PingContext(ctx) })
}

// with runs f on a connection of its own, the driver's own log switched off.
func (s *MariaDBServer) with(f func(*sql.DB) error) error {
	cfg, err := mysql.ParseDSN(s.dsn(""))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	return errors.Join(f(db), db.Close())
}

// mariaTemplate returns the folder of a fresh installation, made once for each
// version of the program and then copied.
func mariaTemplate(program, installer string) (string, error) {
	base, err := home()
	if err != nil {
		return "", err
	}
	version, err := exec.Command(program, "--no-defaults", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", program, err)
	}
	sum := sha256.Sum256(append(version, mariaLogSize...))
	dir := filepath.Join(base, fmt.Sprintf("mariadb-%x", sum[:6]))
	lock, err := flock(dir+".lock", true)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, installMaria(installer, dir)
}

// installMaria fills a folder beside dir and renames it once it is whole.
func installMaria(installer, dir string) error {
	half := dir + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	args := []string{"--no-defaults", "--datadir=" + half, "--skip-test-db", "--skip-name-resolve",
		"--auth-root-authentication-method=normal", "--innodb-log-file-size=" + mariaLogSize}
	for _, c := range asRoot() {
		args = append(args, "--"+c.key+"="+c.value)
	}
	if out, err := exec.Command(installer, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", installer, err, out)
	}
	return os.Rename(half, dir)
}
