package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/runtime"
	"github.com/millrace/millrace/engine/spec"
)

func init() { commands = append(commands, newRunCmd) }

type runFlags struct {
	listen, id, logLevel, generation, cpuProfile string
	watch                                        bool

	tokenFile, tlsCert, tlsKey string
	origins                    []string
}

// access reads who may ask the engine. Tokens come from a file or the environment, for
// everyone on this machine can read a command line.
func (f *runFlags) access() (httpapi.Access, error) {
	text := os.Getenv("MILLRACE_TOKENS")
	if f.tokenFile != "" {
		file, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return httpapi.Access{}, configError(fmt.Errorf("--token-file: %w", err))
		}
		text += "\n" + string(file)
	}
	tokens, err := httpapi.ParseTokens(text)
	a := httpapi.Access{Tokens: tokens, Origins: f.origins, CertFile: f.tlsCert, KeyFile: f.tlsKey}
	if err = errors.Join(err, a.Check(f.listen)); err != nil {
		return a, configError(err)
	}
	return a, nil
}

// flags adds what says who may ask, and how.
func (f *runFlags) flags(set *pflag.FlagSet) {
	set.StringVar(&f.tokenFile, "token-file", "", "`file` of bearer tokens, one a line as SCOPES TOKEN (observe,tap,operate); also MILLRACE_TOKENS")
	set.StringVar(&f.tlsCert, "tls-cert", "", "serve TLS with the certificate in `file` (PEM)")
	set.StringVar(&f.tlsKey, "tls-key", "", "`file` of the certificate's key (PEM)")
	set.StringSliceVar(&f.origins, "allow-origin", nil, "`origin` of another web page that may ask, such as https://plant.example")
}

// newRunCmd returns `engine run`.
func newRunCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a pipeline until it is stopped",
		Long: `Run reads a pipeline file, opens its servers (or their embedded stand-ins), and
moves events until it is stopped. The first SIGTERM or Ctrl-C drains: what has
been taken is finished and committed. A second one stops at once; nothing
acknowledged is lost then either.

SIGHUP, engine reload, or with --watch a change of FILE, applies the file as it is
then: what is the same runs on, the rest is begun anew, added or removed, with
nothing lost or doubled. A file that is wrong, or cannot be applied, changes nothing.

On loopback everyone may ask. Elsewhere a token is required, from --token-file or
MILLRACE_TOKENS, never from the command line; TLS keeps it from being read.`,
		Example: `  engine run pipelines/charts.yaml
  engine run --watch pipelines/charts.yaml
  AMQP_URLS=amqp://plant:secret@linux1:5672/ REDIS_URL=redis://localhost:6379/0 \
  DB_DSN='millrace:secret@tcp(localhost:3306)/plant' engine run pipelines/charts.yaml`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPipeline(cmd.Context(), args[0], f, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "`host:port` of the page and the API; beyond loopback tokens are required")
	f.flags(cmd.Flags())
	cmd.Flags().StringVar(&f.id, "id", "", "`name` of this engine among several (default: the host's name)")
	cmd.Flags().StringVar(&f.generation, "generation", "", "read the journal from its start under this `name`, without sources and charts")
	cmd.Flags().StringVar(&f.cpuProfile, "cpu-profile", "", "write a CPU profile of the run to `file`")
	for _, name := range []string{"generation", "cpu-profile"} {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err) // both are defined just above
		}
	}
	cmd.Flags().BoolVar(&f.watch, "watch", false, "apply FILE again whenever it changes")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "info", "least `level` that is logged: debug, info, warn, error")
	return cmd
}

func runPipeline(ctx context.Context, file string, f runFlags, out io.Writer) error {
	logger, err := newLogger(out, f.logLevel)
	if err != nil {
		return err
	}
	if err := checkListen(f.listen); err != nil {
		return err
	}
	access, err := f.access()
	if err != nil {
		return err
	}
	text, _ := os.ReadFile(file) // what is watched for changes; loadPlan tells what is wrong with it
	p, pl, err := loadPlan(file, out)
	if err != nil {
		return err
	}
	e, err := runtime.New(runtime.Config{
		Pipeline: p, Plan: pl, EngineID: f.id, Listen: f.listen, Access: access, Version: version(), Logger: logger, Generation: f.generation,
		OnListening: func(addr string) { banner(out, p, access.URL(addr)) },
		OnReload:    func(r *reload.Result) { _ = r.Write(out) }, // it is logged besides
	})
	if err != nil {
		return err
	}
	endProfile, err := profileCPU(f.cpuProfile)
	if err != nil {
		return err
	}
	defer endProfile()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	go limitMemory(ctx)
	go func() {
		<-ctx.Done()
		stop() // from here on a second signal ends the process at once
		logger.Info("draining; a second signal stops at once")
	}()
	var reloads sync.WaitGroup
	defer reloads.Wait()
	ended, end := context.WithCancel(ctx)
	defer end()
	reloads.Go(func() { reloadOnSignal(ended, e, logger) })
	if f.watch {
		reloads.Go(func() {
			reload.Watch(ended, file, text, reload.WatchEvery, func() { reloadNow(ended, e, reload.ByWatch, logger) })
		})
	}
	return e.Run(ctx)
}

// reloadOnSignal reloads at every SIGHUP until ctx ends. One that comes while another
// is under way is for what the file says then.
func reloadOnSignal(ctx context.Context, e *runtime.Engine, logger *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-hangups:
			reloadNow(ctx, e, reload.BySignal, logger)
		case <-ctx.Done():
			return
		}
	}
}

func reloadNow(ctx context.Context, e *runtime.Engine, trigger string, logger *slog.Logger) {
	if _, err := e.Reload(ctx, trigger, false); err != nil && ctx.Err() == nil {
		logger.Error("cannot reload", "error", err)
	}
}

// profileCPU writes a profile to file until end is called; "" writes none.
func profileCPU(file string) (end func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		return nil, fmt.Errorf("cpu profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short tells so when it is read
	}, nil
}

// checkListen finds a wrong address before anything is started for it.
func checkListen(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return configError(fmt.Errorf("--listen %q: want host:port, such as 127.0.0.1:8080 or :8080", listen))
	}
	return nil
}

// newLogger writes text to a terminal and JSON elsewhere.
func newLogger(out io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, configError(fmt.Errorf("--log-level %q: want debug, info, warn or error", level))
	}
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: readable}
	if f, ok := out.(*os.File); ok && isTerminal(f) {
		return slog.New(slog.NewTextHandler(out, opts)), nil
	}
	return slog.New(slog.NewJSONHandler(out, opts)), nil
}

// readable writes durations with their unit, in JSON too.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func banner(out io.Writer, p *spec.Pipeline, url string) {
	fmt.Fprintf(out, "\n  Millrace runs pipeline %q\n  page     %s/\n  health   %s/readyz\n", p.Name, url, url)
	if embedded := runtime.EmbeddedParts(p); len(embedded) > 0 {
		fmt.Fprintf(out, "  embedded %v: in this process, gone when it ends\n", embedded)
	}
	fmt.Fprintln(out)
}
