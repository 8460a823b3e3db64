package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/millrace/millrace/engine/httpapi"
)

// Runner runs replays; see package runtime.
type Runner interface {
	// Start begins a replay. A mistake of the request is a [Mistake].
	Start(ctx context.Context, r Request) (*Status, error)
	// List returns every replay with how far it has come, oldest first.
	List(ctx context.Context) ([]Status, error)
	// Status returns one; the error is [ErrNone] if there is none.
	Status(ctx context.Context, name string) (*Status, error)
	// Want says what a user wants of a replay: Running, Paused or Stopped.
	Want(ctx context.Context, name, state string) error
	// Remove forgets a replay that has ended, and drops its shadow tables.
	Remove(ctx context.Context, name string) error
}

// Mistake is what is wrong with a request.
type Mistake struct{ Err error }

// Error implements error.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap returns the reason.
func (m Mistake) Unwrap() error { return m.Err }

// maxRequest bounds a request: a pipeline file has at most 1 MiB.
const maxRequest = 2 << 20

// Routes returns what answers under /api/v1/replays, for [http.ServeMux]:
//
//	GET    /api/v1/replays                 {"replays": [Status...]}
//	POST   /api/v1/replays                 a [Request]; answers its [Status]
//	GET    /api/v1/replays/{name}          a [Status]
//	POST   /api/v1/replays/{name}/pause    also resume, stop; a [Status]
//	DELETE /api/v1/replays/{name}          forgets one that has ended
func Routes(r Runner) map[string]http.Handler {
	want := func(state string) http.Handler {
		return handler(func(q *http.Request) (any, error) {
			if err := r.Want(q.Context(), q.PathValue("name"), state); err != nil {
				return nil, err
			}
			return r.Status(q.Context(), q.PathValue("name"))
		})
	}
	return map[string]http.Handler{
		"GET /api/v1/replays": handler(func(q *http.Request) (any, error) {
			all, err := r.List(q.Context())
			return map[string]any{"replays": append([]Status{}, all...)}, err
		}),
		"POST /api/v1/replays":               handler(func(q *http.Request) (any, error) { return start(q, r) }),
		"GET /api/v1/replays/{name}":         handler(func(q *http.Request) (any, error) { return r.Status(q.Context(), q.PathValue("name")) }),
		"POST /api/v1/replays/{name}/pause":  want(Paused),
		"POST /api/v1/replays/{name}/resume": want(Running),
		"POST /api/v1/replays/{name}/stop":   want(Stopped),
		"DELETE /api/v1/replays/{name}": handler(func(q *http.Request) (any, error) {
			return map[string]string{"removed": q.PathValue("name")}, r.Remove(q.Context(), q.PathValue("name"))
		}),
	}
}

func start(q *http.Request, r Runner) (any, error) {
	d := json.NewDecoder(http.MaxBytesReader(nil, q.Body, maxRequest))
	d.DisallowUnknownFields()
	var req Request
	if err := d.Decode(&req); err != nil {
		return nil, Mistake{fmt.Errorf("request: %w", err)}
	}
	return r.Start(q.Context(), req)
}

func handler(do func(*http.Request) (any, error)) http.Handler { return httpapi.JSON(codeOf, do) }

func codeOf(err error) int {
	if _, mistake := errors.AsType[Mistake](err); mistake {
		return http.StatusBadRequest
	}
	if errors.Is(err, ErrNone) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable // the log is out of reach
}
