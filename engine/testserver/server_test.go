package testserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/testserver"
)

// ask sends one inline command to a Redis and returns the first line.
func ask(addr, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return "", err
	}
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// wantGone fails unless no process has any of the pids.
func wantGone(t *testing.T, pids []int) {
	t.Helper()
	testserver.Eventually(t, 30*time.Second, "processes to be gone", func() error {
		for _, pid := range pids {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(text) > 0 {
				return fmt.Errorf("pid %d is alive: %s", pid, strings.ReplaceAll(string(text), "\x00", " "))
			}
		}
		return nil
	})
}

func TestRedisKeepsDataAcrossKillAndFreezesOnPause(t *testing.T) {
	var pid int
	var dir string
	t.Run("life", func(t *testing.T) {
		s := testserver.Redis(t)
		pid, dir = s.PID(), s.Dir
		if got, err := ask(s.Addr(), "SET k v"); got != "+OK" {
			t.Fatalf("SET = %q, %v", got, err)
		}
		s.Kill()
		if got, err := ask(s.Addr(), "PING"); err == nil {
			t.Fatalf("a killed server answered %q", got)
		}
		s.Start()
		if got, err := ask(s.Addr(), "EXISTS k"); got != ":1" {
			t.Fatalf("EXISTS after kill and start = %q, %v; want :1", got, err)
		}
		s.Pause()
		if got, err := ask(s.Addr(), "PING"); err == nil {
			t.Fatalf("a paused server answered %q", got)
		}
		s.Resume()
		testserver.Eventually(t, 10*time.Second, "an answer after Resume", func() error {
			_, err := ask(s.Addr(), "PING")
			return err
		})
		s.Stop()
		if s.PID() != 0 {
			t.Fatalf("PID after Stop = %d, want 0", s.PID())
		}
		s.Start()
		pid = s.PID()
	})
	wantGone(t, []int{pid})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s is left: %v", dir, err)
	}
}

func TestRedisTakesOptions(t *testing.T) {
	s := testserver.Redis(t, testserver.AppendFsync("everysec"), testserver.MaxMemory(12345678),
		testserver.Conf("maxmemory-policy", "allkeys-lru"))
	for key, want := range map[string]string{
		"appendfsync": "everysec", "maxmemory": "12345678", "maxmemory-policy": "allkeys-lru", "appendonly": "yes",
	} {
		if got := config(t, s.Addr(), key); got != want {
			t.Errorf("CONFIG GET %s = %q, want %q", key, got, want)
		}
	}
}

// config reads one Redis setting: the reply is *2, $n, key, $n, value.
func config(t *testing.T, addr, key string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONFIG GET %s\r\n", key)
	r := bufio.NewScanner(conn)
	for range 5 {
		if !r.Scan() {
			t.Fatalf("CONFIG GET %s: short reply: %v", key, r.Err())
		}
	}
	return r.Text()
}

func TestMariaDBKeepsCommittedRowsAcrossKill(t *testing.T) {
	var pid int
	t.Run("life", func(t *testing.T) {
		s := testserver.MariaDB(t, testserver.Conf("innodb-lock-wait-timeout", "7"))
		pid = s.PID()
		db := s.Open(t, s.Database(t))
		for _, q := range []string{"CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO t VALUES (41), (1)"} {
			if _, err := db.ExecContext(t.Context(), q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
		s.Kill()
		s.Start()
		pid = s.PID()
		var sum, wait int
		err := db.QueryRowContext(t.Context(), "SELECT SUM(n), @@innodb_lock_wait_timeout FROM t").Scan(&sum, &wait)
		if err != nil || sum != 42 || wait != 7 {
			t.Fatalf("after kill and start: sum %d, lock wait %d, %v; want 42, 7", sum, wait, err)
		}
	})
	wantGone(t, []int{pid})
}

func TestMariaDBDatabasesAreApart(t *testing.T) {
	s := testserver.SharedMariaDB(t)
	a, b := s.Open(t, s.Database(t)), s.Open(t, s.Database(t))
	if _, err := a.ExecContext(t.Context(), "CREATE TABLE t (n INT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ExecContext(t.Context(), "SELECT * FROM t"); err == nil {
		t.Fatal("a table of one database is seen in another")
	}
	if s != testserver.SharedMariaDB(t) {
		t.Fatal("two shared servers")
	}
}

func TestRedisDatabasesAreApart(t *testing.T) {
	s := testserver.SharedRedis(t)
	if a, b := s.Database(t), s.Database(t); a == b || !strings.HasPrefix(a, "redis://"+s.Addr()+"/") {
		t.Fatalf("Database = %q, %q; want two of %s", a, b, s.Addr())
	}
}

// publish sends one persistent message to a durable queue and waits for the
// confirm; received reads how many messages the queue holds.
func publish(t *testing.T, url, queue string) {
	t.Helper()
	withChannel(t, url, func(ch *amqp091.Channel) error {
		if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
			return err
		}
		if err := ch.Confirm(false); err != nil {
			return err
		}
		msg := amqp091.Publishing{Body: []byte("x"), DeliveryMode: amqp091.Persistent}
		confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, msg)
		if err != nil {
			return err
		}
		if ok, err := confirm.WaitContext(t.Context()); err != nil || !ok {
			return fmt.Errorf("confirm = %v, %w", ok, err)
		}
		return nil
	})
}

func withChannel(t *testing.T, url string, f func(*amqp091.Channel) error) {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := f(ch); err != nil {
		t.Fatal(err)
	}
}

func TestFaultRabbitMQKeepsConfirmedMessagesAcrossKillAndLeavesNoProcess(t *testing.T) {
	var family []int
	t.Run("life", func(t *testing.T) {
		s := testserver.RabbitMQ(t)
		publish(t, s.AMQPURL(), "q")
		s.Settle(t)
		s.Kill()
		s.Start()
		family = testserver.Family(s)
		if len(family) < 3 { // beam, erl_child_setup, epmd at least
			t.Errorf("processes = %v, want the node, its helpers and epmd", family)
		}
		withChannel(t, s.AMQPURL(), func(ch *amqp091.Channel) error {
			_, ok, err := ch.Get("q", true)
			if err == nil && !ok {
				err = errors.New("the confirmed message is gone")
			}
			return err
		})
		out, err := s.Ctl("status", "--formatter", "json")
		if err != nil || !strings.Contains(out, "rabbitmq_version") {
			t.Fatalf("rabbitmqctl status: %v\n%s", err, out)
		}
	})
	wantGone(t, family)
}

func TestRabbitMQVHostsAreApart(t *testing.T) {
	s := testserver.SharedRabbitMQ(t)
	a, b := s.VHost(t), s.VHost(t)
	publish(t, a, "q")
	withChannel(t, b, func(ch *amqp091.Channel) error {
		if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err == nil {
			return errors.New("a queue of one virtual host is seen in another")
		}
		return nil
	})
}

func TestFaultRabbitMQServesMQTT(t *testing.T) {
	greetMQTT(t, testserver.RabbitMQ(t, testserver.WithMQTT()).MQTTAddr())
}
