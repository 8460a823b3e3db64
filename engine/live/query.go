package live

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is what a viewer asks for.
type query struct {
	class  classKey
	stream bool          // false: one snapshot
	resume string        // id to go on from
	back   time.Duration // with history: how far back; 0 is the chart's window
	begin  begin
	others []subscription
	handed bool // it comes from a hub that this one has taken the place of
}

// subscription is one to something else than charts.
type subscription struct{ kind, name string }

// begin says where a viewer begins that does not resume.
type begin uint8

const (
	beginWindow   begin = iota // the chart's window
	beginBack                  // a given time back
	beginEarliest              // the oldest entry of the log
	beginLatest                // only what comes from now on
)

const (
	maxHz         = 100
	maxSubscribed = 64
	maxWindow     = 24 * time.Hour
)

// parse reads the request. An error is the viewer's and says what was expected.
func parse(r *http.Request) (query, error) {
	values := r.URL.Query()
	q := query{class: classKey{format: formatJSON}, stream: true}
	err := errors.Join(
		q.accept(values.Get("format"), r.Header.Get("Accept")), q.hz(values.Get("hz")),
		q.subscribe(values), q.window(values.Get("window")), q.reduce(values.Get("px"), values.Get("mode")))
	if err != nil {
		return q, err
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		q.resume = id
		return q, nil
	}
	return q, q.from(values.Get("from"))
}

// accept takes the first known media type of the Accept header; without one, a
// stream of events.
func (q *query) accept(formatName, accept string) error {
	switch formatName {
	case "", string(formatJSON):
	case string(formatCSV):
		q.class.format = formatCSV
	default:
		return fmt.Errorf("format=%s: expected json or csv", formatName)
	}
	for item := range strings.SplitSeq(accept, ",") {
		kind, _, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil {
			continue
		}
		switch kind {
		case "text/event-stream":
			return nil
		case "application/x-ndjson":
			q.class.wire = wireLines
			return nil
		case "application/json":
			q.stream = false
			return nil
		case "text/csv":
			q.stream, q.class.format = false, formatCSV
			return nil
		}
	}
	return nil
}

func (q *query) hz(text string) error {
	if text == "" {
		return nil
	}
	hz, err := strconv.Atoi(text)
	if err != nil || hz < 1 || hz > maxHz {
		return fmt.Errorf("hz=%s: expected a whole number from 1 to %d", text, maxHz)
	}
	if hz < maxHz {
		q.class.every = time.Second / time.Duration(hz)
	}
	return nil
}

// subscribe reads sub=chart:KEY,graph:PIPELINE,tap:NODE; names with commas come as
// several sub.
func (q *query) subscribe(values url.Values) error {
	var charts []string
	all := false
	for _, list := range values["sub"] {
		for _, item := range items(list) {
			kind, name, _ := strings.Cut(item, ":")
			switch {
			case item == "":
				continue
			case kind == "" || name == "" || strings.Contains(name, "\x00"):
				return fmt.Errorf("sub=%s: expected KIND:NAME, such as chart:temperature", item)
			case kind != "chart":
				q.others = append(q.others, subscription{kind, name})
			case name == "*":
				all = true
			default:
				charts = append(charts, name)
			}
			q.class.subscribed = true
		}
	}
	return q.choose(charts, all)
}

// items cuts a list at the commas behind which another subscription begins: the key
// of a chart may have some.
func items(list string) []string {
	var out []string
	for item := range strings.SplitSeq(list, ",") {
		if len(out) > 0 && item != "" && !strings.Contains(item, ":") {
			out[len(out)-1] += "," + item
			continue
		}
		out = append(out, item)
	}
	return out
}

// choose notes the charts; without any, all are meant unless something else is.
func (q *query) choose(charts []string, all bool) error {
	slices.Sort(charts)
	charts = slices.Compact(charts)
	slices.SortFunc(q.others, func(a, b subscription) int { return strings.Compare(a.kind+":"+a.name, b.kind+":"+b.name) })
	q.others = slices.Compact(q.others)
	if n := len(charts) + len(q.others); n > maxSubscribed {
		return fmt.Errorf("sub: %d subscriptions are more than %d", n, maxSubscribed)
	}
	q.class.none = len(q.others) > 0 && !all && len(charts) == 0
	if !all {
		q.class.charts = strings.Join(charts, "\x00")
	}
	return nil
}

// reduce reads px=1200 and mode=m4; it comes behind the window.
func (q *query) reduce(px, how string) error {
	if px == "" && how == "" {
		return nil
	}
	n, err := strconv.Atoi(px)
	if err != nil || n < 1 || n > maxPx {
		return fmt.Errorf("px=%s: expected a whole number from 1 to %d", px, maxPx)
	}
	switch mode(how) {
	case "":
		how = string(modeM4)
	case modeM4, modeEnvelope:
	default:
		return fmt.Errorf("mode=%s: expected m4 or envelope", how)
	}
	q.class.subscribed = true
	q.class.reduction = reduction{px: int64(n), span: q.back.Milliseconds(), mode: mode(how)}
	return nil
}

// window reads window=10m, how far back the history goes.
func (q *query) window(text string) error {
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxWindow {
		return fmt.Errorf("window=%s: expected a time from 1s to %s, such as 10m", text, maxWindow)
	}
	q.begin, q.back = beginBack, d
	return nil
}

// from reads latest, earliest, a time back such as -10m, or an id to resume from.
func (q *query) from(text string) error {
	switch {
	case text == "":
	case text == "latest":
		q.begin = beginLatest
	case text == "earliest":
		q.begin = beginEarliest
	case strings.HasPrefix(text, "-"):
		back, err := time.ParseDuration(text[1:])
		if err != nil || back <= 0 {
			return fmt.Errorf("from=%s: expected a time back such as -10m", text)
		}
		q.begin, q.back = beginBack, back
	default:
		q.resume = text
	}
	return nil
}
