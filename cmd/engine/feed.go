package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/feed"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

type feedFlags struct {
	urls                             []string
	exchange, key, queue             string
	bind                             string
	rate                             string
	loop, now, declare               bool
	format, as, delimiter            string
	batch, window                    int
	idField, timeField, run, fromEnv string
}

// newFeedCmd returns `engine feed`.
func newFeedCmd() *cobra.Command {
	f := feedFlags{fromEnv: "AMQP_URLS"}
	cmd := &cobra.Command{
		Use:   "feed DATA...",
		Short: "Publish real plant data, or a file, to RabbitMQ",
		Long: `Feed publishes a data set with confirms, and reports what the broker has
confirmed and what it has returned because no queue took it. DATA is one or more
of the built-in plants (plant1 .. plant4, or all), each to its own queue
master.plantN, or one CSV or JSON lines file with --queue or --exchange.

The broker's URLs come from --url or from the environment variable AMQP_URLS.
A connection that is lost is opened again, on another of the URLs if need be, and
what was not confirmed is published again. Ctrl-C waits for what is on its way.`,
		Example: `  AMQP_URLS=amqp://plant:secret@linux1:5672/ engine feed all --declare --shift-to-now --loop --rate 100
  engine feed readings.jsonl --queue master.plant1 --id-field id --url amqp://localhost
  engine feed meters.csv --exchange meters --routing-key hall7 --batch 50 --json`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: feedData,
		RunE:              func(cmd *cobra.Command, args []string) error { return runFeed(cmd, args, f) },
	}
	f.define(cmd)
	return cmd
}

func (f *feedFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.urls, "url", nil, "broker `URLs`, tried in order (default: $AMQP_URLS)")
	flags.StringVar(&f.queue, "queue", "", "publish a file straight to this `queue`")
	flags.StringVar(&f.exchange, "exchange", "", "publish a file to this `exchange`")
	flags.StringVar(&f.key, "routing-key", "", "routing `key` of a file's messages")
	flags.StringVar(&f.bind, "bind", "", "with --declare and --queue: bind the queue to the exchange with this `key`")
	flags.StringVar(&f.rate, "rate", "0", "`readings` or rows a second, as 100 or 100/s; 0: as fast as the broker confirms")
	flags.BoolVar(&f.loop, "loop", false, "begin again at the end, with the times moved on")
	flags.BoolVar(&f.now, "shift-to-now", false, "give each reading the time of its sending")
	flags.BoolVar(&f.declare, "declare", false, "create durable queues that are not there, with their bindings")
	flags.StringVar(&f.format, "format", "", "`format` of the file: csv or jsonl (default: by its name)")
	flags.StringVar(&f.as, "as", "", "`format` of the messages: csv or jsonl (default: the file's)")
	flags.StringVar(&f.delimiter, "delimiter", ",", "`character` between the cells of a CSV file")
	flags.IntVar(&f.batch, "batch", 1, "`records` of a file in one message")
	flags.StringVar(&f.idField, "id-field", "", "`field` of a file that is the message id (default: made up)")
	flags.StringVar(&f.timeField, "time-field", "", "`field` of a file that holds the time")
	flags.StringVar(&f.run, "run", "", "`text` in made-up message ids (default: from the clock); the same text gives the same ids")
	flags.IntVar(&f.window, "window", feed.DefaultWindow, "most `messages` on their way unconfirmed")
}

// feedData completes the built-in data sets and file names.
func feedData(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return append(feed.PlantNames(), "all"), cobra.ShellCompDirectiveDefault
}

func runFeed(cmd *cobra.Command, args []string, f feedFlags) error {
	data, queues, err := f.data(args)
	if err != nil {
		return configError(err)
	}
	rate, err := strconv.ParseFloat(strings.TrimSuffix(f.rate, "/s"), 64)
	if err != nil || rate < 0 {
		return configError(fmt.Errorf("--rate %q is not a number of readings a second", f.rate))
	}
	if len(f.urls) == 0 {
		f.urls = []string{os.Getenv(f.fromEnv)}
	}
	publisher, err := feed.NewPublisher(feed.PublisherConfig{
		URLs: f.urls, Window: f.window, Name: strings.Join(args, " "), Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
	})
	if err != nil {
		return configError(fmt.Errorf("%w (set AMQP_URLS or --url)", err))
	}
	defer publisher.Close()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if f.declare {
		if err := publisher.Declare(ctx, queues...); err != nil {
			return environmentError(err)
		}
	}
	return publishData(ctx, cmd, data, publisher, rate)
}

