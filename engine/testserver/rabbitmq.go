package testserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The ports of a RabbitMQ server, by their place in server.ports.
const (
	rabbitAMQP = iota
	rabbitDist
	rabbitEPMD
	rabbitHTTP
	rabbitMQTT
	rabbitPorts
)

// RabbitServer is a private RabbitMQ node with a port mapper (epmd) and an
// Erlang cookie of its own. Its methods may be called from any goroutine.
type RabbitServer struct {
	server
	node    string
	scripts string // folder of rabbitmq-server and rabbitmqctl
	data    string // folder above the node's database
	plugins []string
}

// RabbitMQ starts a RabbitMQ node, without plugins unless opts ask for them,
// and ends it with the test. Each start takes seconds: where one node for all
// tests will do, take [SharedRabbitMQ] with a [RabbitServer.VHost] for each.
func RabbitMQ(t testing.TB, opts ...RabbitOption) *RabbitServer {
	t.Helper()
	s := &RabbitServer{}
	epmd := Require(t, "epmd")
	s.adopt(t, s.open(requireRabbit(t), epmd, opts))
	return s
}

// requireRabbit returns the folder of the plain scripts. What Debian puts into
// PATH are wrappers that change to the service's user and folders.
func requireRabbit(t testing.TB) string {
	t.Helper()
	wrapper := Require(t, "rabbitmq-server")
	const debian = "/usr/lib/rabbitmq/bin"
	if _, err := os.Stat(filepath.Join(debian, "rabbitmq-server")); err == nil {
		return debian
	}
	return filepath.Dir(wrapper)
}

func (s *RabbitServer) open(scripts, epmd string, opts []Option) error {
	if err := s.prepare("rabbitmq", rabbitPorts); err != nil {
		return err
	}
	o := collect(s.defaults(), opts)
	s.scripts, s.plugins, s.data = scripts, o.plugins, cmp.Or(o.data, s.Dir)
	s.node = fmt.Sprintf("mr-%08x@localhost", rand.Uint32())
	if err := s.writeFiles(o); err != nil {
		return err
	}
	s.command = func() *exec.Cmd { return s.script("rabbitmq-server") }
	s.ready = s.ping
	if err := s.startEPMD(epmd); err != nil {
		return err
	}
	return s.start()
}

func (s *RabbitServer) defaults() []setting {
	return []setting{
		{"listeners.tcp.1", s.ports[rabbitAMQP].addr()},
		{"log.file", "false"},
		{"log.console", "true"},
		{"log.console.level", "warning"},
		{"disk_free_limit.absolute", "50MB"},
	}
}

// pluginSettings names the listeners; a setting of a plugin that is not
// enabled stops the server.
func (s *RabbitServer) pluginSettings() []setting {
	var conf []setting
	if slices.Contains(s.plugins, "rabbitmq_management") {
		conf = append(conf, setting{"management.tcp.ip", "127.0.0.1"},
			setting{"management.tcp.port", s.ports[rabbitHTTP].String()})
	}
	if slices.Contains(s.plugins, "rabbitmq_mqtt") {
		conf = append(conf, setting{"mqtt.listeners.tcp.1", s.ports[rabbitMQTT].addr()},
			setting{"mqtt.allow_anonymous", "true"})
	}
	return conf
}

func (s *RabbitServer) writeFiles(o options) error {
	conf := append(s.pluginSettings(), o.conf...)
	cookie := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	return errors.Join(
		os.WriteFile(filepath.Join(s.Dir, "rabbitmq.conf"), lines(conf, " = "), 0o600),
		os.WriteFile(filepath.Join(s.Dir, "plugins"), []byte("["+strings.Join(o.plugins, ",")+"].\n"), 0o600),
		os.WriteFile(filepath.Join(s.Dir, ".erlang.cookie"), []byte(cookie), 0o400),
	)
}

