package httpapi

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"runtime"
	"strings"
)

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerReasons(w, "healthy", s.cfg.Health)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answerReasons(w, "ready", s.cfg.Ready)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"name": "millrace", "version": s.cfg.Version, "go": runtime.Version()})
	})
	mount(mux, "GET /metrics", s.cfg.Metrics)
	mount(mux, "GET /api/v1/charts", s.cfg.Charts)
	if s.cfg.Live != nil {
		mount(mux, "GET /api/v1/live", s.endWithServer(s.cfg.Live))
	}
	for pattern, handler := range s.cfg.Routes {
		mount(mux, pattern, handler)
	}
	for pattern, handler := range s.cfg.Streams {
		mount(mux, pattern, s.endWithServer(handler))
	}
	if s.cfg.Page != nil {
		mux.Handle("GET /", page(s.cfg.Page))
	}
	return mux
}

func mount(mux *http.ServeMux, pattern string, h http.Handler) {
	if h != nil {
		mux.Handle(pattern, h)
	}
}

// endWithServer lets streams end when the server stops, for which Shutdown would
// wait in vain.
func (s *Server) endWithServer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.streaming.Add(1)
		defer s.streaming.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.streams, cancel)()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// answerReasons answers 200 and {"ready":true,"reasons":[]}, or 503 and the
// reasons.
func answerReasons(w http.ResponseWriter, word string, ask func() []Reason) {
	reasons := []Reason{}
	if ask != nil {
		reasons = append(reasons, ask()...)
	}
	code := http.StatusOK
	if len(reasons) > 0 {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, map[string]any{word: len(reasons) == 0, "reasons": reasons})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the asker may be gone
}

func refuse(w http.ResponseWriter, code int, text string) {
	answer(w, code, map[string]string{"error": text})
}

// page serves the page's files. Names under assets/ change with their content.
func page(files fs.FS) http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			refuse(w, http.StatusNotFound, "no such resource")
			return
		}
		cache := "no-cache"
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			cache = "public, max-age=31536000, immutable"
		}
		w.Header().Set("Cache-Control", cache)
		server.ServeHTTP(w, r)
	})
}