func publishData(ctx context.Context, cmd *cobra.Command, data feed.Data, publisher *feed.Publisher, rate float64) error {
	show := newProgress(cmd.ErrOrStderr())
	got, err := feed.Run(ctx, data, publisher, feed.RunOptions{Rate: rate, Progress: show.update, Every: show.every})
	show.end()
	if err != nil {
		if node.ClassOf(err) == node.Fatal {
			return environmentError(err)
		}
		return err
	}
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), summary{OK: got.Returned == 0, Progress: got, Rate: got.Rate()})
	}
	if err == nil && got.Returned > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "engine: %d messages reached no queue (create it with --declare?)\n", got.Returned)
		return told(exitFindings)
	}
	return err
}

// summary is the JSON object of `feed`.
type summary struct {
	OK bool `json:"ok"`
	feed.Progress
	Rate float64 `json:"records_per_second"`
}

// data returns what args name, and the queues it goes to.
func (f *feedFlags) data(args []string) (feed.Data, []link.Queue, error) {
	replay := feed.ReplayOptions{Loop: f.loop, Run: f.run}
	if f.now {
		replay.Times = feed.Now
	}
	if slices.Equal(args, []string{"all"}) {
		args = feed.PlantNames()
	}
	if slices.Contains(feed.PlantNames(), args[0]) {
		return f.plants(args, replay)
	}
	return f.file(args, replay)
}

func (f *feedFlags) plants(names []string, replay feed.ReplayOptions) (feed.Data, []link.Queue, error) {
	if f.queue != "" || f.exchange != "" || f.key != "" {
		return nil, nil, fmt.Errorf("a built-in plant has its own queue: leave out --queue, --exchange and --routing-key")
	}
	all := &feed.Several{}
	var queues []link.Queue
	for _, name := range names {
		p, err := feed.LoadPlant(name)
		if err != nil {
			return nil, nil, err
		}
		all.Parts = append(all.Parts, p.Replay(replay))
		queues = append(queues, p.Broker())
	}
	return all, queues, nil
}

func (f *feedFlags) file(args []string, replay feed.ReplayOptions) (feed.Data, []link.Queue, error) {
	if len(args) != 1 {
		return nil, nil, fmt.Errorf("%d files: publish one at a time, with its own --queue or --exchange", len(args))
	}
	if f.queue == "" && f.exchange == "" {
		return nil, nil, fmt.Errorf("%s: where to? Add --queue or --exchange (built-in data: %s, all)", args[0], strings.Join(feed.PlantNames(), ", "))
	}
	delimiter, size := utf8.DecodeRuneInString(f.delimiter)
	if size == 0 || size != len(f.delimiter) {
		return nil, nil, fmt.Errorf("--delimiter %q is not one character", f.delimiter)
	}
	key := f.key
	if f.exchange == "" && key == "" {
		key = f.queue
	}
	data, err := feed.OpenFile(feed.FileOptions{
		Path: args[0], Format: f.format, As: f.as, Delimiter: delimiter, Batch: f.batch, Exchange: f.exchange, RoutingKey: key,
		IDField: f.idField, TimeField: f.timeField, Replay: replay,
	})
	return data, f.queues(), err
}

// queues returns what --declare creates for a file.
func (f *feedFlags) queues() []link.Queue {
	if f.queue == "" {
		return nil
	}
	q := link.Queue{Name: f.queue, Create: true, Durable: true}
	if f.exchange != "" {
		bind := f.bind
		if bind == "" {
			bind = f.key
		}
		q.Bind = []link.Binding{{Exchange: f.exchange, Key: bind}}
	}
	return []link.Queue{q}
}
