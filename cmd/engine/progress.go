package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/feed"
)

// progress shows how far a feed has come: a bar that moves on a terminal, a line
// every ten seconds elsewhere.
type progress struct {
	out   io.Writer
	every time.Duration
	bar   bool
	width int // of what was drawn last
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, every: 10 * time.Second}
	if _, ok := terminal(out); ok {
		p.bar, p.every = true, 200*time.Millisecond
	}
	return p
}

func (p *progress) update(now feed.Progress) {
	if p.bar {
		p.draw(now)
	} else if now.Records > 0 {
		fmt.Fprintln(p.out, line(now))
	}
}

// end leaves the last state on a line of its own.
func (p *progress) end() {
	if p.bar {
		fmt.Fprintln(p.out)
	}
}

func (p *progress) draw(now feed.Progress) {
	share := -1.0
	if now.Total > 0 {
		share = float64(now.Records) / float64(now.Total)
	}
	p.show(share, line(now))
}

// show draws a line with a bar for a share of 0..1, and without one if it is less.
func (p *progress) show(share float64, text string) {
	if share >= 0 {
		text = barOf(share) + " " + text
	}
	width := len([]rune(text))
	fmt.Fprint(p.out, "\r"+text+strings.Repeat(" ", max(0, p.width-width)))
	p.width = width
}

const barCells = 20

// barOf draws a share of 0..1.
func barOf(share float64) string {
	full := int(min(max(share, 0), 1) * barCells)
	return fmt.Sprintf("%s%s %3.0f%%", strings.Repeat("█", full), strings.Repeat("░", barCells-full), 100*share)
}

// line says in words how far the feed has come.
func line(now feed.Progress) string {
	of := ""
	if now.Total >= 0 {
		of = fmt.Sprintf(" of %d", now.Total)
	}
	text := fmt.Sprintf("%d%s readings, %.0f/s, %d messages confirmed, %d returned", now.Records, of, now.Rate(), now.Confirmed, now.Returned)
	if now.Resent > 0 {
		text += fmt.Sprintf(", %d sent again", now.Resent)
	}
	if left := now.Left(); left > 0 {
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}
