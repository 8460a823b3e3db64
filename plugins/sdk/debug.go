package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"

	"google.golang.org/grpc"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// DebugEnv names the environment variable that makes [Serve] call [ServeDebug] in a
// process that no engine has started: its value is the socket's path.
const DebugEnv = "MILLRACE_PLUGIN_DEBUG"

// ServeDebug runs p on a unix socket of its own, under a debugger for instance, until
// ctx ends. It prints to out the setting with which an engine works with this process
// instead of starting one:
//
//	MILLRACE_PLUGIN_ATTACH=scale=/tmp/scale.sock engine run pipelines/charts.yaml
//
// The engine waits at breakpoints without limit, and never ends the process: when it
// goes, another may come. When the process goes and comes again on the same socket, the
// engine goes on with it. Only the user of the process can reach the socket. One node
// at a time can use it.
//
// socket "" is millrace-NAME.sock in the folder for temporary files.
func ServeDebug(ctx context.Context, p Plugin, socket string, out io.Writer) error {
	if socket == "" {
		socket = filepath.Join(os.TempDir(), "millrace-"+p.Name+".sock")
	}
	socket, err := filepath.Abs(socket)
	if err != nil {
		return err
	}
	listener, err := listenDebug(socket)
	if err != nil {
		return err
	}
	srv := newServer(p, slog.Default())
	srv.again = true
	g := newGRPCServer(nil)
	pluginv1.RegisterPluginServer(g, srv)
	defer context.AfterFunc(ctx, g.Stop)()
	fmt.Fprintf(out, "%s=%s=%s\n", pluginv1.AttachEnv, p.Name, socket)
	if err := g.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %s on %s: %w", p.Name, socket, err)
	}
	return nil
}

// listenDebug listens on a socket that nobody else listens on; what a process that
// died has left of it is removed.
func listenDebug(socket string) (net.Listener, error) {
	if conn, err := net.Dial("unix", socket); err == nil {
		_ = conn.Close() // nothing was written
		return nil, fmt.Errorf("%s: another process listens there", socket)
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(socket) // listening says what is wrong if it stays
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// serveDebug is Serve in a process that is to be debugged.
func serveDebug(p Plugin, socket string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := ServeDebug(ctx, p, socket, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
