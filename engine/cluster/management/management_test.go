package management

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func server(t *testing.T, status int, body string) (*Client, *http.Request) {
	t.Helper()
	var seen http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = *r
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return New(Options{URL: s.URL, User: "boss", Password: "hunter2-secret", Timeout: 5 * time.Second}), &seen
}

func TestWrongPasswordIsToldWithoutIt(t *testing.T) {
	for _, status := range []int{401, 403} {
		c, seen := server(t, status, `{"error":"not_authorised","reason":"Login failed with hunter2-secret"}`)
		_, err := c.Overview(t.Context())
		if !errors.Is(err, ErrLogin) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "boss") {
			t.Errorf("%d: %v", status, err)
		}
		if user, password, _ := seen.BasicAuth(); user != "boss" || password != "hunter2-secret" {
			t.Errorf("%d: logged in as %s", status, user)
		}
	}
	c, _ := server(t, 400, `{"error":"bad_request","reason":"never hunter2-secret"}`)
	if err := c.AddVHost(t.Context(), "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	for _, body := range []string{"<html>", `{}`, `[1,2]`, ``} {
		c, _ := server(t, 200, body)
		if _, err := c.Overview(t.Context()); !errors.Is(err, ErrNotAPI) {
			t.Errorf("%q: %v", body, err)
		}
	}
	c, _ := server(t, 301, "")
	if _, err := c.Nodes(t.Context()); err == nil {
		t.Error("a redirect is followed")
	}
}

func TestNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := New(Options{URL: "http://" + l.Addr().String(), User: "u", Password: "hunter2", Timeout: time.Second})
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrAway) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c = New(Options{URL: "http://" + silent.Addr().String(), Timeout: 50 * time.Millisecond})
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("%v", err)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	c, seen := server(t, 204, "")
	if err := c.AddBinding(t.Context(), "/", "a/b", "q?x", "#"); err != nil {
		t.Fatal(err)
	}
	if got := seen.URL.EscapedPath(); got != "/api/bindings/%2F/e/a%2Fb/q/q%3Fx" {
		t.Errorf("path %s", got)
	}
}

// TestOddAnswers are shapes that some version of RabbitMQ gives.
func TestOddAnswers(t *testing.T) {
	var q Queue
	for _, text := range []string{`{"effective_policy_definition":[],"arguments":[]}`, `{"effective_policy_definition":{}}`} {
		if err := json.Unmarshal([]byte(text), &q); err != nil || q.Effective == nil || len(q.Effective) != 0 {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
	var u []User
	if err := json.Unmarshal([]byte(`[{"name":"a","tags":"administrator, monitoring"},{"name":"b","tags":["x"]},{"name":"c","tags":""}]`), &u); err != nil || len(u[0].Tags) != 2 || len(u[1].Tags) != 1 || len(u[2].Tags) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	var consumers []Consumer
	text := `[{"queue":{"name":"q","vhost":"/"},"channel_details":[],"prefetch_count":1,"ack_required":true},{"channel_details":{"node":"n"}}]`
	if err := json.Unmarshal([]byte(text), &consumers); err != nil || consumers[0].Queue.Name != "q" || consumers[1].Channel.Node != "n" || consumers[1].Acks != nil {
		t.Errorf("%+v, %v", consumers, err)
	}
	var n Node
	if err := json.Unmarshal([]byte(`{"name":"x"}`), &n); err != nil || n.IsRunning() || n.Partitions != nil {
		t.Errorf("a node that says nothing runs: %+v", n)
	}
	if (&Queue{Node: "a", Leader: "b"}).LeaderNode() != "b" || (&Queue{Node: "a"}).LeaderNode() != "a" {
		t.Error("LeaderNode")
	}
}
