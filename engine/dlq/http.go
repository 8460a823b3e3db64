package dlq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
)

// Routes returns what answers for log under /api/v1/dlq, for [http.ServeMux]:
//
//	GET  /api/v1/dlq         a [Listing]; filter, order, after and limit in the query
//	GET  /api/v1/dlq/export  whole letters, one JSON object a line; ids, or a filter
//	GET  /api/v1/dlq/{id}    one whole letter
//	POST /api/v1/dlq/drop    a [Dropped]; ids, or a filter, and dry_run in the query
//	POST /api/v1/dlq/replay  a [Replayed]; as drop, and from_source
//	GET  /api/v1/dlq/replay  [Waiting] events of a node that are being driven again
//
// What is shown of letters is hidden as rules, asked for each time, say.
func Routes(log Journal, driver Driver, rules func() *redact.Rules) map[string]http.Handler {
	shown := redacted{log, rules}
	return map[string]http.Handler{
		"POST /api/v1/dlq/replay": handler(log, func(r *http.Request, _ Log) (any, error) { return replayAsked(r, log, driver) }),
		"GET /api/v1/dlq/replay":  handler(log, func(r *http.Request, _ Log) (any, error) { return waitingFor(r, driver) }),
		"GET /api/v1/dlq":         handler(shown, list),
		"GET /api/v1/dlq/export":  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { export(w, r, shown) }),
		"GET /api/v1/dlq/{id}":    handler(shown, func(r *http.Request, log Log) (any, error) { return Show(r.Context(), log, r.PathValue("id")) }),
		"POST /api/v1/dlq/drop":   handler(log, func(r *http.Request, _ Log) (any, error) { return drop(r, log, driver) }),
	}
}

// badQuery is a mistake of the asker.
type badQuery struct{ error }

var errBoth = badQuery{errors.New("either ids or a filter, not both")}

func handler(log Log, do func(*http.Request, Log) (any, error)) http.Handler {
	return httpapi.JSON(codeOf, func(r *http.Request) (any, error) { return do(r, log) })
}

func codeOf(err error) int {
	if _, bad := errors.AsType[badQuery](err); bad {
		return http.StatusBadRequest
	}
	if errors.Is(err, ErrNone) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable // the log is out of reach
}

func list(r *http.Request, log Log) (any, error) {
	q := r.URL.Query()
	f, err := ParseFilter(q, "order", "after", "limit")
	limit := DefaultLimit
	if text := q.Get("limit"); text != "" {
		var wrong error
		if limit, wrong = strconv.Atoi(text); wrong != nil || limit < 0 || limit > MaxLimit {
			err = errors.Join(err, fmt.Errorf("limit: %q is not a number from 0 to %d", text, MaxLimit))
		}
	}
	if after := q.Get("after"); after != "" && !valid(after) {
		err = errors.Join(err, fmt.Errorf("after: %q is no dead letter's id", after))
	}
	order := cmp.Or(q.Get("order"), "oldest")
	if order != "oldest" && order != "newest" {
		err = errors.Join(err, fmt.Errorf("order: %q is neither oldest nor newest, which is what comes first", order))
	}
	if err != nil {
		return nil, badQuery{err}
	}
	if order == "newest" {
		return Newest(r.Context(), log, f, q.Get("after"), limit)
	}
	return List(r.Context(), log, f, q.Get("after"), limit)
}

func drop(r *http.Request, log Log, driver Driver) (any, error) {
	c, err := choiceOf(r.URL.Query(), "dry_run")
	if err != nil {
		return nil, err
	}
	dryRun := r.URL.Query().Get("dry_run") == "true"
	if !dryRun {
		defer driver.Follow() // others may have waited behind them
	}
	if len(c.IDs) > 0 {
		return DropIDs(r.Context(), log, c.IDs, dryRun)
	}
	return Drop(r.Context(), log, c.Filter, dryRun)
}

