// Package management asks RabbitMQ's management plugin over HTTP and changes what
// can be changed that way. It knows answers of 3.10 to 4.x; whatever an answer
// leaves out stays nil, so that nobody takes a missing field for a good value.
package management

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/spec"
)

// Reasons for which a node says nothing about the cluster.
var (
	ErrAway   = errors.New("does not answer")      // no connection, or no answer in time
	ErrLogin  = errors.New("refuses the login")    // wrong user, password or tags
	ErrNotAPI = errors.New("is no management API") // something else answers
)

// maxAnswer bounds one answer, in bytes: 10,000 queues take about 20 MiB.
const maxAnswer = 256 << 20

// Options say how to reach one node's API.
type Options struct {
	URL      string // http://host:port or https://host:port
	User     string
	Password spec.Secret
	TLS      *tls.Config   // for https; nil: the system's authorities
	Timeout  time.Duration // of one request; 0: 10 s
}

// Client asks one node. Its methods may be called from any goroutine. Errors name
// the node's address and what was asked, never a password.
type Client struct {
	o    Options
	http *http.Client
}

// New returns a client; it opens no connection.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	transport := &http.Transport{TLSClientConfig: o.TLS, DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext}
	return &Client{o, &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: stay}}
}

// stay follows no redirect: a password must not go elsewhere.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// URL is the address of the API, without a path.
func (c *Client) URL() string { return c.o.URL }

// StatusError is an answer that is no success.
type StatusError struct {
	Method, Path string
	Code         int
	Reason       string // what the server says, shortened
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.Method, e.Path, e.Code, e.Reason)
}

// NotFound reports whether err says that what was asked for is not there.
func NotFound(err error) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.Code == http.StatusNotFound
}

// path joins segments below /api, each escaped: the virtual host / is %2F.
func path(segments ...string) string {
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return "/api/" + strings.Join(segments, "/")
}

// get reads the answer at a path into v and returns the answer's Date.
func (c *Client) get(ctx context.Context, path string, v any) (date string, err error) {
	header, body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return "", fmt.Errorf("%s %w: %s: %w", c.o.URL, ErrNotAPI, path, err)
	}
	return header.Get("Date"), nil
}

// send makes a change; v is its body.
func (c *Client) send(ctx context.Context, method, path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	_, _, err = c.do(ctx, method, path, body)
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.o.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.o.URL, plain(err))
	}
	req.SetBasicAuth(c.o.User, c.o.Password.Reveal())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %w: %w", c.o.URL, ErrAway, plain(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %w: %w", c.o.URL, ErrAway, plain(err))
	}
	return resp.Header, answer, c.judge(resp, method, path, answer)
}

func (c *Client) judge(resp *http.Response, method, path string, answer []byte) error {
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s %w of %s: %s %s: status %d", c.o.URL, ErrLogin, c.o.User, method, path, resp.StatusCode)
	}
	return &StatusError{method, path, resp.StatusCode, c.reasonOf(answer)}
}

// reasonOf takes the reason out of an error's answer, or its beginning.
func (c *Client) reasonOf(answer []byte) string {
	var said struct{ Reason any }
	text := string(answer)
	if json.Unmarshal(answer, &said) == nil && said.Reason != nil {
		text = fmt.Sprint(said.Reason)
	}
	if secret := c.o.Password.Reveal(); len(secret) >= 4 {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), 200)]
}

// plain leaves the URL out of an error of net/http: it is said elsewhere.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
