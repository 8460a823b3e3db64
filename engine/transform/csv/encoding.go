package csvtransform

import (
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/unicode"
)

// byName holds the names that neither index knows or reads as meant here.
var byName = map[string]encoding.Encoding{
	"utf-8":  nil,
	"utf8":   nil,
	"ascii":  nil,
	"cp949":  korean.EUCKR, // x/text's EUC-KR is the extended one
	"ms949":  korean.EUCKR,
	"uhc":    korean.EUCKR,
	"utf-16": unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), // without a mark: as Windows writes it
}

// newEncoding finds an encoding by name; nil is UTF-8.
func newEncoding(name string) (encoding.Encoding, error) {
	key := strings.ToLower(orDefault(name, "utf-8"))
	if e, ok := byName[key]; ok {
		return e, nil
	}
	if e, err := ianaindex.IANA.Encoding(key); err == nil && e != nil {
		return e, nil
	}
	if e, err := htmlindex.Get(key); err == nil {
		return e, nil
	}
	if number, ok := strings.CutPrefix(key, "cp"); ok {
		return newEncoding("windows-" + number)
	}
	return nil, fmt.Errorf("%q is not a known encoding", name)
}

// utf8Of decodes a payload to text without its byte order mark. What cannot be
// decoded becomes U+FFFD; UTF-8 is taken as it is.
func utf8Of(payload []byte, e encoding.Encoding) (string, error) {
	if e == nil {
		return strings.TrimPrefix(string(payload), "\ufeff"), nil
	}
	out, err := e.NewDecoder().Bytes(payload)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(string(out), "\ufeff"), nil
}
