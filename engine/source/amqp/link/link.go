// Package link opens connections to RabbitMQ for everything here that speaks
// AMQP: the source that consumes, the sink and the feed that publish. It stands
// before the first step of an event's way and behind the last; it opens no channel, consumes nothing, does
// not reconnect by itself, and never puts a URL or a password into an error.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/tlsfiles"
)

// Limits of one attempt to connect.
const (
	// Timeout bounds dialing, TLS and the AMQP handshake together.
	Timeout = 10 * time.Second
	// Heartbeat is the interval of keep-alive frames; three missed ones end a connection.
	Heartbeat = 10 * time.Second
)

// ErrURL marks a broker URL that cannot be used. The error's text never holds
// the URL itself: it may carry a password.
var ErrURL = errors.New("not a usable amqp:// or amqps:// URL")

// Broker is one node of a cluster: where it is and how to log in.
type Broker struct {
	uri amqp.URI
}

// Parse reads a list of broker URLs; entries may hold several, separated by
// commas. Its errors name an entry by its number, never by its text.
func Parse(urls []string) ([]Broker, error) {
	var brokers []Broker
	for _, u := range strings.Split(strings.Join(urls, ","), ",") {
		u = strings.TrimSpace(u)
		if u == "" {
			continue
		}
		uri, err := amqp.ParseURI(u)
		if err != nil {
			return nil, fmt.Errorf("broker URL %d: %w (reserved characters in a password must be percent-encoded)", len(brokers)+1, ErrURL)
		}
		brokers = append(brokers, Broker{uri})
	}
	if len(brokers) == 0 {
		return nil, fmt.Errorf("no broker URL given: %w", ErrURL)
	}
	return brokers, nil
}

// Address returns "host:port".
func (b Broker) Address() string {
	return net.JoinHostPort(b.uri.Host, strconv.Itoa(b.uri.Port))
}

// Vhost returns the broker's virtual host.
func (b Broker) Vhost() string { return b.uri.Vhost }

// String returns "host:port" and, unless it is "/", the virtual host: all that
// may be shown of a broker.
func (b Broker) String() string {
	if b.uri.Vhost == "/" {
		return b.Address()
	}
	return b.Address() + "/" + b.uri.Vhost
}

// Options of one connection.
type Options struct {
	Name string // shown by the broker's management tools
	// Wrap, if set, is put between the connection's plain text and the AMQP client.
	Wrap func(net.Conn) net.Conn
}

// Open connects to b and logs in. It ends early with ctx. Errors name the broker
// by address and never hold credentials.
func Open(ctx context.Context, b Broker, o Options) (*amqp.Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := dial(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("connect to broker %s: %w", b, err)
	}
	plain := conn
	defer context.AfterFunc(ctx, func() { _ = plain.Close() })()
	if o.Wrap != nil {
		conn = o.Wrap(conn)
	}
	out, err := handshake(conn, b, o.Name)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("log in to broker %s: %w", b, firstOf(ctx.Err(), err))
	}
	return out, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// dial returns a connection whose deadline covers the handshake to come; the
// AMQP client clears it once it is logged in.
func dial(ctx context.Context, b Broker) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", b.Address())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if b.uri.Scheme != "amqps" {
		return conn, nil
	}
	secure, err := encrypt(ctx, conn, b)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

func encrypt(ctx context.Context, conn net.Conn, b Broker) (net.Conn, error) {
	config, err := tlsConfig(b.uri)
	if err != nil {
		return nil, err
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return client, nil
}

// tlsConfig reads the files that the URL's parameters cacertfile, certfile and
// keyfile name.
func tlsConfig(uri amqp.URI) (*tls.Config, error) {
	server := uri.ServerName
	if server == "" {
		server = uri.Host
	}
	return tlsfiles.Files{CA: uri.CACertFile, Cert: uri.CertFile, Key: uri.KeyFile}.Config(server)
}

func handshake(conn net.Conn, b Broker, name string) (*amqp.Connection, error) {
	properties := amqp.NewConnectionProperties()
	properties["product"] = "millrace"
	properties.SetClientConnectionName(name)
	login, err := mechanisms(b.uri)
	if err != nil {
		return nil, err
	}
	return amqp.Open(conn, amqp.Config{
		SASL: login, Vhost: b.uri.Vhost, Heartbeat: Heartbeat,
		ChannelMax: b.uri.ChannelMax, FrameSize: 131072, Locale: "en_US", Properties: properties,
	})
}

// mechanisms returns the ways to log in that the URL's auth_mechanism names.
func mechanisms(uri amqp.URI) ([]amqp.Authentication, error) {
	if len(uri.AuthMechanism) == 0 {
		return []amqp.Authentication{uri.PlainAuth()}, nil
	}
	var out []amqp.Authentication
	for _, name := range uri.AuthMechanism {
		switch strings.ToUpper(name) {
		case "PLAIN":
			out = append(out, uri.PlainAuth())
		case "AMQPLAIN":
			out = append(out, uri.AMQPlainAuth())
		case "EXTERNAL":
			out = append(out, &amqp.ExternalAuth{})
		default:
			return nil, fmt.Errorf("auth_mechanism %q is none of plain, amqplain, external", name)
		}
	}
	return out, nil
}

// writeLimit is how long a broker may refuse to take data (it does while its memory
// or disk is full) before a publisher gives the connection up.
const writeLimit = 10 * time.Second

// Bounded returns conn, a write to which fails when the broker has taken nothing for
// 10 s: for [Options.Wrap] of those who publish.
func Bounded(conn net.Conn) net.Conn { return bounded{conn} }

type bounded struct{ net.Conn }

// Write implements [net.Conn].
func (b bounded) Write(p []byte) (int, error) {
	if err := b.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}
