package amqp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/testserver"
)

// TestMQTTDevice publishes over MQTT 3.1.1 through RabbitMQ's plugin and holds what
// arrives to what the documentation and the plants' data say of it.
func TestMQTTDevice(t *testing.T) {
	server := testserver.RabbitMQ(t, testserver.WithMQTT())
	s, err := New(Config{
		Options: Options{
			Queue: "master.plant3", Declare: true, Bind: []Bind{{Exchange: "amq.topic", Key: "plant3.#"}},
			Identity: "routing_key + '@' + payload.ts",
		},
		URLs: []string{server.AMQPURL()},
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const body = `{"ts":"2026-11-23T21:08:50.123Z","value":23.18,"unit":"C"}`
	go func() {
		eventually(t, "a ready source", func() bool { return s.Status().Ready })
		mqttPublish(t, server.MQTTAddr(), "plant3/office-1/temperature", body)
	}()
	m := next(t, s)[0]
	if string(m.Body) != body || m.Exchange != "amq.topic" || m.RoutingKey != "plant3.office-1.temperature" || m.Queue != "master.plant3" {
		t.Errorf("a device's message comes as %+v", m)
	}
	if m.MessageID != "" || m.ContentType != "" || !m.Timestamp.IsZero() {
		t.Errorf("MQTT 3 has neither id, content type nor time: %+v", m)
	}
	if qos := headerOf(m, "x-mqtt-publish-qos"); qos != event.Int(1) {
		t.Errorf("x-mqtt-publish-qos = %v %q", qos.Kind(), qos.Format())
	}
	if dup := headerOf(m, "x-mqtt-dup"); dup != event.Bool(false) {
		t.Errorf("x-mqtt-dup = %v %q", dup.Kind(), dup.Format())
	}
}

// mqttPublish connects, publishes once with QoS 1 and waits for the acknowledgement.
func mqttPublish(t *testing.T, addr, topic, body string) {
	conn, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		t.Errorf("mqtt: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	text := func(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
	packet := func(kind byte, parts ...[]byte) []byte {
		rest := bytes.Join(parts, nil)
		if len(rest) > 127 {
			t.Errorf("mqtt: packet of %d bytes needs a longer length", len(rest))
		}
		return append([]byte{kind, byte(len(rest))}, rest...)
	}
	connect := packet(0x10, text("MQTT"), []byte{4, 2, 0, 60}, text("device-1"))
	publish := packet(0x32, text(topic), []byte{0, 1}, []byte(body))
	for _, step := range []struct {
		out    []byte
		answer byte
	}{{connect, 0x20}, {publish, 0x40}} {
		if _, err := conn.Write(step.out); err != nil {
			t.Errorf("mqtt: %v", err)
			return
		}
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != step.answer {
			t.Errorf("mqtt: answer %x, %v; want type %x", answer, err, step.answer)
			return
		}
	}
}
