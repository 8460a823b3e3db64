package csvtransform

import (
	"strings"
	"unicode/utf8"
)

// dialect is how rows are written.
type dialect struct {
	delimiter byte
	quote     byte // 0: none
	comment   string
	trim      bool // blanks around quotes do not count
	limit     int  // cells of one row
	replaced  bool // U+FFFD stands for bytes that could not be decoded
}

// rows cuts a text into rows of cells. Lines end in LF, CRLF or CR, in any
// mixture; quoted cells may hold line ends, delimiters and doubled quotes.
// Blank lines and comments are skipped. Cells share the memory of the text.
type rows struct {
	dialect
	s     string
	pos   int
	valid bool // the whole text is known to be well encoded

	cells   []string
	start   int // of the row in s
	end     int // without its line end
	problem string
	code    string
}

func newRows(text string, d dialect, cells []string) rows {
	return rows{dialect: d, s: text, cells: cells, valid: !d.replaced && utf8.ValidString(text)}
}

// next reads the next row into cells and reports whether there was one. A row
// that is no good has a code and a problem; reading goes on after its line.
func (r *rows) next() bool {
	r.skip()
	if r.pos >= len(r.s) {
		return false
	}
	r.start, r.code, r.problem = r.pos, "", ""
	r.cells = r.cells[:0]
	for r.cell() {
		if r.pos++; len(r.cells) > r.limit {
			r.spoil(TooManyColumns, "the row has more cells than max_columns", r.pos)
			break
		}
	}
	r.end = r.pos
	r.lineEnd()
	r.checkText()
	return true
}

// skip passes over blank lines and comments.
func (r *rows) skip() {
	for r.pos < len(r.s) {
		from := r.pos
		if r.trim {
			r.blanks()
		}
		switch {
		case r.pos < len(r.s) && (r.s[r.pos] == '\n' || r.s[r.pos] == '\r'):
			r.lineEnd()
		case r.pos == len(r.s):
			return
		case r.comment != "" && strings.HasPrefix(r.s[from:], r.comment):
			r.toLineEnd()
			r.lineEnd()
		default:
			r.pos = from
			return
		}
	}
}

// cell reads one cell and reports whether a delimiter follows; pos is then on it.
func (r *rows) cell() bool {
	start := r.pos
	if r.quote != 0 {
		if r.trim {
			r.blanks()
		}
		if r.pos < len(r.s) && r.s[r.pos] == r.quote {
			return r.quoted()
		}
		r.pos = start
	}
	for r.pos < len(r.s) {
		c := r.s[r.pos]
		if c == r.delimiter || c == '\n' || c == '\r' {
			break
		}
		r.pos++
	}
	r.cells = append(r.cells, r.s[start:r.pos])
	return r.pos < len(r.s) && r.s[r.pos] == r.delimiter
}

// quoted reads a cell in quotes, from its opening one.
func (r *rows) quoted() bool {
	open := r.pos
	text, ok := r.untilQuote()
	if !ok {
		return r.spoil(BadQuote, "a quote is opened and never closed", open)
	}
	if r.trim {
		r.blanks()
	}
	r.cells = append(r.cells, text)
	if r.pos == len(r.s) || r.s[r.pos] == '\n' || r.s[r.pos] == '\r' {
		return false
	}
	if r.s[r.pos] != r.delimiter {
		return r.spoil(BadQuote, "text after a closing quote", r.pos)
	}
	return true
}

// untilQuote returns the text up to the closing quote, doubled ones made single.
func (r *rows) untilQuote() (string, bool) {
	var joined strings.Builder
	r.pos++
	for {
		n := strings.IndexByte(r.s[r.pos:], r.quote)
		if n < 0 {
			return "", false
		}
		part := r.s[r.pos : r.pos+n]
		r.pos += n + 1
		if r.pos == len(r.s) || r.s[r.pos] != r.quote {
			if joined.Len() == 0 {
				return part, true
			}
			joined.WriteString(part)
			return joined.String(), true
		}
		joined.WriteString(part)
		joined.WriteByte(r.quote)
		r.pos++
	}
}

// spoil rejects the row and goes on at the end of the line that from is in, so
// that a stray quote costs one line and not the rest of the payload.
func (r *rows) spoil(code, problem string, from int) bool {
	r.code, r.problem = code, problem
	r.pos = from
	r.toLineEnd()
	return false
}

func (r *rows) blanks() {
	for r.pos < len(r.s) && (r.s[r.pos] == ' ' || r.s[r.pos] == '\t') && r.s[r.pos] != r.delimiter {
		r.pos++
	}
}

func (r *rows) toLineEnd() {
	n := strings.IndexAny(r.s[r.pos:], "\r\n")
	if n < 0 {
		n = len(r.s) - r.pos
	}
	r.pos += n
}

// lineEnd steps over one LF, CRLF or CR.
func (r *rows) lineEnd() {
	if r.pos < len(r.s) && r.s[r.pos] == '\r' {
		r.pos++
	}
	if r.pos < len(r.s) && r.s[r.pos] == '\n' {
		r.pos++
	}
}

func (r *rows) raw() string { return r.s[r.start:r.end] }

func (r *rows) checkText() {
	if r.valid || r.code != "" {
		return
	}
	if raw := r.raw(); !utf8.ValidString(raw) || r.replaced && strings.ContainsRune(raw, utf8.RuneError) {
		r.code, r.problem = BadText, "the row has bytes that do not exist in its encoding"
	}
}
