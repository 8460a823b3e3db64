//go:build !unix

package pluginv1

import (
	"io"
	"net"
	"os"
)

// LaneDialer does not exist here: no descriptor can be handed to another process.
type LaneDialer struct{}

// NewLaneDialer returns none.
func NewLaneDialer() (*LaneDialer, *os.File, error) { return nil, nil, nil }

// Dial is never called.
func (*LaneDialer) Dial() (net.Conn, error) { return nil, io.EOF }

// Close does nothing.
func (*LaneDialer) Close() {}

// LaneListener does not exist here.
type LaneListener struct{}

// ListenLanes returns none.
func ListenLanes() (*LaneListener, error) { return nil, nil }

// Accept is never called.
func (*LaneListener) Accept() (net.Conn, error) { return nil, io.EOF }
