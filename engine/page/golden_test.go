package page

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	boxSlack     = 2     // px by which a box may be elsewhere
	channelSlack = 40    // of 255, by which a channel of a pixel may be off: edges are not smoothed alike everywhere
	pixelSlack   = 0.002 // share of pixels that may be off
)

// withGolden gives an engine dead letters and two control addresses: POST /golden/NAME is
// refused unless its body looks like that golden file, POST /differs/NAME if it does.
func withGolden(e *engine) {
	withLetters(e)
	mux := http.NewServeMux()
	mux.Handle("/letters/", e.more)
	for path, check := range map[string]func(sight) error{"golden": sight.isGolden, "differs": sight.differs} {
		mux.HandleFunc("POST /"+path+"/{name}", func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err == nil {
				err = check(sight{filepath.Base(r.PathValue("name")), got})
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
			}
		})
	}
	e.more = mux
}

// sight is what a scenario sees of the page: a PNG picture, or lines that end in the
// x, y, width and height of a box, px.
type sight struct {
	name string // of its golden file
	got  []byte
}

// isGolden writes the golden file with -update; else it says what is not like it, and
// where both can be seen.
func (s sight) isGolden() error {
	path := filepath.Join("testdata", "golden", s.name)
	if *update {
		return os.WriteFile(path, s.got, 0o644)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w; -update writes it", err)
	}
	diff, err := s.off(want)
	if err == nil {
		return nil
	}
	folder, kept := keep(map[string][]byte{"got-": s.got, "want-": want, "diff-": diff}, s.name)
	return errors.Join(fmt.Errorf("%s: %w\nsee got-, want- and diff-%[1]s in %[3]s", s.name, err, folder), kept)
}

// differs is the control of isGolden: what was changed must be noticed.
func (s sight) differs() error {
	want, err := os.ReadFile(filepath.Join("testdata", "golden", s.name))
	if err != nil {
		return err
	}
	if _, err := s.off(want); err == nil {
		return fmt.Errorf("%s: the change is not noticed", s.name)
	}
	return nil
}

// off says what is not like want, and returns a picture or a text of that.
func (s sight) off(want []byte) (diff []byte, err error) {
	if filepath.Ext(s.name) == ".png" {
		return pixelsOff(want, s.got)
	}
	return boxesOff(string(want), string(s.got))
}

// keep writes files where they are found after the test, and returns that folder.
func keep(files map[string][]byte, name string) (folder string, err error) {
	if folder = os.Getenv("PAGE_SCREENSHOTS"); folder == "" {
		folder = filepath.Join(os.TempDir(), "millrace-page-golden")
	}
	err = os.MkdirAll(folder, 0o755)
	for prefix, data := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, prefix+name), data, 0o644))
	}
	return folder, err
}

// boxesOff compares boxes line by line.
func boxesOff(want, got string) (diff []byte, err error) {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var lines []string
	for i := range max(len(w), len(g)) {
		a, b := at(w, i), at(g, i)
		if !sameBox(strings.Fields(a), strings.Fields(b)) {
			lines = append(lines, "want "+a, "got  "+b)
		}
	}
	if lines == nil {
		return nil, nil
	}
	diff = []byte(strings.Join(lines, "\n"))
	return diff, fmt.Errorf("%d lines are off:\n%s", len(lines)/2, strings.Join(lines[:min(len(lines), 10)], "\n"))
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// sameBox compares the words of two lines; numbers may be a little apart.
func sameBox(want, got []string) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		a, errA := strconv.Atoi(want[i])
		b, errB := strconv.Atoi(got[i])
		if errors.Join(errA, errB) == nil && max(a-b, b-a) <= boxSlack {
			continue
		}
		if want[i] != got[i] {
			return false
		}
	}
	return true
}

// pixelsOff compares two pictures; diff has the pixels that are off in red.
func pixelsOff(want, got []byte) (diff []byte, err error) {
	a, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		return nil, fmt.Errorf("golden file: %w", err)
	}
	b, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		return nil, err
	}
	if a.Bounds() != b.Bounds() {
		return nil, fmt.Errorf("the picture is %v large, not %v", b.Bounds().Size(), a.Bounds().Size())
	}
	red, n := marked(a, b)
	share := float64(n) / float64(a.Bounds().Dx()*a.Bounds().Dy())
	if share <= pixelSlack {
		return nil, nil
	}
	var out bytes.Buffer
	err = png.Encode(&out, red)
	return out.Bytes(), errors.Join(fmt.Errorf("%.2f %% of the pixels are off", 100*share), err)
}

// marked returns the pixels that differ, and their number.
func marked(a, b image.Image) (red *image.RGBA, n int) {
	red = image.NewRGBA(a.Bounds())
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if !samePixel(a.At(x, y), b.At(x, y)) {
				red.Set(x, y, color.RGBA{R: 255, A: 255})
				n++
			}
		}
	}
	return red, n
}

func samePixel(a, b color.Color) bool {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	for _, pair := range [][2]uint32{{ar, br}, {ag, bg}, {ab, bb}} {
		if max(pair[0], pair[1])-min(pair[0], pair[1]) > channelSlack*257 {
			return false
		}
	}
	return true
}
