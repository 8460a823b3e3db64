package tap

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/expr"
)

// query is what a client asks for.
type query struct {
	past  bool      // begin in the past
	from  time.Time // with past: there; zero: at the oldest entry
	to    time.Time // end there; zero: never
	where *expr.Program
	limit int // events; 0: no limit
}

var names = []string{"from", "to", "where", "limit"}

// parse reads a query and reports all that is wrong with it at once.
func parse(values url.Values, now time.Time, view View) (q query, err error) {
	var errs []error
	for name := range values {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("%s: unknown, expected one of %s", name, strings.Join(names, ", ")))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	errs = append(errs, q.times(values.Get("from"), values.Get("to"), now))
	errs = append(errs, q.filter(values.Get("where"), view))
	if text := values.Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 {
			errs = append(errs, fmt.Errorf("limit: %q is not a number from 1 on", text))
		}
	}
	return q, errors.Join(errs...)
}

func (q *query) times(from, to string, now time.Time) error {
	var errs []error
	var err error
	begin := now
	if q.past = from != ""; q.past && from != "earliest" {
		if q.from, err = moment(from, now); err != nil {
			errs = append(errs, fmt.Errorf("from: %w, or earliest", err))
		}
		begin = q.from
	}
	if to != "" {
		if q.to, err = moment(to, now); err != nil {
			errs = append(errs, fmt.Errorf("to: %w", err))
		}
	}
	if len(errs) == 0 && to != "" && from != "earliest" && !q.to.After(begin) {
		errs = append(errs, fmt.Errorf("to: %s is not after the beginning, %s", to, begin.UTC().Format(time.RFC3339)))
	}
	return errors.Join(errs...)
}

// moment reads a time, or how long before now it is.
func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return now, fmt.Errorf("%q is neither of the form 2026-03-01T12:00:00Z nor a time back such as 10m", text)
	}
	return at, nil
}

func (q *query) filter(source string, view View) (err error) {
	if source == "" {
		return nil
	}
	if q.where, err = expr.Compile(source); err != nil {
		return fmt.Errorf("where: %w", withHint(err))
	}
	if q.where.NeedsRecord() && view.payloads() {
		return fmt.Errorf("where: %s asks for fields of a record, and events in the journal have only a payload: %s",
			strings.Join(q.where.Fields(), ", "), "write payload.NAME, or tap a node behind the one that decodes")
	}
	return nil
}

func withHint(err error) error {
	if e, ok := errors.AsType[*expr.Error](err); ok && e.Hint != "" {
		return fmt.Errorf("%w (%s)", err, e.Hint)
	}
	return err
}
