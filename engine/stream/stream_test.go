package stream_test

import (
	"log/slog"
	"testing"

	"github.com/millrace/millrace/engine/stream/embedded"
	"github.com/millrace/millrace/engine/stream/logtest"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

func embeddedDatabase(t testing.TB) string {
	s, err := embedded.Start(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}

func redisDatabase(t testing.TB) string { return testserver.SharedRedis(t).Database(t) }

func TestLogOnEmbedded(t *testing.T) { logtest.Run(t, embeddedDatabase) }

func TestLogOnRedis(t *testing.T) { logtest.Run(t, redisDatabase) }

func TestWatermillOnEmbedded(t *testing.T) { logtest.RunWatermill(t, embeddedDatabase, true) }

func TestWatermillOnRedis(t *testing.T) { logtest.RunWatermill(t, redisDatabase, true) }

func TestFaultWatermillInFull(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { logtest.RunWatermill(t, embeddedDatabase, false) })
	t.Run("redis", func(t *testing.T) { logtest.RunWatermill(t, redisDatabase, false) })
}
