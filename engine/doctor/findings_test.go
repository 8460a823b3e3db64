package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// shown writes findings one a line: severity, what was found, mends.
func shown(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s", f.Severity, f.Found)
		for _, mend := range f.Mend {
			fmt.Fprintf(&b, " -> %s", mend)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// want compares findings with lines; each finding that needs a mend has one.
func want(t *testing.T, findings []Finding, lines ...string) {
	t.Helper()
	if got, want := shown(findings), strings.Join(lines, "\n")+"\n"; got != want {
		t.Errorf("found\n%swant\n%s", got, want)
	}
	for _, f := range findings {
		if mends := f.Severity != OK && f.Severity != Info; mends != (len(f.Mend) > 0) {
			t.Errorf("%s finding %q has the mends %q", f.Severity, f.Found, f.Mend)
		}
	}
}

// healthy is a Redis as a strict pipeline wants it, with its log.
func healthy() *stream.Examination {
	return &stream.Examination{
		Network: "tcp", Address: "linux1:6379", Version: "7.0.15", Role: "master",
		Settings:  map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"},
		MaxMemory: 10 << 30, UsedMemory: 1 << 30, MaxBytes: 6 << 30,
		Log: stream.LogExamination{Epoch: 17, Format: "1", Lanes: "4", Streams: 2, Bytes: 1 << 20},
	}
}

const (
	serverLine = "ok linux1:6379: 7.0.15, master, appendfsync always"
	logLine    = "ok log of charts: epoch 17, 4 lanes, 2 streams, 1 MiB of at most 6 GiB"
)

func TestRedisFindings(t *testing.T) {
	cases := []struct {
		name  string
		alter func(x *stream.Examination, p *spec.Pipeline)
		want  []string
	}{
		{"all is well", func(*stream.Examination, *spec.Pipeline) {}, []string{serverLine, logLine}},
		{"strict on everysec", func(x *stream.Examination, _ *spec.Pipeline) { x.Settings["appendfsync"] = "everysec" }, []string{
			"ok linux1:6379: 7.0.15, master, appendfsync everysec",
			`problem appendfsync is "everysec": a power cut loses what was acknowledged -> redis-cli -h linux1 -p 6379 CONFIG SET appendfsync always -> redis.conf: appendfsync always`,
			logLine}},
		{"best effort without a file, evicting", func(x *stream.Examination, p *spec.Pipeline) {
			p.Durability, x.Settings["appendonly"], x.Settings["maxmemory-policy"] = spec.BestEffort, "no", "allkeys-lru"
		}, []string{serverLine,
			`warning appendonly is "no": a restart loses the log -> redis-cli -h linux1 -p 6379 CONFIG SET appendonly yes -> redis.conf: appendonly yes`,
			`warning maxmemory-policy is "allkeys-lru": a full Redis throws parts of the log away -> redis-cli -h linux1 -p 6379 CONFIG SET maxmemory-policy noeviction -> redis.conf: maxmemory-policy noeviction`,
			logLine}},
		{"settings refused", func(x *stream.Examination, _ *spec.Pipeline) { x.Settings, x.NoConfig = nil, errors.New("NOPERM") }, []string{
			"ok linux1:6379: 7.0.15, master, settings not told",
			"problem CONFIG GET is refused (NOPERM): it cannot be told whether Redis keeps what it acknowledges -> redis-cli -h linux1 -p 6379 ACL SETUSER USER +config|get",
			logLine}},
		{"a replica, whatever the durability", func(x *stream.Examination, p *spec.Pipeline) {
			x.Role, x.Master, p.Durability = "slave", "linux2:6379", spec.BestEffort
		}, []string{"ok linux1:6379: 7.0.15, slave, appendfsync always",
			`problem its role is "slave": it takes no writes, or loses them -> connections.log.redis.url: redis://USER:PASSWORD@linux2:6379/0`, logLine}},
		{"no maxmemory", func(x *stream.Examination, _ *spec.Pipeline) { x.MaxMemory, x.MaxBytes = 0, 2<<30 }, []string{serverLine,
			"warning maxmemory is 0: nothing bounds Redis, and the log takes up to 2 GiB, a quarter of that machine's memory -> redis-cli -h linux1 -p 6379 CONFIG SET maxmemory 2gb -> redis.conf: maxmemory 2gb",
			"ok log of charts: epoch 17, 4 lanes, 2 streams, 1 MiB of at most 2 GiB"}},
		{"no maxmemory, but the log is bounded", func(x *stream.Examination, p *spec.Pipeline) { x.MaxMemory, p.Log.MaxBytes = 0, 6<<30 }, []string{serverLine, logLine}},
		{"a log of more than its part", func(_ *stream.Examination, p *spec.Pipeline) { p.Log.MaxBytes = 9 << 30 }, []string{serverLine,
			"warning log.max_bytes is 9 GiB, but only 60 % of maxmemory 10 GiB are used for it -> redis-cli -h linux1 -p 6379 CONFIG SET maxmemory 16106127360 -> log: { max_bytes: 6GiB }", logLine}},
		{"others take its memory", func(x *stream.Examination, _ *spec.Pipeline) { x.UsedMemory, x.Log.Bytes = 8<<30, 1<<30 }, []string{serverLine,
			"warning 2 GiB of maxmemory 10 GiB are left, but the log may take another 5 GiB: what else is in Redis is in its way -> redis-cli -h linux1 -p 6379 CONFIG SET maxmemory 13958643712 -> log: { max_bytes: 3GiB }",
			"ok log of charts: epoch 17, 4 lanes, 2 streams, 1 GiB of at most 6 GiB"}},
		{"a clock ahead", func(x *stream.Examination, _ *spec.Pipeline) {
			x.Clock, x.ClockError = 3200*time.Millisecond, time.Second
		}, []string{serverLine,
			"warning its clock is 3.2s ahead of this machine's -> timedatectl set-ntp true  # on both machines", logLine}},
		{"a clock behind", func(x *stream.Examination, _ *spec.Pipeline) { x.Clock = -2 * time.Hour }, []string{serverLine,
			"warning its clock is 2h0m0s behind this machine's -> timedatectl set-ntp true  # on both machines", logLine}},
		{"a slow line is no wrong clock", func(x *stream.Examination, _ *spec.Pipeline) { x.Clock, x.ClockError = 3*time.Second, 2*time.Second }, []string{serverLine, logLine}},
		{"no log yet", func(x *stream.Examination, _ *spec.Pipeline) { x.Log = stream.LogExamination{} }, []string{serverLine,
			"info there is no log of charts yet: the first start makes it"}},
		{"other lanes", func(x *stream.Examination, _ *spec.Pipeline) { x.Log.Lanes, x.Log.Refused = "8", stream.ErrLanes }, []string{serverLine,
			"problem the log of charts has 8 lanes, the file says 4 -> lanes: 8"}},
		{"another format", func(x *stream.Examination, _ *spec.Pipeline) { x.Log.Refused = stream.ErrFormat }, []string{serverLine,
			"problem log has a format that this engine does not know -> name: charts2  # or run the version of the engine that wrote it"}},
		{"a torn log", func(x *stream.Examination, _ *spec.Pipeline) {
			x.Log = stream.LogExamination{Refused: stream.ErrBehind}
		}, []string{serverLine,
			"problem log tail is behind what was stored -> engine log accept-loss charts.yaml"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, p := healthy(), &spec.Pipeline{Name: "charts", File: "charts.yaml", Lanes: 4, Durability: spec.Strict}
			c.alter(x, p)
			a := about{component: "redis log"}
			a.log(x, p)
			want(t, a.findings, c.want...)
		})
	}
}

func TestRedisCLI(t *testing.T) {
	for _, c := range [][3]string{
		{"tcp", "127.0.0.1:6379", "redis-cli"}, {"tcp", "localhost:6379", "redis-cli"},
		{"tcp", "127.0.0.1:6380", "redis-cli -h 127.0.0.1 -p 6380"}, {"tcp", "[::1]:6379", "redis-cli -h ::1 -p 6379"},
		{"unix", "/run/redis.sock", "redis-cli -s /run/redis.sock"},
	} {
		if got := cli(&stream.Examination{Network: c[0], Address: c[1]}); got != c[2] {
			t.Errorf("%s: %q, want %q", c[1], got, c[2])
		}
	}
}

func TestBrokerFindings(t *testing.T) {
	refused := errors.New("refused")
	good := answer{broker: "linux1:5672", vhost: "/", x: &amqp.Examination{Product: "RabbitMQ", Version: "3.10.8"}}
	silent := answer{broker: "linux2:5672", err: node.AsAway(refused)}
	a := about{component: "amqp plants"}
	a.brokers([]answer{good, silent})
	want(t, a.findings, "ok linux1:5672: RabbitMQ 3.10.8",
		"warning refused -> start it, or name another: connections.plants.amqp.urls: amqp://USER:PASSWORD@HOST:PORT")
	a.findings = nil
	a.brokers([]answer{
		{broker: "linux1:5672/plant", vhost: "plant", err: fmt.Errorf("%w: no", amqp.ErrVhost)},
		{broker: "linux1:5672", err: fmt.Errorf("%w: no", amqp.ErrLogin)}, silent,
	})
	want(t, a.findings,
		"problem the broker refuses this virtual host: no -> rabbitmqctl add_vhost plant -> rabbitmqctl set_permissions -p plant USER '.*' '.*' '.*'",
		"problem the broker refuses this user: no -> connections.plants.amqp.urls: amqp://USER:PASSWORD@linux1:5672  # reserved characters percent-encoded",
		"unknown refused -> start it, or name another: connections.plants.amqp.urls: amqp://USER:PASSWORD@HOST:PORT")
}

func TestQueueFindings(t *testing.T) {
	const declare = " -> rabbitmqadmin declare queue name=q durable=true -> with: { declare: true }"
	has := func(q amqp.QueueState) answer {
		q.Name = "q"
		return answer{broker: "linux1", vhost: "/", x: &amqp.Examination{Queues: []amqp.QueueState{q}}}
	}
	lacks, silent := has(amqp.QueueState{Err: amqp.ErrMissing}), answer{broker: "linux2", err: errors.New("silent")}
	exchange := need{component: "sink out", kind: "exchange", name: "x"}
	queue := need{component: "source in", kind: "queue", name: "q", alone: true}
	declared, shared := queue, queue
	declared.declare, shared.alone = true, false
	cases := []struct {
		name    string
		need    need
		answers []answer
		want    []string
	}{
		{"there", queue, []answer{has(amqp.QueueState{Messages: 12})}, []string{"ok queue q: 12 messages, 0 consumers"}},
		{"consumed", queue, []answer{has(amqp.QueueState{Messages: 1, Consumers: 1})}, []string{"info queue q: 1 message, 1 consumer: an engine may be running; another one waits until the queue is free"}},
		{"shared", shared, []answer{has(amqp.QueueState{Consumers: 2})}, []string{"ok queue q: 0 messages, 2 consumers"}},
		{"missing", queue, []answer{lacks, silent}, []string{"problem queue q: there is none on linux1" + declare}},
		{"missing, to be declared", declared, []answer{lacks}, []string{"info queue q is not there yet: the engine declares it"}},
		{"missing on one of two", queue, []answer{lacks, has(amqp.QueueState{})}, []string{"ok queue q: 0 messages, 0 consumers", "warning queue q: there is none on linux1" + declare}},
		{"locked", queue, []answer{has(amqp.QueueState{Err: errors.New("locked")})}, []string{"problem queue q on linux1: locked -> rabbitmqctl set_permissions -p / USER '.*' '.*' '.*'"}},
		{"no exchange", exchange, []answer{{broker: "linux1", vhost: "my plant", x: &amqp.Examination{Exchanges: []amqp.ExchangeState{{Name: "x", Err: amqp.ErrMissing}}}}},
			[]string{"problem exchange x: there is none on linux1 -> rabbitmqadmin -V 'my plant' declare exchange name=x type=topic durable=true"}},
		{"an exchange", exchange, []answer{{x: &amqp.Examination{Exchanges: []amqp.ExchangeState{{Name: "x"}}}}}, []string{"ok exchange x"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { want(t, c.need.judge(c.answers), c.want...) })
	}
	if found := queue.judge([]answer{silent}); found != nil {
		t.Errorf("a silent broker says %v", found)
	}
}

func TestStoreFindings(t *testing.T) {
	x := func(alter func(*sqlsink.Examination)) []rows {
		x := &sqlsink.Examination{Product: "MariaDB", Version: "10.11.6-MariaDB", Address: "linux1:3306/plant", MaxPacket: 16 << 20}
		alter(x)
		return []rows{{id: "rows", table: "readings", x: x}}
	}
	const server = "ok linux1:3306/plant: 10.11.6-MariaDB, max_allowed_packet 16 MiB"
	away := node.AsAway(errors.New("away"))
	cases := []struct {
		name  string
		found []rows
		want  []string
	}{
		{"fits", x(func(*sqlsink.Examination) {}), []string{server, "ok table readings fits"}},
		{"to be created", x(func(x *sqlsink.Examination) { x.Creates = []string{"millrace_positions", "readings"} }), []string{server,
			"info the first start creates millrace_positions, readings"}},
		{"problems and rights", x(func(x *sqlsink.Examination) {
			x.Problems, x.Rights = []sqlsink.Problem{{Found: "readings.n: expected int", Mend: "ALTER"}}, []sqlsink.Problem{{Found: "denied", Mend: "GRANT"}}
		}), []string{server, "problem readings.n: expected int -> ALTER", "problem denied -> GRANT"}},
		{"old, narrow, late", x(func(x *sqlsink.Examination) {
			x.Version, x.MaxPacket, x.Clock = "10.5.8-MariaDB", 64<<10, -90*time.Second
		}), []string{"ok linux1:3306/plant: 10.5.8-MariaDB, max_allowed_packet 64 KiB",
			"warning version 10.5.8-MariaDB is older than MariaDB 10.6, the oldest that is tested -> apt-get install mariadb-server  # 10.6 or later",
			"warning max_allowed_packet is 64 KiB: a larger row becomes a dead letter -> SET GLOBAL max_allowed_packet = 16777216; -> my.cnf: max_allowed_packet = 16M",
			"warning its clock is 1m30s behind this machine's -> timedatectl set-ntp true  # on both machines", "ok table readings fits"}},
		{"away, told once for two sinks", []rows{{id: "a", err: away}, {id: "b", err: away}}, []string{
			"unknown away -> start it, or name another: connections.store.sql.dsn: USER:PASSWORD@tcp(HOST:PORT)/DATABASE"}},
		{"refused", []rows{{id: "a", err: node.AsFatal(errors.New("denied"))}}, []string{
			"problem denied -> connections.store.sql.dsn: USER:PASSWORD@tcp(HOST:PORT)/DATABASE"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := about{component: "sql store"}
			a.store(c.found)
			want(t, a.findings, c.want...)
		})
	}
}

func TestSQLiteFindings(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		x    sqlsink.Examination
		want string
	}{
		{sqlsink.Examination{File: filepath.Join(dir, "none", "s.db"), NewFile: true}, fmt.Sprintf("problem folder %s/none: file does not exist -> mkdir -p %[1]s/none && chmod u+rwx %[1]s/none", dir)},
		{sqlsink.Examination{File: filepath.Join(dir, "s.db"), NewFile: true}, fmt.Sprintf("info SQLite file %s/s.db is not there yet: the first start makes it", dir)},
		{sqlsink.Examination{File: dir, Version: "3.49"}, fmt.Sprintf("problem SQLite file %s: it is no file -> chmod u+w %[1]s", dir)},
		{sqlsink.Examination{File: "findings_test.go", Version: "3.49"}, "ok SQLite 3.49, file findings_test.go"},
	} {
		a := about{component: "sql store"}
		a.database(&c.x)
		want(t, a.findings, c.want)
	}
}

func TestPluginFindings(t *testing.T) {
	for _, c := range []struct {
		p    pluginhost.Prospect
		want string
	}{
		{pluginhost.Prospect{Name: "scale", Version: "1.2.0", Path: "bin/scale@1.2.0"}, "ok scale@^1 is bin/scale@1.2.0"},
		{pluginhost.Prospect{Name: "scale", Builds: true, Source: "plugins/scale"}, "ok scale@^1 is built from plugins/scale at the start, which takes a while"},
		{pluginhost.Prospect{Name: "scale", Builds: true, Source: "plugins/scale", Version: "1.2.0", Path: "bin/scale@1.2.0"}, "ok scale@^1 is built anew at the start: plugins/scale is newer than bin/scale@1.2.0"},
		{pluginhost.Prospect{Name: "scale", Versions: []string{"3.0.0", "2.0.0"}}, "problem scale@^1: of the versions in bin none fits: 3.0.0, 2.0.0 -> plugin: scale@^3.0.0"},
		{pluginhost.Prospect{Name: "scale"}, "problem scale@^1: there is no version of scale in bin -> engine plugin build --bin bin scale"},
		{pluginhost.Prospect{Name: "scale", Source: "plugins/scale", Lacks: "golang"}, "problem scale@^1: there is no version of scale in bin -> apt-get install golang  # then it is built from plugins/scale"},
	} {
		a := about{component: "plugin scale"}
		a.plugin("scale@^1", "bin", &c.p)
		want(t, a.findings, c.want)
	}
}

func TestFolderFindings(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	want(t, tempFolder(dir, 1<<30, nil), "ok "+dir+": 1 GiB are free")
	want(t, tempFolder(dir, 1<<30-1, nil), "warning "+dir+": 1024.0 MiB are free -> export TMPDIR=FOLDER  # with 1 GiB free")
	want(t, tempFolder(dir, 0, fs.ErrInvalid), "unknown "+dir+": free space: invalid argument -> export TMPDIR=FOLDER")
	want(t, tempFolder(none, 1<<40, nil), "problem "+none+": file does not exist -> export TMPDIR=FOLDER")
	want(t, pluginFolder(dir), "ok "+dir)
	want(t, pluginFolder(none), "info "+none+" is not there yet: building a plugin makes it")
	want(t, pluginFolder("doctor.go"), "problem doctor.go: it is no folder -> plugins: { dir: doctor.go }  # a folder that this user may read")
	want(t, lockFolder(dir), "ok "+dir)
	deep := filepath.Join(none, "deeper")
	want(t, outputFolder("lines", dir), "ok "+dir)
	want(t, outputFolder("lines", deep), "info "+deep+" is not there yet: the start makes it")
	want(t, outputFolder("lines", "doctor.go"), "problem doctor.go: it is no folder -> mkdir -p doctor.go && chmod u+rwx doctor.go")
	want(t, outputFolder("lines", "doctor.go/x"), "problem doctor.go/x: stat doctor.go/x: not a directory -> mkdir -p doctor.go/x && chmod u+rwx doctor.go/x")
	if f := lockFolder(none); f[0].Severity != Problem || !strings.HasPrefix(f[0].Mend[0], "export XDG_RUNTIME_DIR=") {
		t.Errorf("a missing folder of locks: %+v", f)
	}
}

// TestLine: what servers say cannot break lines or steer a terminal.
func TestLine(t *testing.T) {
	if got := line(" a\nb\x1b[2J\u009bc\t"); got != "a; b [2J c" {
		t.Errorf("line = %q", got)
	}
}

// TestShell: a told command does what it says, whatever names are.
func TestShell(t *testing.T) {
	for text, want := range map[string]string{"master.plant1": "master.plant1", "/": "/", "a b": "'a b'", "$(x)'": `'$(x)'\'''`, "": "''"} {
		if got := shell(text); got != want {
			t.Errorf("shell(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 40: "1 TiB", 5 << 50: "5120 TiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
