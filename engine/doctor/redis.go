package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/runtime"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

func (c *checker) redis(ctx context.Context) []Finding {
	names := c.connections("redis")
	if len(names) == 0 {
		return embedded("redis log")
	}
	return slices.Concat(atOnce(names, func(name string) []Finding { return c.oneRedis(ctx, name) })...)
}

func (c *checker) oneRedis(ctx context.Context, name string) []Finding {
	a := about{component: "redis " + name}
	conn := c.Pipeline.Connections[name]
	if conn.Embedded() {
		return embedded(a.component)
	}
	ctx, done := c.patience(ctx)
	defer done()
	if name != c.Pipeline.Log.Connection {
		x, err := stream.Reach(ctx, conn.Address().Reveal())
		if a.answered(err, a.url("HOST:PORT")) {
			a.add(OK, fmt.Sprintf("%s: %s, %s", x.Address, x.Version, x.Role))
		}
		return a.findings
	}
	x, err := stream.Examine(ctx, runtime.LogConfig(c.Pipeline, "doctor", slog.New(slog.DiscardHandler)))
	if a.answered(err, a.url("HOST:PORT")) {
		a.log(x, c.Pipeline)
	}
	return a.findings
}

func (a *about) url(address string) string {
	return fmt.Sprintf("connections.%s.redis.url: redis://USER:PASSWORD@%s/0", a.name(), address)
}

// answered reports whether a server has answered, and tells why not.
func (a *about) answered(err error, mend string) bool {
	switch {
	case err == nil:
		return true
	case node.ClassOf(err) == node.Fatal:
		a.add(Problem, err.Error(), mend)
	default:
		a.add(Unknown, err.Error(), "start it, or name another: "+mend)
	}
	return false
}

// log tells what x says of the Redis that holds p's log.
func (a *about) log(x *stream.Examination, p *spec.Pipeline) {
	fsync := "settings not told"
	if x.NoConfig == nil {
		fsync = "appendfsync " + x.Settings["appendfsync"]
	}
	a.add(OK, fmt.Sprintf("%s: %s, %s, %s", x.Address, x.Version, x.Role, fsync))
	a.durability(x, p.Durability == spec.Strict)
	if x.NoConfig == nil {
		a.memory(x, int64(p.Log.MaxBytes))
	}
	a.clock(x.Clock, x.ClockError)
	a.stored(x, p)
}

// settings of Redis without which it may lose what it has acknowledged.
var settings = []struct{ name, want, why string }{
	{"appendonly", "yes", "a restart loses the log"},
	{"appendfsync", "always", "a power cut loses what was acknowledged"},
	{"maxmemory-policy", "noeviction", "a full Redis throws parts of the log away"},
}

// durability tells what a strict pipeline is refused for; one that accepts less
// hears of it all the same.
func (a *about) durability(x *stream.Examination, strict bool) {
	severity := Warning
	if strict {
		severity = Problem
	}
	if x.NoConfig != nil {
		a.add(severity, fmt.Sprintf("CONFIG GET is refused (%v): it cannot be told whether Redis keeps what it acknowledges", x.NoConfig),
			cli(x)+" ACL SETUSER USER +config|get")
	} else {
		for _, s := range settings {
			if have := x.Settings[s.name]; have != s.want {
				a.add(severity, fmt.Sprintf("%s is %q: %s", s.name, have, s.why),
					fmt.Sprintf("%s CONFIG SET %s %s", cli(x), s.name, s.want), fmt.Sprintf("redis.conf: %s %s", s.name, s.want))
			}
		}
	}
	if x.Role != "master" {
		a.add(Problem, fmt.Sprintf("its role is %q: it takes no writes, or loses them", x.Role), a.url(x.Master))
	}
}

// memory compares what the log may take with what there is.
func (a *about) memory(x *stream.Examination, configured int64) {
	limit, left, wants := x.MaxMemory/10*6, x.MaxMemory-x.UsedMemory, x.MaxBytes-x.Log.Bytes
	switch {
	case x.MaxMemory == 0 && configured == 0:
		a.add(Warning, fmt.Sprintf("maxmemory is 0: nothing bounds Redis, and the log takes up to %s, a quarter of that machine's memory", size(x.MaxBytes)),
			cli(x)+" CONFIG SET maxmemory 2gb", "redis.conf: maxmemory 2gb")
	case x.MaxMemory == 0:
	case configured > limit:
		a.add(Warning, fmt.Sprintf("log.max_bytes is %s, but only 60 %% of maxmemory %s are used for it", size(configured), size(x.MaxMemory)),
			fmt.Sprintf("%s CONFIG SET maxmemory %d", cli(x), (configured+5)/6*10), fmt.Sprintf("log: { max_bytes: %s }", spec.Bytes(limit)))
	case left < wants:
		a.add(Warning, fmt.Sprintf("%s of maxmemory %s are left, but the log may take another %s: what else is in Redis is in its way", size(max(left, 0)), size(x.MaxMemory), size(wants)),
			fmt.Sprintf("%s CONFIG SET maxmemory %d", cli(x), x.UsedMemory+wants), fmt.Sprintf("log: { max_bytes: %s }", spec.Bytes(x.Log.Bytes+max(left, 0))))
	}
}

// stored tells what there is of the pipeline's log.
func (a *about) stored(x *stream.Examination, p *spec.Pipeline) {
	switch {
	case errors.Is(x.Log.Refused, stream.ErrLanes):
		a.add(Problem, fmt.Sprintf("the log of %s has %s lanes, the file says %d", p.Name, x.Log.Lanes, p.Lanes), "lanes: "+x.Log.Lanes)
	case errors.Is(x.Log.Refused, stream.ErrFormat):
		a.add(Problem, x.Log.Refused.Error(), "name: "+p.Name+"2  # or run the version of the engine that wrote it")
	case x.Log.Refused != nil:
		a.add(Problem, x.Log.Refused.Error(), "engine log accept-loss "+shell(p.File))
	case x.Log.Epoch == 0:
		a.add(Info, fmt.Sprintf("there is no log of %s yet: the first start makes it", p.Name))
	default:
		a.add(OK, fmt.Sprintf("log of %s: epoch %d, %s lanes, %s, %s of at most %s", p.Name, x.Log.Epoch, x.Log.Lanes,
			count(x.Log.Streams, "stream"), size(x.Log.Bytes), size(x.MaxBytes)))
	}
}

// cli is how redis-cli reaches the server; a password is in REDISCLI_AUTH.
func cli(x *stream.Examination) string {
	if x.Network == "unix" {
		return "redis-cli -s " + shell(x.Address)
	}
	host, port, err := net.SplitHostPort(x.Address)
	if err != nil || (host == "127.0.0.1" || host == "localhost") && port == "6379" {
		return "redis-cli"
	}
	return fmt.Sprintf("redis-cli -h %s -p %s", host, port)
}