// startEPMD runs a port mapper in the foreground, so that the node need not
// start one that outlives it.
func (s *RabbitServer) startEPMD(program string) error {
	cmd := exec.Command(program, "-port", s.ports[rabbitEPMD].String(), "-address", "127.0.0.1")
	p, err := launch(cmd)
	if err != nil {
		return err
	}
	s.helpers = append(s.helpers, p)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return poll(ctx, func() error {
		conn, err := dial(ctx, s.ports[rabbitEPMD].addr())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// script prepares a call of one of RabbitMQ's scripts for this node, with
// nothing of the caller's environment but the PATH.
func (s *RabbitServer) script(name string, args ...string) *exec.Cmd {
	const loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
	cmd := exec.Command(filepath.Join(s.scripts, name), args...)
	cmd.Dir = s.Dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"HOME=" + s.Dir,
		"ERL_EPMD_PORT=" + s.ports[rabbitEPMD].String(),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_NODENAME=" + s.node,
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(s.data, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(s.Dir, "log"),
		"RABBITMQ_NODE_PORT=" + s.ports[rabbitAMQP].String(),
		"RABBITMQ_DIST_PORT=" + s.ports[rabbitDist].String(),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(s.Dir, "plugins"),
		"RABBITMQ_PID_FILE=" + filepath.Join(s.Dir, "pid"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(s.Dir, "rabbitmq"),
		"RABBITMQ_CONF_ENV_FILE=" + filepath.Join(s.Dir, "none"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + loopback,
		"RABBITMQ_CTL_ERL_ARGS=" + loopback,
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server: one pid for both
	}
	return cmd
}

// ping asks for an AMQP handshake and for a connection on every other port.
func (s *RabbitServer) ping(ctx context.Context) error {
	conn, err := dial(ctx, s.ports[rabbitAMQP].addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil || first[0] != 1 { // a method frame
		return fmt.Errorf("amqp handshake: %v, %v", first, err)
	}
	if !s.said(" completed with ") { // it takes connections before it has its queues back
		return errors.New("it is still starting")
	}
	for plugin, place := range map[string]int{"rabbitmq_management": rabbitHTTP, "rabbitmq_mqtt": rabbitMQTT} {
		if !slices.Contains(s.plugins, plugin) {
			continue
		}
		other, err := dial(ctx, s.ports[place].addr())
		if err != nil {
			return err
		}
		other.Close()
	}
	return nil
}

// Addr is the AMQP listener's host:port.
func (s *RabbitServer) Addr() string { return s.ports[rabbitAMQP].addr() }

// AMQPURL is amqp://guest:guest@host:port/ on the default virtual host.
func (s *RabbitServer) AMQPURL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

// ManagementURL is http://guest:guest@host:port without a path; it answers on
// a server with [WithManagement].
func (s *RabbitServer) ManagementURL() string {
	return "http://guest:guest@" + s.ports[rabbitHTTP].addr()
}

// MQTTAddr is the MQTT listener's host:port; it answers on a server with
// [WithMQTT].
func (s *RabbitServer) MQTTAddr() string { return s.ports[rabbitMQTT].addr() }

// Node is the Erlang node name, as rabbitmqctl prints it.
func (s *RabbitServer) Node() string { return s.node }

// Ctl runs rabbitmqctl on this node and returns what it printed, quietly
// formatted. A call takes about two seconds.
func (s *RabbitServer) Ctl(args ...string) (string, error) {
	out, err := s.script("rabbitmqctl", append([]string{"--quiet"}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("rabbitmqctl %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}

// Settle has RabbitMQ write what was declared until now to its file. It answers
// a declaration up to two seconds before what decides that transaction of
// Mnesia is there (disk_log holds it back), and a node that is killed until
// then forgets the queue or the binding, with what was confirmed for it. So a
// test that declares, and kills a moment later, settles in between; it takes
// about two seconds.
func (s *RabbitServer) Settle(t testing.TB) {
	t.Helper()
	if _, err := s.Ctl("eval", "ok = disk_log:sync(latest_log)."); err != nil {
		t.Fatalf("rabbitmq: %v", err)
	}
}

// VHost creates a virtual host that no other call has got, with all rights for
// guest, and returns its AMQP URL. On a shared server it is deleted with the
// test. Without the management plugin it takes seconds.
func (s *RabbitServer) VHost(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t-%08x", rand.Uint32())
	if err := s.addVHost(name); err != nil {
		t.Fatalf("rabbitmq: virtual host: %v", err)
	}
	if s.shared {
		t.Cleanup(func() {
			if err := s.deleteVHost(name); err != nil {
				t.Errorf("rabbitmq: virtual host: %v", err)
			}
		})
	}
	return s.AMQPURL() + name
}

func (s *RabbitServer) addVHost(name string) error {
	if !slices.Contains(s.plugins, "rabbitmq_management") {
		_, err := s.Ctl("add_vhost", name)
		if err == nil {
			_, err = s.Ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
		}
		return err
	}
	const all = `{"configure":".*","write":".*","read":".*"}`
	err := s.api(http.MethodPut, "/api/vhosts/"+name, "")
	if err == nil {
		err = s.api(http.MethodPut, "/api/permissions/"+name+"/guest", all)
	}
	return err
}

func (s *RabbitServer) deleteVHost(name string) error {
	if !slices.Contains(s.plugins, "rabbitmq_management") {
		_, err := s.Ctl("delete_vhost", name)
		return err
	}
	return s.api(http.MethodDelete, "/api/vhosts/"+name, "")
}

// api sends one request to the management plugin on a connection of its own.
func (s *RabbitServer) api(method, path, body string) error {
	req, err := http.NewRequest(method, s.ManagementURL()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return nil
}
