package snapshot

import (
	"context"
	"crypto/md5" //nolint:gosec // Erlang's own hash of its cookie
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/cluster/topology"
)

// Facts are what RabbitMQ tells on a node's command line, but not over HTTP.
type Facts struct {
	Err        error  // why there are none
	Node       string // who says so
	CookieHash string // base64 of the MD5 of its Erlang cookie, as RabbitMQ logs it
	Partition  string // cluster_partition_handling
	Unresolved []string
	ClockMs    int64         // when it was asked, ms since 1970
	Skew       time.Duration // its clock minus this one's; only if asked from here
	Fresh      bool          // asked from here, just now
}

// CookieHash returns what RabbitMQ calls the hash of an Erlang cookie: the base64
// text of its MD5. White space around the cookie does not belong to it.
func CookieHash(cookie []byte) string {
	sum := md5.Sum([]byte(strings.TrimSpace(string(cookie)))) //nolint:gosec // as RabbitMQ does
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Expression is what `rabbitmqctl eval` computes on a node to give [ParseFacts] a
// line. hosts are the names that the node must resolve. It has no double quotes:
// Windows' command interpreter would take what stands between two of them for its
// own, a bar for a pipe.
func Expression(hosts []string) string {
	var quoted []string
	for _, h := range hosts {
		quoted = append(quoted, "'"+h+"'")
	}
	return `lists:flatten(io_lib:format('node=~s cookie_hash=~s partition_handling=~w clock_ms=~w unresolved=~w', ` +
		`[node(), base64:encode(erlang:md5(atom_to_list(erlang:get_cookie()))), ` +
		`application:get_env(rabbit, cluster_partition_handling, undefined), erlang:system_time(millisecond), ` +
		`[H || H <- [` + strings.Join(quoted, ",") + `], element(1, inet:gethostbyname(H)) =/= ok]])).`
}

// ParseFacts reads the line that [Expression] gives, in quotes or not.
func ParseFacts(text string) (*Facts, error) {
	f := &Facts{}
	for _, word := range strings.Fields(strings.Trim(strings.TrimSpace(text), `"`)) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "node":
			f.Node = value
		case "cookie_hash":
			f.CookieHash = value
		case "partition_handling":
			f.Partition = value
		case "clock_ms":
			f.ClockMs, _ = strconv.ParseInt(value, 10, 64)
		case "unresolved":
			f.Unresolved = strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune("[],'", r) })
		}
	}
	if f.Node == "" || f.CookieHash == "" || f.Partition == "" || f.ClockMs == 0 {
		return nil, errors.New("the facts are not complete: " + text[:min(len(text), 200)])
	}
	return f, nil
}

// Hosts returns the host part of all nodes' names.
func Hosts(t *topology.Topology) []string {
	var hosts []string
	for _, n := range t.Nodes {
		_, host, _ := strings.Cut(n.Erlang, "@")
		hosts = append(hosts, host)
	}
	return hosts
}

// AskFacts runs rabbitmqctl here against every node, all at once; command is the
// program with the arguments that come first.
func (s *Snapshot) AskFacts(ctx context.Context, command []string) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, n := range s.Topology.Nodes {
		wait.Go(func() {
			f := ask(ctx, command, n.Erlang, Expression(Hosts(s.Topology)), s.Topology.LongNames)
			mu.Lock()
			defer mu.Unlock()
			s.Facts[n.Name] = f
		})
	}
	wait.Wait()
}

func ask(ctx context.Context, command []string, node, expression string, long bool) *Facts {
	args := append(append([]string{}, command[1:]...), "--quiet", "--node", node)
	if long {
		args = append(args, "--longnames")
	}
	asked := time.Now()
	out, err := exec.CommandContext(ctx, command[0], append(args, "eval", expression)...).CombinedOutput()
	if err != nil {
		return &Facts{Err: fmt.Errorf("%s eval on %s: %w: %s", filepath.Base(command[0]), node, err, firstLine(out))}
	}
	f, err := ParseFacts(string(out))
	if err != nil {
		return &Facts{Err: err}
	}
	f.Fresh = true
	if at := time.UnixMilli(f.ClockMs); at.Before(asked) {
		f.Skew = at.Sub(asked)
	} else if now := time.Now(); at.After(now) {
		f.Skew = at.Sub(now)
	}
	return f
}

func firstLine(out []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line[:min(len(line), 160)]
}

// ReadFacts reads NODE.facts of every node from a folder, as the scripts of
// `engine cluster plan` write them.
func (s *Snapshot) ReadFacts(dir string) {
	for _, n := range s.Topology.Nodes {
		text, err := os.ReadFile(filepath.Join(dir, n.Name+".facts"))
		var f *Facts
		if err == nil {
			f, err = ParseFacts(string(text))
		}
		if err == nil && f.Node != n.Erlang {
			err = fmt.Errorf("%s.facts is from %s", n.Name, f.Node)
		}
		if err != nil {
			f = &Facts{Err: err}
		}
		s.Facts[n.Name] = f
	}
}

// Certificate is what a node's TLS listener shows.
type Certificate struct {
	Err     error
	Subject string
	Ends    time.Time
}

func (s *Snapshot) certificates(ctx context.Context, timeout time.Duration) {
	for i := range s.Topology.Nodes {
		n := &s.Topology.Nodes[i]
		s.Certs[n.Name] = certificate(ctx, s.Topology, n, timeout)
	}
}

// certificate looks at the certificate that a node shows, also where it is not
// valid any more; then it says why it is not.
func certificate(ctx context.Context, t *topology.Topology, n *topology.Node, timeout time.Duration) *Certificate {
	config, err := trusted(t)
	if err != nil {
		return &Certificate{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var c Certificate
	config.ServerName = n.Host
	config.InsecureSkipVerify = true //nolint:gosec // verified below, to tell an expired one from none
	config.VerifyConnection = func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		c.Subject, c.Ends = leaf.Subject.CommonName, leaf.NotAfter
		between := x509.NewCertPool()
		for _, other := range state.PeerCertificates[1:] {
			between.AddCert(other)
		}
		_, c.Err = leaf.Verify(x509.VerifyOptions{DNSName: n.Host, Roots: config.RootCAs, Intermediates: between})
		return nil
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", t.AMQP(n))
	if err != nil {
		return &Certificate{Err: err}
	}
	conn.Close()
	return &c
}
