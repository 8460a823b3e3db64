// Package transformtest is the conformance suite of [node.Transform]. It holds
// any implementation, built in or behind a plugin process, to what the contract
// promises and to examples kept as data; the same examples must give the same
// answers everywhere. It opens nothing itself: the caller says how.
package transformtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/millrace/millrace/engine/node"
)

// Suite is what to check.
type Suite struct {
	// Open returns a transform that acts as node nodeID, configured by the options
	// of a case. The suite closes it.
	Open func(nodeID string, options map[string]any) (node.Transform, error)
	// Cases are the examples. Every promise is checked with the inputs of each.
	Cases []Case
	// Lanes is how many lanes call Process at once, default 4.
	Lanes int
}

// nodeID is the node that transforms under test act as.
const nodeID = "under_test"

// Violation is one broken promise.
type Violation struct {
	Promise string // as the contract states it
	Case    string // name of the case whose inputs showed it
	Err     error
}

func (v Violation) Error() string {
	return fmt.Sprintf("%s: case %q: %v", v.Promise, v.Case, v.Err)
}

// Unwrap returns what went wrong.
func (v Violation) Unwrap() error { return v.Err }

// promise is one sentence of the contract and how to check it.
type promise struct {
	text  string
	check func(ctx context.Context, p *probe) error
}

// promises are checked in this order, each on a transform of its own.
var promises = []promise{
	{"the examples give the results that they name", examples},
	{"there is one result per event, in order", oneResultEach},
	{"an empty batch is fine", emptyBatch},
	{"outputs descend from their input", descent},
	{"processing again gives the same events", sameAgain},
	{"the cut into batches does not matter", anyCut},
	{"ids depend on the root and are unique", uniqueIDs},
	{"the input is not changed", inputUnchanged},
	{"the input is not kept", inputNotKept},
	{"bad data is a reject with a record number, a code and a text", hardInputs},
	{"lanes do not disturb each other", lanesAtOnce},
	{"a cancelled call gives an error and does no harm", cancelled},
	{"state is read and written by declared keys alone", declaredState},
	{"state is the same however a long run is cut", longRuns},
	{"a refused event leaves no trace in the state", refusedLeaveNothing},
}

// Check checks every promise with every case and returns the broken ones. It
// needs no *testing.T, so that a command can run it.
func Check(ctx context.Context, s Suite) []Violation {
	var broken []Violation
	for _, c := range s.Cases {
		for _, p := range promises {
			if err := s.checkOne(ctx, p, c); err != nil {
				broken = append(broken, Violation{p.text, c.Name, err})
			}
		}
	}
	return broken
}

// Run checks every promise with every case, each in a subtest.
func Run(t *testing.T, s Suite) {
	if len(s.Cases) == 0 {
		t.Fatal("a suite without cases checks nothing")
	}
	for _, c := range s.Cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, p := range promises {
				t.Run(p.text, func(t *testing.T) {
					if err := s.checkOne(t.Context(), p, c); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

func (s Suite) checkOne(ctx context.Context, p promise, c Case) (err error) {
	tr, err := s.Open(nodeID, c.Options)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if closing := tr.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("close: %w", closing))
		}
	}()
	lanes := s.Lanes
	if lanes == 0 {
		lanes = 4
	}
	return p.check(ctx, &probe{tr: tr, c: c, lanes: lanes})
}
