package sqlsink

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// migrationTable records which versions of the engine's own tables are there.
const migrationTable = "millrace_migrations"

// migrateTries bounds what two engines that start at once on one SQLite file cost
// each other.
const migrateTries = 5

// migrate brings the engine's own tables to this build's version. Engines that
// start at once take turns; tables of a newer build are left alone.
func (s *Sink) migrate(ctx context.Context) error {
	var err error
	for range migrateTries {
		if err = s.migrateOnce(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		if f := s.dialect.fault(err); f == faultAuth || f == faultSetup {
			return err
		}
	}
	return err
}

func (s *Sink) migrateOnce(ctx context.Context) error {
	kind, files, options := s.dialect.migrations(s.pool)
	options = append(options, goose.WithTableName(migrationTable), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(kind, s.pool, files, options...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	if errors.Is(err, errLockBusy) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}
