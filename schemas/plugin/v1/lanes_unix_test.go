//go:build unix

package pluginv1_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// TestSocketsAreHandedOver has both halves in one process: the descriptor that a plugin
// would inherit is named in the environment.
func TestSocketsAreHandedOver(t *testing.T) {
	dialer, theirs, err := pluginv1.NewLaneDialer()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(pluginv1.LanesEnv, fmt.Sprint(fd))
	listener, err := pluginv1.ListenLanes()
	if err := errors.Join(err, theirs.Close()); err != nil || listener == nil {
		t.Fatal(listener, err)
	}
	if _, named := os.LookupEnv(pluginv1.LanesEnv); named {
		t.Error("a process that this one starts would find the descriptor's number")
	}
	for lane := range uint32(3) {
		sendAndAccept(t, dialer, listener, lane)
	}
	dialer.Close()
	dialer.Close()
	within(t, func() {
		if _, err := listener.Accept(); !errors.Is(err, io.EOF) {
			t.Errorf("behind the last socket: %v", err)
		}
	})
	if _, err := dialer.Dial(); err == nil {
		t.Error("a closed dialer dials")
	}
}

func sendAndAccept(t *testing.T, dialer *pluginv1.LaneDialer, listener *pluginv1.LaneListener, lane uint32) {
	t.Helper()
	within(t, func() {
		ours, err1 := dialer.Dial()
		theirs, err2 := listener.Accept()
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
			return
		}
		host, plugin := pluginv1.NewLaneConn(ours), pluginv1.NewLaneConn(theirs)
		defer plugin.Close()
		var got pluginv1.ProcessRequest
		err := errors.Join(host.SendMsg(&pluginv1.ProcessRequest{Unit: 1, Lane: lane}), plugin.RecvMsg(&got), host.Close())
		if err != nil || got.Lane != lane {
			t.Errorf("lane %d, error %v, want lane %d", got.Lane, err, lane)
		}
		if err := plugin.RecvMsg(&got); !errors.Is(err, io.EOF) {
			t.Errorf("behind the host's end: %v", err)
		}
	})
}

func TestNoLanesWithoutAHost(t *testing.T) {
	for value, wrong := range map[string]bool{"": false, "x": true, "987654": true} {
		t.Setenv(pluginv1.LanesEnv, value)
		if l, err := pluginv1.ListenLanes(); l != nil || (err != nil) != wrong {
			t.Errorf("%q: listener %v, error %v", value, l, err)
		}
	}
}
