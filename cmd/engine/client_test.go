package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/millrace/millrace/engine/httpapi"
)

// TestClientSendsItsToken: what an engine beyond loopback wants comes from the environment.
func TestClientSendsItsToken(t *testing.T) {
	const token = "observer-0123456789"
	tokens, err := httpapi.ParseTokens("observe " + token)
	if err != nil {
		t.Fatal(err)
	}
	s, err := httpapi.New(httpapi.Config{Access: httpapi.Access{Tokens: tokens}, Version: "1", Routes: map[string]http.Handler{}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, c := range []struct {
		token string
		good  bool
	}{{"", false}, {"another-0123456789", false}, {token, true}} {
		t.Setenv("MILLRACE_TOKEN", c.token)
		var got struct{ Version string }
		err := (&client{server: server.URL}).get(t.Context(), http.MethodGet, "/version", nil, &got)
		if (err == nil) != c.good || c.good && got.Version != "1" {
			t.Errorf("token %q: %+v, %v", c.token, got, err)
		}
	}
}
