package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/millrace/millrace/engine/source/mqtt/link"
)

func (c *checker) mqtt(ctx context.Context) []Finding {
	return slices.Concat(atOnce(c.connections("mqtt"), func(name string) []Finding { return c.mqttBrokers(ctx, name) })...)
}

// mqttBrokers logs in to every broker of a connection, under a name that no node has.
func (c *checker) mqttBrokers(ctx context.Context, name string) []Finding {
	a := about{component: "mqtt " + name}
	brokers, err := link.Parse([]string{c.Pipeline.Connections[name].Address().Reveal()})
	if err != nil {
		a.add(Problem, err.Error(), a.mqttURLs("HOST:PORT"))
		return a.findings
	}
	errs := atOnce(brokers, func(b link.Broker) error {
		ctx, done := c.patience(ctx)
		defer done()
		conn, err := link.Open(ctx, b, link.Options{ClientID: fmt.Sprint("millrace-doctor-", os.Getpid())})
		if err == nil {
			conn.Close()
		}
		return err
	})
	for i, b := range brokers {
		a.mqttBroker(b.String(), errs[i], slices.Contains(errs, nil))
	}
	return a.findings
}

// mqttBroker tells of one broker. One that does not answer is only a warning while
// another stands in for it.
func (a *about) mqttBroker(broker string, err error, another bool) {
	silent := Unknown
	if another {
		silent = Warning
	}
	switch {
	case err == nil:
		a.add(OK, broker+": speaks MQTT 5, the login is right")
	case errors.Is(err, link.ErrLogin):
		a.add(Problem, err.Error(), a.mqttURLs(broker)+"  # reserved characters percent-encoded")
	default:
		a.add(silent, err.Error(), "start it, or name another: "+a.mqttURLs("HOST:PORT"))
	}
}

func (a *about) mqttURLs(address string) string {
	return fmt.Sprintf("connections.%s.mqtt.urls: mqtt://USER:PASSWORD@%s", a.name(), address)
}
