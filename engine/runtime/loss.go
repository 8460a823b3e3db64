package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// AcceptLoss makes the log of p usable again after Redis has lost some of it (see
// [stream.AcceptLoss]) and returns the epoch that it had, 0 if there is none any
// more, and the new one. engineID is as in [Config]: an engine of that name which
// runs p on this machine is in the way. While Redis is away it waits until ctx ends.
func AcceptLoss(ctx context.Context, p *spec.Pipeline, engineID string, logger *slog.Logger) (before, after uint64, err error) {
	if engineID, err = defaultID(engineID); err != nil {
		return 0, 0, err
	}
	unlock, err := lock(p.Name, engineID)
	if err != nil {
		return 0, 0, fmt.Errorf("stop the engine first: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	cfg := LogConfig(p, engineID, logger)
	if before, err = stream.StoredEpoch(ctx, cfg); err != nil {
		return 0, 0, err
	}
	after, err = stream.AcceptLoss(ctx, cfg)
	return before, after, err
}
