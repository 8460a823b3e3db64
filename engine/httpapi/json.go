package httpapi

import (
	"encoding/json"
	"net/http"
)

// JSON returns a handler that answers what do returns as one JSON object. An error
// is answered as {"error": text} with the status that code gives it.
func JSON(code func(error) int, do func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := do(r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(code(err))
			body = map[string]string{"error": err.Error()}
		}
		_ = json.NewEncoder(w).Encode(body) // the asker may be gone
	})
}
