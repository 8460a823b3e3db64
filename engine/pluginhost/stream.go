package pluginhost

import (
	"context"
	"fmt"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// stream is the way of a lane's units to the plugin and back: a socket's or gRPC's,
// with the latter's errors.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// offerLanes lets the process inherit what lane sockets are handed over, and says so in
// its environment. A plugin that cannot take them does not name them when it describes
// itself.
func (inst *instance) offerLanes(env []string) []string {
	if inst.cfg.overGRPC {
		return env
	}
	dialer, theirs, err := pluginv1.NewLaneDialer()
	if err != nil {
		inst.log.Warn("lanes go over gRPC", "error", err)
	}
	if dialer == nil {
		return env
	}
	inst.lanes = dialer
	return append(env, fmt.Sprintf("%s=%d", pluginv1.LanesEnv, inst.proc.inherit(theirs)))
}

// open opens a stream. close ends it both ways, in the midst of a unit, too.
func (inst *instance) open() (s stream, close func(), err error) {
	if inst.lanes == nil {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := inst.rpc.Process(ctx)
		if err != nil {
			cancel()
		}
		return s, cancel, err
	}
	conn, err := inst.lanes.Dial()
	if err != nil {
		return nil, nil, err
	}
	return pluginv1.NewLaneConn(conn), func() { _ = conn.Close() }, nil // what was under way is given up
}
