package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// terminal returns the descriptor of a terminal; ok is false for anything else.
func terminal(stream any) (fd int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

// widthOf returns the columns of the terminal that out is, or otherwise.
func widthOf(out io.Writer, otherwise int) int {
	if fd, ok := terminal(out); ok {
		if width, _, err := term.GetSize(fd); err == nil && width > 0 {
			return width
		}
	}
	return otherwise
}

// oneLine makes any text fit into a row of a table.
func oneLine(s string) string { return shorten(plain(s), 100) }

// plain puts any text on one line in characters that can be seen, so that no
// terminal is steered by data.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

// shorten cuts s to width characters.
func shorten(s string, width int) string {
	if len(s) <= width {
		return s
	}
	text := []rune(s)
	if len(text) <= width {
		return s
	}
	return string(text[:max(width-1, 0)]) + "…"
}

// compact writes a number in at most five characters, such as 123, 12.3k or 1.23M.
func compact(n float64) string {
	unit := ""
	for _, u := range []string{"k", "M", "G", "T", "P"} {
		if n < 99999.5 && (unit == "" || n < 999.5) {
			break
		}
		n, unit = n/1000, u
	}
	if unit == "" {
		return fmt.Sprintf("%.0f", n)
	}
	return threeDigits(n) + unit
}

// perSecond writes a rate: slow ones with a digit behind the point.
func perSecond(n float64) string {
	if n > 0 && n < 99.95 {
		return fmt.Sprintf("%.1f", n)
	}
	return compact(n)
}

// bytesText writes bytes with a unit, such as 12.3 MiB.
func bytesText(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 999.5 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return threeDigits(f) + " " + unit
}

func threeDigits(f float64) string {
	switch {
	case f < 9.995:
		return fmt.Sprintf("%.2f", f)
	case f < 99.95:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.0f", f)
	}
}
