package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// Serve runs p for the engine that started this process and does not return: the
// process ends when the host says so, closes its end of standard input, or
// dies. Called by hand it says what it is, and ends with status 1.
//
// The default slog logger writes to the host's log from then on. With [DebugEnv] it is
// served for a debugger instead.
func Serve(p Plugin) {
	if len(os.Args) == 2 && os.Args[1] == pluginv1.DescribeArg {
		describe(p)
		return
	}
	hosted := os.Getenv(pluginv1.MagicCookieKey) == pluginv1.MagicCookieValue
	if socket, ok := os.LookupEnv(DebugEnv); ok && !hosted {
		serveDebug(p, socket)
		return
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if hosted {
		outliveReaders()
		go exitWithHost(os.Stdin)
		_ = os.WriteFile("/proc/self/comm", []byte(p.Name), 0) // for ps and top; elsewhere there is no such file
	}
	slog.SetDefault(log)
	srv := newServer(p, log)
	srv.listen()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:     plugin.PluginSet{pluginv1.Service: &grpcPlugin{server: srv}},
		GRPCServer:  newGRPCServer,
		TLSProvider: introduce,
		Logger:      hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr, JSONFormat: true}),
	})
}

func describe(p Plugin) {
	out, _ := json.Marshal(map[string]string{"name": p.Name, "version": p.Version}) // strings always marshal
	fmt.Printf("%s\n", out)
}

// exitWithHost ends the process, and those that it started, when the host's end of
// the pipe is closed, which the kernel does however the host dies.
func exitWithHost(pipe io.Reader) {
	_, _ = io.Copy(io.Discard, pipe)
	killGroup()
	os.Exit(0)
}

// Sizes of the connection, in bytes: large enough that the chunks of a unit never
// wait for a window.
const (
	streamWindow = 2 << 20
	connWindow   = 16 << 20
	ioBuffer     = 128 << 10
)

func newGRPCServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxSendMsgSize(pluginv1.MaxMessageBytes),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.WriteBufferSize(ioBuffer), grpc.ReadBufferSize(ioBuffer),
		grpc.ForceServerCodecV2(pluginv1.Codec{}), experimental.BufferPool(pluginv1.ReceivePool()),
	)...)
}

// grpcPlugin is the server half of go-plugin's contract.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

var _ plugin.GRPCPlugin = (*grpcPlugin)(nil)

// GRPCServer registers the service.
func (g *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServer(s, g.server)
	return nil
}

// GRPCClient is never called on the plugin's side.
func (g *grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no host")
}
