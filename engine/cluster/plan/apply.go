package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/millrace/millrace/engine/cluster/management"
)

// Why a plan is not carried out at all.
var (
	ErrRefused = errors.New("refused")     // it would destroy something
	ErrBlind   = errors.New("cannot tell") // the cluster did not say enough to compare it
)

// ApplyOptions say how far [Plan.Apply] may go.
type ApplyOptions struct {
	LoseData bool         // steps that replace something may be done
	Backup   string       // file for the definitions before any of those; must not exist
	Told     func(Result) // hears of each step; nil: nobody
}

// Result is what became of a step.
type Result struct {
	Step
	Done  bool   `json:"done"`
	Why   string `json:"why,omitempty"` // why not: left to a script, no leave, an error
	Error error  `json:"-"`
}

// Apply carries out what HTTP can, in order, and stops at the first error. It
// returns a result for each step of the plan: after an error the rest is not done.
// Everything that it adds is declared, so it may be run again.
func (p *Plan) Apply(ctx context.Context, c *management.Client, o ApplyOptions) ([]Result, error) {
	if len(p.Refused) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrRefused, p.Refused[0])
	}
	if p.Offline || p.blind {
		return nil, fmt.Errorf("%w: %s", ErrBlind, strings.Join(append(p.Unknown, "a plan made offline knows nothing of the cluster")[:max(1, len(p.Unknown))], "; "))
	}
	if len(p.Joining) > 0 {
		return nil, fmt.Errorf("%w: %s: not in the cluster yet; run their scripts first", ErrRefused, strings.Join(p.Joining, ", "))
	}
	if o.LoseData && p.Has(Replace) {
		if err := backup(ctx, c, o.Backup); err != nil {
			return nil, fmt.Errorf("definitions backup: %w", err)
		}
	}
	var results []Result
	var failed error
	for _, step := range p.Steps {
		r := Result{Step: step}
		switch {
		case failed != nil:
			r.Why = "not reached"
		default:
			r.Done, r.Why, failed = carryOut(ctx, c, step, o)
			r.Error = failed
		}
		results = append(results, r)
		if o.Told != nil {
			o.Told(r)
		}
	}
	return results, failed
}

func carryOut(ctx context.Context, c *management.Client, step Step, o ApplyOptions) (done bool, why string, err error) {
	switch {
	case step.Kind == Script:
		return false, "by script", nil
	case step.do == nil:
		return false, "by hand", nil
	case step.Kind == Replace && !o.LoseData:
		return false, "loses data: needs --yes-lose-data", nil
	}
	if err := step.do(ctx, c); err != nil {
		return false, err.Error(), fmt.Errorf("%s: %w", step.Object, err)
	}
	return true, "", nil
}

// backup writes all definitions, which hold password hashes, for its owner only.
func backup(ctx context.Context, c *management.Client, file string) error {
	definitions, err := c.Definitions(ctx)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(definitions)
	return errors.Join(err, f.Sync(), f.Close())
}
