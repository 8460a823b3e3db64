package stream

import (
	"context"
	"fmt"
	"slices"
)

// StateVersions is where a generation's nodes note the layouts of the state that
// they store. Nothing is ever taken out of it while the state is there.
type StateVersions struct {
	log        *Log
	generation string
}

// StateVersions returns the record of one generation.
func (l *Log) StateVersions(generation string) StateVersions { return StateVersions{l, generation} }

// Recorded returns every version under which state of node may have been stored,
// sorted. Errors are Away or Fatal.
func (v StateVersions) Recorded(ctx context.Context, node string) ([]string, error) {
	if err := v.log.usable(); err != nil {
		return nil, err
	}
	versions, err := v.log.rdb.SMembers(ctx, v.key(node)).Result()
	if err != nil {
		return nil, fmt.Errorf("state versions of %s: %w", node, v.log.awayOrFatal(err))
	}
	slices.Sort(versions)
	return versions, nil
}

// Record notes, as durably as everything else, that state of node is stored under
// version from now on. It comes before the first commit of such state and may be
// repeated. Errors are Away or Fatal.
func (v StateVersions) Record(ctx context.Context, node, version string) error {
	if err := v.log.usable(); err != nil {
		return err
	}
	if err := v.log.rdb.SAdd(ctx, v.key(node), version).Err(); err != nil {
		return fmt.Errorf("note state version %q of %s: %w", version, node, v.log.awayOrFatal(err))
	}
	return nil
}

func (v StateVersions) key(node string) string {
	return v.log.keys.stateVersions(StateOf(node, v.generation))
}
