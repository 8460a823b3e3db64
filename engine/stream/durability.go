package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/node"
)

// server is what Redis says of itself.
type server struct {
	runID     string
	role      string
	master    string // host:port of a replica's master
	version   string
	settings  map[string]string // the persistence and memory settings
	noInfo    bool              // INFO has no such section: the embedded Redis
	noConfig  error             // why CONFIG GET was refused
	hostBytes int64             // memory of the server's machine
	usedBytes int64             // memory that the server holds
}

// ask reads what a durability proof needs, in one round trip.
func ask(ctx context.Context, c redis.Cmdable) (server, error) {
	var s server
	pipe := c.Pipeline()
	general := pipe.Info(ctx, "server")
	role := pipe.Info(ctx, "replication")
	memory := pipe.Info(ctx, "memory")
	persistence := pipe.ConfigGet(ctx, "append*")
	limits := pipe.ConfigGet(ctx, "maxmemory*")
	if _, err := pipe.Exec(ctx); general.Val() == "" && general.Err() == nil {
		return s, err // no connection; otherwise each command's own error is looked at
	}
	if reply, ok := errors.AsType[redis.Error](general.Err()); ok && strings.Contains(reply.Error(), "not supported") {
		s.noInfo = true
		return s, nil
	}
	for _, err := range []error{general.Err(), role.Err(), memory.Err()} {
		if err != nil {
			return s, err
		}
	}
	s.runID, s.version = infoField(general.Val(), "run_id"), infoField(general.Val(), "redis_version")
	s.role = infoField(role.Val(), "role")
	if host := infoField(role.Val(), "master_host"); host != "" {
		s.master = net.JoinHostPort(host, infoField(role.Val(), "master_port"))
	}
	s.hostBytes, _ = strconv.ParseInt(infoField(memory.Val(), "total_system_memory"), 10, 64)
	s.usedBytes, _ = strconv.ParseInt(infoField(memory.Val(), "used_memory"), 10, 64)
	if s.noConfig = errors.Join(persistence.Err(), limits.Err()); s.noConfig != nil {
		return s, notRefused(s.noConfig)
	}
	s.settings = persistence.Val()
	for k, v := range limits.Val() {
		s.settings[k] = v
	}
	return s, nil
}

// notRefused returns err unless Redis itself answered it.
func notRefused(err error) error {
	if _, ok := errors.AsType[redis.Error](err); ok && !strings.Contains(err.Error(), "LOADING") {
		return nil
	}
	return err
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// prove says what is missing for Redis to keep whatever it acknowledges, nil if
// nothing is.
func (s server) prove() error {
	if s.noInfo {
		return fmt.Errorf("%w: this Redis lives in the engine's memory; set durability: best_effort", ErrDurability)
	}
	if s.noConfig != nil {
		return fmt.Errorf("%w: CONFIG GET is refused (%v), so nothing can be proved; allow `CONFIG GET` to this user or set durability: best_effort",
			ErrDurability, s.noConfig)
	}
	var missing []string
	for _, want := range [][2]string{{"appendonly", "yes"}, {"appendfsync", "always"}, {"maxmemory-policy", "noeviction"}} {
		if have := s.settings[want[0]]; have != want[1] {
			missing = append(missing, fmt.Sprintf("%s is %q, set it to %q", want[0], have, want[1]))
		}
	}
	if s.role != "master" {
		missing = append(missing, fmt.Sprintf("role is %q, use the master", s.role))
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("%w: %s (or set durability: best_effort)", ErrDurability, strings.Join(missing, "; "))
}

// enter runs on every new connection, before any other command: nothing is ever
// stored through a connection to a server whose file may begin a transaction that
// it does not end, nor, in a strict log, to one that was not proved, whatever it was
// restarted with.
func (l *Log) enter(ctx context.Context, c *redis.Conn) error {
	if l.cfg.Strict {
		s, err := ask(ctx, c)
		if err != nil {
			return l.awayOrFatal(err)
		}
		if err := s.prove(); err != nil {
			return l.unproved(err)
		}
	}
	return l.renewFile(ctx, c)
}

// unproved is fatal for a log in use; while opening it is only an error.
func (l *Log) unproved(err error) error {
	if l.epoch == 0 {
		return node.AsFatal(err)
	}
	return l.fail(err)
}

// examine looks at the server at start: proof, kind, and memory.
func (l *Log) examine(ctx context.Context) error {
	s, err := ask(ctx, l.rdb)
	if err != nil {
		return l.awayOrFatal(err)
	}
	l.mu.Lock()
	l.runID = s.runID
	l.mu.Unlock()
	l.embedded = s.noInfo
	if err := s.prove(); err != nil {
		if l.cfg.Strict {
			return node.AsFatal(err)
		}
		if !s.noInfo { // who starts an embedded log says so
			l.logger.Warn("best effort: a crash of redis may lose what was acknowledged", "because", err)
		}
	}
	l.maxBytes = l.memoryLimit(s)
	return nil
}

// embeddedBytes bounds a log in the engine's own memory.
const embeddedBytes = 256 << 20

func (l *Log) memoryLimit(s server) int64 {
	limit, _ := strconv.ParseInt(s.settings["maxmemory"], 10, 64)
	most := limit / 10 * 6 // commits, identities, dead letters and others need the rest
	switch {
	case limit > 0 && l.cfg.MaxBytes > most:
		l.logger.Warn("log.max_bytes is more than 60 % of redis' maxmemory: that much is used", "max_bytes", l.cfg.MaxBytes, "maxmemory", limit, "used", most)
		return most
	case l.cfg.MaxBytes > 0:
		return l.cfg.MaxBytes
	case s.noInfo:
		return min(embeddedBytes, machineBytes()/4)
	case limit > 0:
		return most
	}
	if s.hostBytes == 0 {
		s.hostBytes = machineBytes()
	}
	l.logger.Warn("redis has no maxmemory; the log may take a quarter of the machine's memory", "bytes", s.hostBytes/4)
	return s.hostBytes / 4
}

// machineBytes is this machine's memory, 2 GiB where it cannot be read.
func machineBytes() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	fields := strings.Fields(infoField(string(text), "MemTotal"))
	if len(fields) == 0 {
		return 2 << 30
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 2 << 30
	}
	return kib << 10
}
