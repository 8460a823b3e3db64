package live

import (
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
	handed bool // it comes from a hub that this one has taken the place of
}

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
)

// parse reads the request. An error is the viewer's and says what was expected.
func parse(r *http.Request) (query, error) {
	values := r.URL.Query()
	q := query{class: classKey{format: formatJSON}, stream: true}
	if err := q.accept(values.Get("format"), r.Header.Get("Accept")); err != nil {
		return q, err
	}
	if err := q.hz(values.Get("hz")); err != nil {
		return q, err
	}
	if err := q.subscribe(values); err != nil {
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

// subscribe reads sub=chart:KEY,chart:KEY; keys with commas come as several sub.
func (q *query) subscribe(values url.Values) error {
	var keys []string
	for _, list := range values["sub"] {
		for item := range strings.SplitSeq(list, ",") {
			kind, key, _ := strings.Cut(item, ":")
			switch {
			case item == "":
			case kind == "chart" && key == "*":
				return nil
			case kind == "chart" && key != "" && !strings.Contains(key, "\x00"):
				keys = append(keys, key)
			default:
				return fmt.Errorf("sub=%s: expected chart:KEY", item)
			}
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > maxSubscribed {
		return fmt.Errorf("sub: %d subscriptions are more than %d", len(keys), maxSubscribed)
	}
	q.class.charts = strings.Join(keys, "\x00")
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
