package feed

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Formats of a data file and of the messages made from it.
const (
	FormatCSV  = "csv"   // a header line, then rows
	FormatJSON = "jsonl" // one JSON object a line
)

// FileOptions says how a file's records become messages.
type FileOptions struct {
	Path       string
	Format     string // [FormatCSV] or [FormatJSON]; "" goes by the file's name
	As         string // what a message holds; "" is the file's own format
	Delimiter  rune   // of a CSV file; 0 is a comma
	Batch      int    // records a message; default 1. Several JSON objects are an array.
	Exchange   string
	RoutingKey string
	IDField    string // field whose text is the message id; "" makes one up
	TimeField  string // field that holds the time; needed to change it
	Replay     ReplayOptions
}

// File yields the records of a data file. The file is held in memory.
type File struct {
	o       FileOptions
	name    string
	clock   clock
	header  []string
	records []record
	next    int
	round   int
	span    time.Duration
}

// record is one row or object: fields in their order, values as JSON.
type record []field

type field struct {
	name  string
	value json.RawMessage
}

var _ Data = (*File)(nil)

// OpenFile reads a data file. Errors name the line.
func OpenFile(o FileOptions) (*File, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	in, err := os.Open(o.Path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	base := filepath.Base(o.Path)
	f := &File{o: o, name: strings.TrimSuffix(base, filepath.Ext(base)), clock: newClock(o.Replay)}
	read := f.readJSON
	if o.Format == FormatCSV {
		read = f.readCSV
	}
	if err := read(in); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, err)
	}
	if len(f.records) == 0 {
		return nil, fmt.Errorf("%s: no records", o.Path)
	}
	if o.TimeField != "" {
		err = f.measure()
	}
	return f, err
}

func (o *FileOptions) complete() error {
	if o.Format == "" {
		switch strings.ToLower(filepath.Ext(o.Path)) {
		case ".csv", ".txt", ".tsv":
			o.Format = FormatCSV
		case ".jsonl", ".ndjson", ".json":
			o.Format = FormatJSON
		default:
			return fmt.Errorf("%s: neither .csv nor .jsonl; name the format", o.Path)
		}
	}
	if o.As == "" {
		o.As = o.Format
	}
	for _, format := range []string{o.Format, o.As} {
		if format != FormatCSV && format != FormatJSON {
			return fmt.Errorf("format %q is neither %s nor %s", format, FormatCSV, FormatJSON)
		}
	}
	if o.Replay.Times == Now && o.TimeField == "" {
		return errors.New("to change times the field that holds them must be named")
	}
	o.Batch = max(o.Batch, 1)
	return nil
}

func (f *File) readJSON(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		r, err := parseObject(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		f.records = append(f.records, r)
	}
	return lines.Err()
}

// parseObject keeps the fields' order and the values' text.
func parseObject(line []byte) (record, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var out record
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		out = append(out, field{name.(string), value}) // an object's keys are strings
	}
	_, err := dec.Token()
	return out, err
}

func (f *File) readCSV(in io.Reader) error {
	buf := bufio.NewReader(in)
	if mark, err := buf.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = buf.Discard(len(mark)) // what was peeked can be discarded
	}
	rows := csv.NewReader(buf)
	if f.o.Delimiter != 0 {
		rows.Comma = f.o.Delimiter
	}
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	f.header = header
	for {
		cells, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r := make(record, len(cells))
		for i, cell := range cells {
			r[i] = field{header[i], cellJSON(cell)}
		}
		f.records = append(f.records, r)
	}
}

// cellJSON returns a number as it is and everything else as a string.
func cellJSON(cell string) json.RawMessage {
	if cell != "" && (cell[0] == '-' || cell[0] >= '0' && cell[0] <= '9') && json.Valid([]byte(cell)) {
		return json.RawMessage(cell)
	}
	text, _ := json.Marshal(cell) // a string always marshals
	return text
}

// Total implements [Data].
func (f *File) Total() int {
	if f.clock.Loop {
		return -1
	}
	return len(f.records)
}

// Next implements [Data]; a step is one message.
func (f *File) Next(now time.Time) ([]node.Message, int, error) {
	if f.next == len(f.records) {
		if !f.clock.Loop {
			return nil, 0, io.EOF
		}
		f.next, f.round = 0, f.round+1
	}
	batch := f.records[f.next:min(f.next+f.o.Batch, len(f.records))]
	f.next += len(batch)
	if f.clock.Times == Now || f.round > 0 && f.o.TimeField != "" {
		moved := make([]record, len(batch))
		for i, r := range batch {
			var err error
			if moved[i], err = f.move(r, now); err != nil {
				return nil, 0, err
			}
		}
		batch = moved
	}
	m := node.Message{Exchange: f.o.Exchange, RoutingKey: f.o.RoutingKey, MessageID: f.id(batch[0])}
	m.Body, m.ContentType = f.body(batch)
	return []node.Message{m}, len(batch), nil
}

func (f *File) id(first record) string {
	made := f.clock.id(f.name)
	if value := first.get(f.o.IDField); value != nil && f.round == 0 {
		return text(value)
	}
	return made
}

func (r record) get(name string) json.RawMessage {
	for i := range r {
		if r[i].name == name && name != "" {
			return r[i].value
		}
	}
	return nil
}

// text is a JSON string's text, or the JSON of anything else.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

func (f *File) body(batch []record) (body []byte, contentType string) {
	if f.o.As == FormatCSV {
		return csvBody(batch, f.o.Delimiter), "text/csv"
	}
	if f.o.Batch > 1 {
		body = append(body, '[')
	}
	for i, r := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = r.appendJSON(body)
	}
	if f.o.Batch > 1 {
		body = append(body, ']')
	}
	return body, "application/json"
}

func (r record) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, fd := range r {
		if i > 0 {
			dst = append(dst, ',')
		}
		name, _ := json.Marshal(fd.name) // a string always marshals
		dst = append(append(append(dst, name...), ':'), fd.value...)
	}
	return append(dst, '}')
}

func csvBody(batch []record, delimiter rune) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if delimiter != 0 {
		w.Comma = delimiter
	}
	for _, r := range batch {
		cells := make([]string, len(r))
		for i := range r {
			cells[i] = text(r[i].value)
		}
		_ = w.Write(cells) // a buffer takes everything
	}
	w.Flush()
	return out.Bytes()
}
