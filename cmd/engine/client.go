package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/httpapi"
)

// client asks a running engine over HTTP.
type client struct {
	server string // such as http://127.0.0.1:8080
}

// serverFlag adds --server to a command and its subcommands.
func serverFlag(cmd *cobra.Command) *client {
	c := &client{}
	cmd.PersistentFlags().StringVar(&c.server, "server", "http://"+httpapi.DefaultListen, "`URL` of the running engine")
	return c
}

// ask sends a request and returns the body of a good answer, which the caller closes.
func (c *client) ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	return c.request(ctx, method, path, query, nil)
}

// send sends a JSON object and reads the one that is answered.
func (c *client) send(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := c.request(ctx, method, path, nil, bytes.NewReader(text))
	return c.decode(answer, err, path, into)
}

func (c *client) request(ctx context.Context, method, path string, query url.Values, content io.Reader) (io.ReadCloser, error) {
	resp, err := c.open(ctx, method, path, query, content)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// open sends a request and returns a good answer, whose body the caller closes.
func (c *client) open(ctx context.Context, method, path string, query url.Values, content io.Reader) (*http.Response, error) {
	u, err := url.Parse(c.server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, configError(fmt.Errorf("--server %q is not of the form http://host:port", c.server))
	}
	u = u.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, configError(err)
	}
	req.Header.Set(httpapi.Header, "engine")
	if token := os.Getenv("MILLRACE_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, environmentError(fmt.Errorf("no engine answers at %s: %w (is it running? another one is named with --server)", c.server, err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// refusal is the error that an answer stands for.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var body struct{ Error string }
	if json.Unmarshal(text, &body) != nil || body.Error == "" {
		body.Error = strings.TrimSpace(string(text))
	}
	lines := strings.Split(body.Error, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	err := errors.New(strings.Join(lines, "\n"))
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return configError(err)
	case http.StatusServiceUnavailable:
		return environmentError(err)
	}
	return err
}

// get asks for one JSON object.
func (c *client) get(ctx context.Context, method, path string, query url.Values, into any) error {
	body, err := c.ask(ctx, method, path, query)
	return c.decode(body, err, path, into)
}

// decode reads the one JSON object of an answer, unless there is none for err.
func (c *client) decode(body io.ReadCloser, err error, path string, into any) error {
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("answer of %s%s: %w (another program, or another version?)", c.server, path, err)
	}
	return nil
}
