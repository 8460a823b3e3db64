package simulation

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/millrace/millrace/engine/event"
)

// memoryRedis is a Redis without a network: the log's own scripts run in it. It is
// also the wire to it, on which every command is a call that can go wrong.
type memoryRedis struct {
	w    *world
	mini *miniredis.Miniredis

	mu      sync.Mutex
	changed chan struct{}     // closed by the next script; guarded by mu, which also makes a script one step
	known   map[string]string // scripts by SHA-1; guarded by mu
}

func newRedis(w *world) *memoryRedis {
	r := &memoryRedis{w: w, mini: miniredis.NewMiniRedis(), changed: make(chan struct{}), known: map[string]string{}}
	r.mini.ClockTTL(true)
	c, err := r.mini.Dial() // starts it without a listener
	if err != nil {
		panic(err)
	}
	_ = c.Close()
	return r
}

func (r *memoryRedis) close() { r.mini.Close() }

// dial opens a connection of e.
func (r *memoryRedis) dial(e *engine) (net.Conn, error) {
	if e.isGone() || r.w.isAway("redis") {
		return nil, errors.New("connection refused")
	}
	client, conn := net.Pipe()
	e.adopt(conn)
	r.w.tasks.Go(func() {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for {
			args, err := command(in)
			if err != nil {
				return
			}
			reply, ok := r.answer(e, args)
			if !ok {
				return
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	})
	return client, nil
}

// command reads one command: an array of strings.
func command(in *bufio.Reader) ([]string, error) {
	n, err := length(in, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := length(in, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func length(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q where %q ought to begin", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// answer sees one command through; false breaks its connection.
func (r *memoryRedis) answer(e *engine, args []string) ([]byte, bool) {
	if strings.EqualFold(args[0], "XREAD") {
		args = r.arrived(e, args)
	}
	p, actor := pointOf(args)
	var reply []byte
	switch r.w.call(e, p, actor, func() { reply = r.do(args) }) {
	case answered:
		return reply, true
	case refused:
		return []byte("-LOADING Redis is loading the dataset in memory\r\n"), true
	default:
		return nil, false
	}
}

// arrived waits as a blocking XREAD does and returns the read that does not wait,
// for one entry: more of them arrive one by one, so that what is merged into a unit
// depends on the clock alone.
func (r *memoryRedis) arrived(e *engine, args []string) []string {
	key, after := args[len(args)-2], args[len(args)-1]
	now := []string{"XREAD", "COUNT", "1", "STREAMS", key, after}
	if len(args) < 8 {
		return now
	}
	ms, _ := strconv.Atoi(args[4])
	deadline := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if reply := r.do(now); !bytes.HasPrefix(reply, []byte("*-1")) {
			return now
		}
		select {
		case <-changed:
		case <-deadline.C:
			return now
		case <-e.gone:
			return now
		case <-r.w.over:
			return now
		}
	}
}

func (r *memoryRedis) do(args []string) []byte {
	name := strings.ToUpper(args[0])
	switch name {
	case "INFO", "CONFIG":
		return facts(args)
	}
	if p, _ := pointOf(args); p == "redis.trim" && r.w.seed%8 != 0 { // most runs spare themselves the trimming
		return []byte("*2\r\n$2\r\nok\r\n$3\r\n0-0\r\n")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var text string
	switch name {
	case "EVAL":
		text = args[1]
		r.known[digest(text)] = text
	case "EVALSHA":
		if text = r.known[args[1]]; text == "" {
			return []byte("-NOSCRIPT No matching script. Please use EVAL.\r\n")
		}
	default:
		return r.native(args)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return script(text, args[2:], r.native)
}

// facts answers as a server does that keeps what it acknowledges.
func facts(args []string) []byte {
	text := map[string]string{
		"":       "run_id:memory\r\naof_enabled:1\r\naof_rewrites:1\r\naof_last_bgrewrite_status:ok\r\n",
		"server": "run_id:memory\r\nredis_version:7.2.0\r\n", "replication": "role:master\r\n", "memory": "total_system_memory:1073741824\r\n",
	}[strings.Join(args[1:], " ")]
	if strings.EqualFold(args[0], "info") {
		return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(text), text)
	}
	pairs := []string{"appendonly", "yes", "appendfsync", "always"}
	if args[2] == "maxmemory*" {
		pairs = []string{"maxmemory", "104857600", "maxmemory-policy", "noeviction"}
	}
	b := fmt.Appendf(nil, "*%d\r\n", len(pairs))
	for _, s := range pairs {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(s), s)
	}
	return b
}

// scripts are the names of the log's scripts, by SHA-1 of their texts.
var scripts = func() map[string]string {
	names := map[string]string{}
	for _, parts := range [][]string{
		{"open"}, {"acquire"}, {"release"}, {"renew"}, {"append"}, {"outputs", "letters", "commit"}, {"letters", "deadletters"}, {"ensure"}, {"align"},
		{"register"}, {"trim"}, {"peek"}, {"facts"},
	} {
		var text []byte
		for _, part := range parts {
			b, err := os.ReadFile("../stream/lua/" + part + ".lua")
			if err != nil {
				panic(err)
			}
			text = append(text, b...)
		}
		names[digest(string(text))] = parts[len(parts)-1]
	}
	return names
}()

func digest(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// pointOf names the call that a command is, and who makes it: a lane, or a lease.
func pointOf(args []string) (point, string) {
	name := strings.ToUpper(args[0])
	switch name {
	case "INFO", "CONFIG":
		return "redis.info", args[len(args)-1]
	case "XREAD":
		return "redis.read." + point(readerOf(args[len(args)-2])), args[len(args)-2]
	case "HKEYS":
		return "redis.streams", ""
	case "XRANGE":
		return "redis.expire", ""
	case "HMGET":
		return "redis.state", args[len(args)-1]
	case "XLEN":
		return "redis.stats", "dead"
	case "HGET", "HGETALL":
		return hashPoint(args)
	case "EVALSHA":
		return scriptPoint(scripts[args[1]], args)
	case "EVAL":
		return scriptPoint(scripts[digest(args[1])], args)
	}
	return point("redis." + strings.ToLower(name)), ""
}

func readerOf(key string) string {
	if strings.Contains(key, "journal") {
		return "stage"
	}
	return "sink"
}

func hashPoint(args []string) (point, string) {
	key, last := args[1], args[len(args)-1]
	switch {
	case strings.HasSuffix(key, ":meta"):
		return "redis.epoch", ""
	case strings.HasSuffix(key, ":usage"):
		return "redis.usage", ""
	case strings.HasSuffix(key, ":readers"):
		return "redis.stats", "readers"
	case strings.HasSuffix(key, ":positions"):
		return "redis.position." + point(readerOf(last)), last
	case last == "head":
		return "redis.head", key
	}
	return point("redis.hash." + key), last
}

// scriptPoint names a script's call. What tells callers apart is a key, or an
// argument, whose place each script's head gives.
func scriptPoint(script string, args []string) (point, string) {
	keys, _ := strconv.Atoi(args[2])
	key := func(n int) string { return args[2+n] }
	arg := func(n int) string { return args[2+keys+n] }
	p := point("redis." + script)
	switch script {
	case "append":
		return p, key(4)
	case "commit":
		return p + "." + point(readerOf(arg(5))), arg(5)
	case "deadletters":
		part, _, _ := strings.Cut(arg(2), ":")
		return "redis.letters." + point(part), arg(2)
	case "acquire", "align":
		return p, arg(2)
	case "release":
		return p, arg(1)
	case "register":
		return p, arg(2)
	}
	return p, ""
}

// letter is one dead letter as the log holds it.
type letter struct {
	id   string // of the message
	node string
	code string
}

// letters reads the dead letters, in order.
func (r *memoryRedis) letters() []letter {
	entries, err := r.mini.Stream("mr:{sim}:dead")
	if err != nil {
		return nil // there is none
	}
	list := make([]letter, 0, len(entries))
	for _, entry := range entries {
		fields := map[string]string{}
		for i := 0; i+1 < len(entry.Values); i += 2 {
			fields[entry.Values[i]] = entry.Values[i+1]
		}
		f, err := event.DecodeFrame([]byte(fields["event"]))
		if err != nil || len(f.Events) != 1 {
			list = append(list, letter{id: "undecodable", node: fields["node"], code: fields["code"]})
			continue
		}
		list = append(list, letter{id: f.Events[0].Source.Exchange, node: fields["node"], code: fields["code"]})
	}
	return list
}

// dialer gives e's log its connections.
func (e *engine) dial(context.Context) (net.Conn, error) { return e.w.redis.dial(e) }
