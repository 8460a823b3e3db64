package testserver

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// pool holds the servers that one test binary shares; each starts when first
// asked for.
var pool struct {
	sync.Mutex
	redis   *RedisServer
	mariadb *MariaDBServer
	rabbit  *RabbitServer
	cluster *RabbitCluster
}

// sharedReporter stands in for a test: no single test owns a shared server.
type sharedReporter struct{}

func (sharedReporter) Helper() {}

func (sharedReporter) Errorf(format string, args ...any) {
	panic("testserver: shared server: " + fmt.Sprintf(format, args...))
}

// SharedRedis returns this test binary's Redis, started with the defaults of
// [Redis] on first use; [RedisServer.Database] gives a test its own database.
// The binary needs [Main] or [Shutdown]. Do not stop, kill or fill it.
func SharedRedis(t testing.TB) *RedisServer {
	t.Helper()
	program := Require(t, "redis-server")
	pool.Lock()
	defer pool.Unlock()
	if pool.redis == nil {
		s := &RedisServer{}
		shareOrFail(t, &s.server, s.open(program, nil))
		pool.redis = s
	}
	return pool.redis
}

// SharedMariaDB returns this test binary's MariaDB, started with the defaults
// of [MariaDB] on first use; [MariaDBServer.Database] gives a test its own
// database. The binary needs [Main] or [Shutdown]. Do not stop or kill it.
func SharedMariaDB(t testing.TB) *MariaDBServer {
	t.Helper()
	program, installer := Require(t, "mariadbd"), Require(t, "mariadb-install-db")
	pool.Lock()
	defer pool.Unlock()
	if pool.mariadb == nil {
		s := &MariaDBServer{}
		shareOrFail(t, &s.server, s.open(program, installer, nil))
		pool.mariadb = s
	}
	return pool.mariadb
}

// SharedRabbitMQ returns this test binary's RabbitMQ, started with the
// management plugin on first use; [RabbitServer.VHost] gives a test its own
// virtual host. The binary needs [Main] or [Shutdown]. Do not stop or kill it.
func SharedRabbitMQ(t testing.TB) *RabbitServer {
	t.Helper()
	epmd, scripts := Require(t, "epmd"), requireRabbit(t)
	pool.Lock()
	defer pool.Unlock()
	if pool.rabbit == nil {
		s := &RabbitServer{}
		shareOrFail(t, &s.server, s.open(scripts, epmd, []Option{WithManagement()}))
		pool.rabbit = s
	}
	return pool.rabbit
}

// shareOrFail marks a server that opened with err as shared, or fails t.
func shareOrFail(t testing.TB, s *server, err error) {
	t.Helper()
	s.report, s.shared = sharedReporter{}, true
	if err != nil {
		t.Fatalf("%s: %v", s.name, errors.Join(err, s.close()))
	}
}

// Shutdown ends the shared servers of this test binary. Tests must be over.
func Shutdown() error {
	pool.Lock()
	defer pool.Unlock()
	var errs []error
	if pool.redis != nil {
		errs = append(errs, pool.redis.close())
	}
	if pool.mariadb != nil {
		errs = append(errs, pool.mariadb.close())
	}
	if pool.rabbit != nil {
		errs = append(errs, pool.rabbit.close())
	}
	if pool.cluster != nil {
		errs = append(errs, pool.cluster.close())
	}
	pool.redis, pool.mariadb, pool.rabbit, pool.cluster = nil, nil, nil, nil
	return errors.Join(errs...)
}

// Main is the whole of a TestMain: it runs the tests, ends the shared servers,
// fails the binary if a goroutine is left that leaks do not allow, and exits.
//
//	func TestMain(m *testing.M) { testserver.Main(m) }
func Main(m *testing.M, leaks ...goleak.Option) {
	goleak.VerifyTestMain(closing{m}, append(leaks, droppedLink...)...)
}

// droppedLink is what toxiproxy leaves behind of a connection that is dropped while
// data is on its way: goroutines that wait for ever to hand it on.
var droppedLink = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/stream.(*ChanWriter).Write"),
}

// closing is a test binary that ends its servers before goroutines are counted.
type closing struct{ m *testing.M }

// Run runs the tests, then [Shutdown].
func (c closing) Run() int {
	code := c.m.Run()
	if err := Shutdown(); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		code = max(code, 1)
	}
	return code
}
