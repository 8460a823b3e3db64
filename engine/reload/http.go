package reload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Runner reloads; see package runtime.
type Runner interface {
	// Reload applies the engine's pipeline file, or with dryRun only says what that
	// would do. It waits for one that is under way. A reload that has begun does not
	// end with ctx. The error says that none was begun, or that nobody waited for it.
	Reload(ctx context.Context, trigger string, dryRun bool) (*Result, error)

	// Results returns the last reloads, newest first.
	Results() []Result
}

// Routes returns what answers under /api/v1/reload, for [http.ServeMux]:
//
//	GET  /api/v1/reload  {"reloads": [Result...]}, newest first
//	POST /api/v1/reload  reloads; answers the [Result], whatever the outcome; with
//	                     ?dry_run=true nothing is done
func Routes(r Runner) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /api/v1/reload": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{"reloads": append([]Result{}, r.Results()...)})
		}),
		"POST /api/v1/reload": http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { post(w, q, r) }),
	}
}

func post(w http.ResponseWriter, q *http.Request, r Runner) {
	dry := false
	if text := q.URL.Query().Get("dry_run"); text != "" {
		var err error
		if dry, err = strconv.ParseBool(text); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("dry_run: %q is neither true nor false", text))
			return
		}
	}
	result, err := r.Reload(q.Context(), ByAPI, dry)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, http.StatusOK, result)
}

func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the asker may be gone
}
