package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Header is required on every request that is not GET or HEAD, with any value: a
// web page of another origin cannot send it unasked.
const Header = "X-Millrace"

const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// guard refuses requests that a page of another site could have a browser send: a
// Host that is not ours (DNS rebinding), an Origin that is not the Host, and
// changes without the header.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Add("Vary", "Origin")
		if problem := s.problem(r); problem != "" {
			s.cfg.Logger.Warn("request refused", "reason", problem, "host", r.Host, "origin", r.Header.Get("Origin"), "path", r.URL.Path)
			refuse(w, http.StatusForbidden, problem)
			return
		}
		if s.listed(r) && s.share(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// listed reports whether the request comes from a page of an allowed other origin.
func (s *Server) listed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return origin != "" && slices.Contains(s.cfg.Access.Origins, origin)
}

// preflight reports whether a browser asks for a page of a listed origin what it may send.
func (s *Server) preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" && s.listed(r)
}

// share lets a page of a listed origin read the answer, with a token but without what
// the browser knows of the user. It returns true if that was all that was asked for.
func (s *Server) share(w http.ResponseWriter, r *http.Request) bool {
	head := w.Header()
	head.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if !s.preflight(r) {
		return false
	}
	head.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
	head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, "+Header)
	head.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// problem says what is wrong with where a request comes from, "" if nothing is.
func (s *Server) problem(r *http.Request) string {
	if !s.ours(r) {
		return "this host name is not served here"
	}
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) && !s.listed(r) {
		return "requests from other origins are not allowed"
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !s.preflight(r) && r.Header.Get(Header) == "" {
		return "a request that changes something needs the header " + Header
	}
	return ""
}

// ours reports whether the request names a loopback host, the listen host, a
// configured one, or the very address that it came in on.
func (s *Server) ours(r *http.Request) bool {
	host := canonical(hostname(r.Host))
	if s.hosts[host] {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap() == local.AddrPort().Addr().Unmap()
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(u.Host, host)
}

// hostname cuts the port off a Host header.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func canonical(host string) string {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return host
}
