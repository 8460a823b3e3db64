// Package embedded runs the log's Redis inside the engine's own process, for
// trying a pipeline where there is no server. It stands below package stream,
// which works on it as on any other Redis. What it holds ends with the process.
package embedded

import (
	"fmt"
	"log/slog"
	"sort"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Server is a Redis in this process, reachable on a loopback port. Its clock
// goes with the machine's, so that leases run out.
type Server struct {
	redis  *miniredis.Miniredis
	logger *slog.Logger
}

// Start returns a running, empty server.
func Start(logger *slog.Logger) (*Server, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	m.ClockTTL(true)
	m.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		return cmd == "XREAD" && read(m, c, args)
	})
	logger.Info("embedded log: what it holds ends with this process")
	return &Server{redis: m, logger: logger}, nil
}

// URL is where the server is reached, for stream.Config.
func (s *Server) URL() string { return "redis://" + s.redis.Addr() }

// Close ends the server and forgets what it holds.
func (s *Server) Close() { s.redis.Close() }

// read answers XREAD COUNT n STREAMS key id by binary search. The server's own
// way looks at every entry from the first on. It leaves every other form alone.
func read(m *miniredis.Miniredis, c *server.Peer, args []string) bool {
	if len(args) != 5 || args[0] != "COUNT" || args[2] != "STREAMS" {
		return false
	}
	count, err := strconv.Atoi(args[1])
	after, ok := parse(args[4])
	if err != nil || !ok || count < 1 {
		return false
	}
	entries, err := m.Stream(args[3])
	if err != nil {
		return false
	}
	from := sort.Search(len(entries), func(i int) bool {
		id, _ := parse(entries[i].ID)
		return id[0] > after[0] || id[0] == after[0] && id[1] > after[1]
	})
	reply(c, args[3], entries[from:min(from+count, len(entries))])
	return true
}

func parse(id string) (n [2]uint64, ok bool) {
	ms, seq, ok := strings.Cut(id, "-")
	var err1, err2 error
	n[0], err1 = strconv.ParseUint(ms, 10, 64)
	n[1], err2 = strconv.ParseUint(seq, 10, 64)
	return n, ok && err1 == nil && err2 == nil
}

func reply(c *server.Peer, key string, entries []miniredis.StreamEntry) {
	if len(entries) == 0 {
		c.WriteLen(-1)
		return
	}
	c.WriteLen(1)
	c.WriteLen(2)
	c.WriteBulk(key)
	c.WriteLen(len(entries))
	for _, e := range entries {
		c.WriteLen(2)
		c.WriteBulk(e.ID)
		c.WriteLen(len(e.Values))
		for _, v := range e.Values {
			c.WriteBulk(v)
		}
	}
}
