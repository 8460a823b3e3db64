package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// A Redis that does not keep what it says is refused at once, not waited for.
func TestFaultStrictLogRefusesEverysec(t *testing.T) {
	server := testserver.Redis(t, testserver.AppendFsync("everysec"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cfg := stream.Config{URL: server.URL(), Pipeline: "proof", EngineID: "one", Lanes: 1, Strict: true}
	_, err := stream.Open(ctx, cfg)
	if !errors.Is(err, stream.ErrDurability) || node.ClassOf(err) != node.Fatal || ctx.Err() != nil {
		t.Fatalf("Open = %v (%v); want it to be fatal", err, node.ClassOf(err))
	}
	cfg.Strict = false
	l, err := stream.Open(ctx, cfg)
	if err != nil {
		t.Fatalf("best effort: Open = %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
