package sqlsink

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/node"
)

// liveGeneration is the generation that is no replay.
const liveGeneration = "live"

// shadowMark stands between a table's name and the replay's in a shadow table's.
const shadowMark = "__replay_"

const forgetPositions = `DELETE FROM millrace_positions WHERE pipeline = ? AND generation = ? AND sink = ?`

// ShadowTable returns the name of the table that takes the rows of a replay beside
// table: <table>__replay_<replay>. Open refuses one of more than 64 characters.
func ShadowTable(table, replay string) string { return table + shadowMark + replay }

// Forget deletes the positions of this sink's generation, in all streams and
// lanes. Nobody may be writing under that generation any more: its next Write is
// Fatal. The live generation's positions are never deleted, that is Fatal too.
// Forgetting again does nothing.
func (s *Sink) Forget(ctx context.Context) error {
	if s.isLive() {
		return node.AsFatal(fmt.Errorf("sink %q: the positions of generation %q are kept", s.cfg.Node, s.cfg.Generation))
	}
	err := s.db.WithContext(ctx).Exec(forgetPositions, s.cfg.Pipeline, s.cfg.Generation, s.cfg.Node).Error
	if err != nil {
		err = s.classify(fmt.Errorf("sink %q: forget the positions of generation %q: %w", s.cfg.Node, s.cfg.Generation, err))
	}
	return err
}

// isLive takes a name that differs in trailing spaces for live as well, as MariaDB
// does when it compares.
func (s *Sink) isLive() bool { return strings.TrimRight(s.cfg.Generation, " ") == liveGeneration }

// DropTable drops the sink's table, which must be a replay's shadow table: it is
// Fatal for the live generation and for a table without "__replay_" in its name.
// The sink can only be closed afterwards. Dropping again does nothing.
func (s *Sink) DropTable(ctx context.Context) error {
	table := s.cfg.Options.Table
	if s.isLive() || !strings.Contains(table, shadowMark) {
		return node.AsFatal(fmt.Errorf("sink %q: table %s of generation %q is no shadow table of a replay and is not dropped",
			s.cfg.Node, table, s.cfg.Generation))
	}
	_, err := s.pool.ExecContext(ctx, "DROP TABLE IF EXISTS "+s.dialect.quote(table))
	if err != nil {
		err = s.classify(fmt.Errorf("sink %q: drop table %s: %w", s.cfg.Node, table, err))
	}
	return err
}

// copyTable makes the table as an empty copy of the one that Like names. It
// returns false if there is none. A table that the sink could not fill is not
// copied: its copy would have to be mended as well.
func (s *Sink) copyTable(ctx context.Context) (bool, error) {
	like, table := s.cfg.Like, s.cfg.Options.Table
	found, err := s.dialect.describe(ctx, s.db, like)
	if err != nil || found == nil {
		return false, err
	}
	if problems := s.problems(found); len(problems) > 0 {
		return false, node.AsFatal(fmt.Errorf("%w: %s; paused until it is mended", ErrDrift, drift(problems)))
	}
	s.cfg.Logger.Info("creating table", "sink", s.cfg.Node, "table", table, "like", like)
	if err := s.dialect.copyTable(ctx, s.db, table, like); err != nil {
		return false, fmt.Errorf("as a copy of %s: %w", like, err)
	}
	return true, nil
}
