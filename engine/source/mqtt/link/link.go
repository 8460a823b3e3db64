// Package link opens connections to MQTT 5 brokers for everything here that speaks
// MQTT: the source and the sink. It subscribes to nothing, does not reconnect by
// itself, and never puts a URL or a password into an error.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/tlsfiles"
)

// Limits of one connection.
const (
	// Timeout bounds dialing, TLS and the CONNECT together, and the answer to any
	// other packet.
	Timeout = 10 * time.Second
	// KeepAlive, in seconds: a broker that is silent for half as long again is gone.
	KeepAlive = 10
	// ackEvery is how often acknowledgements are sent.
	ackEvery = 5 * time.Millisecond
)

// ErrURL marks a broker URL that cannot be used. The error's text never holds the URL
// itself: it may carry a password.
var ErrURL = errors.New("not a usable mqtt:// or mqtts:// URL")

// ErrLogin says that the broker does not let this user in.
var ErrLogin = errors.New("user or password is not accepted")

// Broker is one broker: where it is and how to log in.
type Broker struct {
	addr, host     string
	secure         bool
	user, password string
	files          tlsfiles.Files
}

// Parse reads a list of broker URLs; entries may hold several, separated by commas.
// Its errors name an entry by its number, never by its text.
func Parse(urls []string) ([]Broker, error) {
	var brokers []Broker
	for _, text := range strings.Split(strings.Join(urls, ","), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" {
			return nil, fmt.Errorf("broker URL %d: %w (reserved characters in a password must be percent-encoded)", len(brokers)+1, ErrURL)
		}
		brokers = append(brokers, brokerOf(u))
	}
	if len(brokers) == 0 {
		return nil, fmt.Errorf("no broker URL given: %w", ErrURL)
	}
	return brokers, nil
}

func brokerOf(u *url.URL) Broker {
	b := Broker{host: u.Hostname(), secure: u.Scheme == "mqtts", user: u.User.Username()}
	b.password, _ = u.User.Password()
	port := u.Port()
	switch {
	case port == "" && b.secure:
		port = "8883"
	case port == "":
		port = "1883"
	}
	b.addr = net.JoinHostPort(b.host, port)
	q := u.Query()
	b.files = tlsfiles.Files{CA: q.Get("cacertfile"), Cert: q.Get("certfile"), Key: q.Get("keyfile")}
	return b
}

// String returns "host:port": all that may be shown of a broker.
func (b Broker) String() string { return b.addr }

// Options of one connection.
type Options struct {
	ClientID string
	// Keep is how long the broker keeps the session once the connection is gone; 0:
	// it begins clean and ends with the connection.
	Keep time.Duration
	// Inflight bounds the messages that the broker sends unacknowledged; 0: as it likes.
	Inflight uint16
	// Will, if set, is what the broker publishes when the connection breaks, retained.
	WillTopic string
	Will      []byte
	// Receive, if set, is handed each message, in order and from one goroutine; it is
	// acknowledged by [Conn.Ack].
	Receive func(*paho.Publish)
}

// Conn is one connection. Its methods may be called from any goroutine.
type Conn struct {
	*paho.Client
	Broker  string
	Present bool // the broker has kept the session

	raw    net.Conn
	acks   bool       // acknowledgements may be on their way to the connection
	mu     sync.Mutex // guards reason
	reason error
}

// Open connects to b and logs in. It ends early with ctx. Errors name the broker by
// address and never hold credentials.
func Open(ctx context.Context, b Broker, o Options) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	raw, err := dial(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("connect to broker %s: %w", b, err)
	}
	c := &Conn{Broker: b.addr, raw: raw, acks: o.Receive != nil}
	c.Client = paho.NewClient(c.config(o))
	answer, err := c.Connect(ctx, hello(b, o))
	if err != nil {
		_ = raw.Close()
		if answer != nil {
			err = refusal(answer.ReasonCode, err)
		}
		return nil, fmt.Errorf("log in to broker %s: %w", b, err)
	}
	c.Present = answer.SessionPresent
	return c, nil
}

// refusal adds to err why the broker has refused (MQTT 5, section 3.2.2.2).
func refusal(code byte, err error) error {
	if code == packets.ConnackBadUsernameOrPassword || code == packets.ConnackNotAuthorized {
		err = errors.Join(ErrLogin, err)
	}
	return fmt.Errorf("%w (reason 0x%02x)", err, code)
}

func dial(ctx context.Context, b Broker) (net.Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", b.addr)
	if err != nil || !b.secure {
		return raw, err
	}
	config, err := b.files.Config(b.host)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	client := tls.Client(raw, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), raw.Close())
	}
	return packets.NewThreadSafeConn(client), nil
}

func (c *Conn) config(o Options) paho.ClientConfig {
	config := paho.ClientConfig{
		ClientID: o.ClientID, Conn: c.raw, PacketTimeout: Timeout,
		OnClientError: c.ended, OnServerDisconnect: func(d *paho.Disconnect) {
			c.ended(fmt.Errorf("the broker has ended the connection (reason 0x%02x)", d.ReasonCode))
		},
	}
	if o.Receive != nil {
		config.EnableManualAcknowledgment, config.SendAcksInterval = true, ackEvery
		config.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			o.Receive(p.Packet)
			return true, nil
		}}
	}
	return config
}

func hello(b Broker, o Options) *paho.Connect {
	keep := uint32(o.Keep / time.Second)
	p := &paho.Connect{
		ClientID: o.ClientID, KeepAlive: KeepAlive, CleanStart: keep == 0,
		Username: b.user, UsernameFlag: b.user != "", Password: []byte(b.password), PasswordFlag: b.password != "",
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &keep},
	}
	if o.Inflight > 0 {
		p.Properties.ReceiveMaximum = &o.Inflight
	}
	if o.WillTopic != "" {
		p.WillMessage = &paho.WillMessage{Topic: o.WillTopic, Payload: o.Will, QoS: 1, Retain: true}
		p.WillProperties = &paho.WillProperties{}
	}
	return p
}

func (c *Conn) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.reason = err
	}
}

// Gone reports whether the connection has ended.
func (c *Conn) Gone() bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// While returns a context that ends with ctx, with the connection, or by end, which
// must be called: the client tells not everybody who waits that the connection went.
func (c *Conn) While(ctx context.Context) (work context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Why returns why the connection has ended.
func (c *Conn) Why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		return net.ErrClosed
	}
	return c.reason
}

// Cut ends the connection without a farewell: the broker publishes the will.
func (c *Conn) Cut() { _ = c.raw.Close() }

// Close ends the connection with a farewell; there is no will then. Acknowledgements
// given before it have some time to go out; a message whose acknowledgement does not
// comes again. It returns when nothing of the connection is left.
func (c *Conn) Close() {
	if c.acks {
		select {
		case <-time.After(4 * ackEvery):
		case <-c.Done():
		}
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.Disconnect(&paho.Disconnect{ReasonCode: 0}) // it may be gone already
	<-c.Done()
}
