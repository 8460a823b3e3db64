package sqlsink

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/node"
)

// classify gives an error of a running sink its class. An error that carries a
// class already keeps it.
func (s *Sink) classify(err error) error {
	if err == nil || node.ClassOf(err) != node.Unsure {
		return err
	}
	switch s.dialect.fault(err) {
	case faultAway:
		return node.AsAway(err)
	case faultAuth:
		return node.AsAway(fmt.Errorf("the database refuses this user: %w", err))
	case faultDrift:
		s.suspect.Store(true)
		return node.AsFatal(fmt.Errorf("%w: %w; paused, resumes when the table is mended", ErrDrift, err))
	case faultSetup:
		return node.AsFatal(fmt.Errorf("%w (the sink needs MariaDB 10.6 or later, with binlog_format MIXED or ROW, or a whole SQLite file)", err))
	}
	return err
}

// classifyStart is classify before the sink has ever worked: a refused user is a
// wrong configuration then.
func (s *Sink) classifyStart(err error) error {
	if s.dialect.fault(err) == faultAuth || errors.Is(err, errBadDSN) {
		return node.AsFatal(err)
	}
	return s.classify(err)
}