// choiceOf reads which letters are meant; all of them must be asked for expressly.
func choiceOf(q url.Values, others ...string) (Choice, error) {
	f, err := ParseFilter(q, append(others, "id", "all")...)
	switch {
	case err != nil:
		return Choice{}, badQuery{err}
	case len(q["id"]) > 0 && !f.Empty():
		return Choice{}, errBoth
	case len(q["id"]) == 0 && f.Empty() && q.Get("all") != "true":
		return Choice{}, badQuery{errors.New("expected id, a filter, or all=true")}
	}
	return Choice{IDs: q["id"], Filter: f}, nil
}

func replayAsked(r *http.Request, log Journal, driver Driver) (any, error) {
	q := r.URL.Query()
	c, err := choiceOf(q, "dry_run", "from_source")
	if err != nil {
		return nil, err
	}
	return Replay(r.Context(), log, driver, c, ReplayOptions{FromSource: q.Get("from_source") == "true", DryRun: q.Get("dry_run") == "true"})
}

// Waiting counts events that are being driven again.
type Waiting struct {
	Events int64 `json:"events"`
}

func waitingFor(r *http.Request, driver Driver) (any, error) {
	id := r.URL.Query().Get("node")
	if !driver.Knows(id) {
		return nil, badQuery{fmt.Errorf("node: the pipeline has no node %q that dead letters are driven through", id)}
	}
	n, err := driver.Lag(r.Context(), id)
	return Waiting{n}, err
}

// export streams; an error after the first letter ends the stream with a line that
// has only an "error".
func export(w http.ResponseWriter, r *http.Request, log Log) {
	q := r.URL.Query()
	f, err := ParseFilter(q, "id")
	var letters []stream.StoredDeadLetter
	switch {
	case err != nil:
		err = badQuery{err}
	case len(q["id"]) > 0 && !f.Empty():
		err = errBoth
	default:
		letters, err = named(r.Context(), log, q["id"])
	}
	if err != nil {
		handler(log, func(*http.Request, Log) (any, error) { return nil, err }).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	if len(q["id"]) > 0 {
		err = encode(letters, out)
	} else {
		err = Export(r.Context(), log, f, out)
	}
	if err != nil {
		_ = out.Encode(map[string]string{"error": err.Error()})
	}
}

// Export writes every letter that f takes with its event, one JSON object each.
func Export(ctx context.Context, log Log, f Filter, out *json.Encoder) error {
	return each(ctx, log, f, "", func(letters []stream.StoredDeadLetter) error { return encode(letters, out) })
}

func encode(letters []stream.StoredDeadLetter, out *json.Encoder) error {
	for i := range letters {
		if err := out.Encode(whole(&letters[i])); err != nil {
			return fmt.Errorf("export dead letters: %w", err)
		}
	}
	return nil
}

var filterNames = []string{"node", "class", "code", "text", "key", "from", "to", "generation", "through"}

// ParseFilter reads a filter from a query, which may hold others beside it. From
// and to are RFC 3339. It reports all that is wrong with it at once.
func ParseFilter(q url.Values, others ...string) (Filter, error) {
	var errs []error
	for name := range q {
		if !slices.Contains(filterNames, name) && !slices.Contains(others, name) {
			errs = append(errs, fmt.Errorf("%s: unknown, expected one of %s", name, strings.Join(slices.Concat(filterNames, others), ", ")))
		}
	}
	f := Filter{Node: q.Get("node"), Class: q.Get("class"), Code: q.Get("code"), Text: q.Get("text"), Key: q.Get("key"), Generation: q.Get("generation"), Through: q.Get("through")}
	if f.Class != "" && !slices.Contains([]string{"rejected", "unsure", "away", "fatal"}, f.Class) {
		errs = append(errs, fmt.Errorf("class: %q is none of rejected, unsure, away, fatal", f.Class))
	}
	if f.Through != "" && !valid(f.Through) {
		errs = append(errs, fmt.Errorf("through: %q is no dead letter's id", f.Through))
	}
	for name, at := range map[string]*time.Time{"from": &f.From, "to": &f.To} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.RFC3339, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not of the form 2026-03-01T12:00:00Z", name, text))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return f, errors.Join(errs...)
}
