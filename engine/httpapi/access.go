package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Scope is what a token allows.
type Scope string

// The scopes. None includes another.
const (
	Observe Scope = "observe" // to see the page, charts, counts and states
	Tap     Scope = "tap"     // to see events: taps and the content of dead letters
	Operate Scope = "operate" // to change something
)

var scopes = []Scope{Observe, Tap, Operate}

// guessesPerSecond is how many requests without a known token get an answer about it and
// a line in the log, guessesAtOnce how many more after a quiet time. Those with a known
// token are never held up.
const (
	guessesPerSecond = 5
	guessesAtOnce    = 100
)

// minToken is the least length of a token: what is shorter can be guessed.
const minToken = 16

// Token allows who knows it some scopes. Its text is not kept.
type Token struct {
	sum    [sha256.Size]byte
	scopes []Scope
}

// Access says who may ask a server, and how it is reached. The zero value serves
// everyone, and listens on loopback only.
type Access struct {
	Tokens   []Token  // without any, everyone may do everything
	Origins  []string // of other web pages that may ask, as scheme://host[:port]
	CertFile string   // with KeyFile: serve TLS; PEM
	KeyFile  string
}

var tokenText = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`)

// ParseTokens reads tokens, one on each line or between semicolons: scopes separated by
// commas, a space, and the token; a token alone has all scopes. Empty lines and those
// that begin with # are left out. An error tells every bad line and shows no token.
func ParseTokens(text string) ([]Token, error) {
	var list []Token
	var errs []error
	for i, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		t, err := parseToken(fields)
		if err != nil {
			errs = append(errs, fmt.Errorf("token %d: %w", i+1, err))
		}
		list = append(list, t)
	}
	return list, errors.Join(errs...)
}

func parseToken(fields []string) (Token, error) {
	text := fields[len(fields)-1]
	t := Token{sum: sha256.Sum256([]byte(text)), scopes: scopes}
	if len(fields) > 2 {
		return t, errors.New("expected scopes and a token, such as `observe,tap 2b7e...`")
	}
	if len(text) < minToken || !tokenText.MatchString(text) {
		return t, fmt.Errorf("expected at least %d letters, digits and ._~+/=- (`openssl rand -hex 32` makes one)", minToken)
	}
	if len(fields) == 1 {
		return t, nil
	}
	t.scopes = nil
	for name := range strings.SplitSeq(fields[0], ",") {
		if !slices.Contains(scopes, Scope(name)) {
			return t, fmt.Errorf("scope %q: expected observe, tap or operate", name)
		}
		t.scopes = append(t.scopes, Scope(name))
	}
	return t, nil
}

// Check reports all that is wrong with serving on a listen address.
func (a Access) Check(listen string) error {
	var errs []error
	if host, _, err := net.SplitHostPort(listen); err == nil && !loopback(host) && len(a.Tokens) == 0 {
		errs = append(errs, fmt.Errorf("listen address %s can be reached by other machines, for which tokens are required: give a file of them or set MILLRACE_TOKENS, or listen on 127.0.0.1", listen))
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		errs = append(errs, errors.New("TLS needs both a certificate and its key"))
	}
	for _, origin := range a.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			errs = append(errs, fmt.Errorf("origin %q: expected scheme://host[:port], such as https://plant.example", origin))
		}
	}
	return errors.Join(errs...)
}

// URL is where a server on addr is asked, without a path.
func (a Access) URL(addr string) string {
	if a.CertFile != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

// loopback reports whether only this machine reaches the host.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// tls returns the configuration of TLS, nil without a certificate.
func (a Access) tls() (*tls.Config, error) {
	if a.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

type grantKey struct{}

// Allowed reports whether who sent the request of ctx may do what scope says. Without
// tokens everyone may.
func Allowed(ctx context.Context, scope Scope) bool {
	granted, limited := ctx.Value(grantKey{}).([]Scope)
	return !limited || slices.Contains(granted, scope)
}

// authorize lets requests pass that have the scope that they need.
func (s *Server) authorize(next http.Handler) http.Handler {
	if len(s.cfg.Access.Tokens) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		granted, known := s.cfg.Access.granted(credentials(r))
		need := needs(r)
		switch {
		case !known && !s.guesses.Allow():
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "too many requests without a known token")
		case !known:
			s.cfg.Logger.Warn("request without a known token", "path", r.URL.Path, "from", r.RemoteAddr)
			w.Header().Add("WWW-Authenticate", `Bearer realm="millrace"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="millrace", charset="UTF-8"`)
			refuse(w, http.StatusUnauthorized, "a token is needed: Authorization: Bearer TOKEN, or as the password of any user")
		case !slices.Contains(granted, need):
			refuse(w, http.StatusForbidden, fmt.Sprintf("this token does not allow to %s", need))
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, granted)))
		}
	})
}

// granted returns what a token allows, and whether it is known. It takes the same time
// whichever it is.
func (a Access) granted(token string) (granted []Scope, known bool) {
	sum := sha256.Sum256([]byte(token))
	for _, t := range a.Tokens {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			granted, known = t.scopes, true
		}
	}
	return granted, known
}

// socketToken is the prefix of a token among the subprotocols of a WebSocket, where
// a web page can set no header.
const socketToken = "bearer."

// credentials finds the token of a request, "" if there is none.
func credentials(r *http.Request) string {
	kind, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(kind, "Bearer"):
		return strings.TrimSpace(value)
	case strings.EqualFold(kind, "Basic"):
		text, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		_, password, _ := strings.Cut(string(text), ":")
		return password
	}
	for _, list := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(list, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(name), socketToken); ok {
				return token
			}
		}
	}
	return ""
}

// needs is the scope of a request.
func needs(r *http.Request) Scope {
	path := r.URL.Path
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return Operate
	case strings.HasPrefix(path, "/api/v1/tap/"), strings.HasPrefix(path, "/api/v1/dlq/") && path != "/api/v1/dlq/replay":
		return Tap
	}
	return Observe
}
