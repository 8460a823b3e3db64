//go:build bench

package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const pageFolder = "../page"

// pixels prints how long it takes from the publish of a reading, at 5,000 a second, until
// the page in a headless browser has drawn its point, and how many frames a second the
// page has with eight charts of four lines of 1,200 points. The time of a point is that
// of the beginning of the frame behind the one that shows it. Without a GPU the browser
// paints on the same cores.
func (tb *table) pixels() {
	browser, err := browserHere()
	if err != nil {
		fmt.Printf("(p) left out: %v\n", err)
		return
	}
	tb.empty()
	dsn, _ := tb.store(0)
	p := tb.start("bench_pixels", "strict", dsn)
	p.awaitUp(tb.t)
	look := exec.Command("node", "pixels.mjs")
	look.Env = append(os.Environ(), "PAGE_URL=http://"+p.listen, "CHART=live/watched", "CHROMIUM="+browser, "PROFILE="+tb.t.TempDir())
	look.Stderr = os.Stderr
	end, err := look.StdinPipe()
	must(tb.t, err)
	pipe, err := look.StdoutPipe()
	must(tb.t, err)
	must(tb.t, look.Start())
	out := bufio.NewReader(pipe)
	if text, err := out.ReadString('\n'); text != "ready\n" {
		tb.t.Fatalf("the browser says %q: %v", text, err)
	}
	base := len(tb.stretch(p, 0).sent) // the charts are there, and the programs warm
	sent := tb.stretch(p, base).sent
	pause(time.Second) // the last points are drawn by then; nothing is asserted
	must(tb.t, end.Close())
	var noted [][3]float64
	must(tb.t, json.NewDecoder(out).Decode(&noted))
	must(tb.t, look.Wait())
	p.stop(tb.t)
	came, drawn := newSightings(base, len(sent)), newSightings(base, len(sent))
	for _, n := range noted {
		if i := numberOf(n[0]); i%crowdChart == 0 { // one of the chart that is looked at
			came.see(i, time.UnixMilli(int64(n[1])))
			drawn.see(i, time.UnixMilli(int64(n[2])))
		}
	}
	fmt.Printf("(p) at %d/s: publish -> page's script %s\n", crowdRate, came.report(sent))
	fmt.Printf("(p) at %d/s: publish -> pixel %s, of which one in %d is on the chart\n", crowdRate, drawn.report(sent), crowdChart)
	tb.framesPerSecond()
}

// framesPerSecond runs the page's scenario that measures them.
func (tb *table) framesPerSecond() {
	cmd := exec.Command("go", "test", "-count=1", "-v", "-run", "^TestPageInChromium$/^plots$", ".")
	cmd.Dir = pageFolder
	out, err := cmd.CombinedOutput()
	for text := range strings.Lines(string(out)) {
		if strings.Contains(text, "frames per second") && strings.Contains(text, "points:") {
			fmt.Printf("(p) the page: %s", strings.TrimLeft(text, " ℹ"))
		}
	}
	if err != nil {
		fmt.Printf("(p) the page's scenario: %v\n%s", err, out)
	}
}

// browserHere finds the browser, and says what else is missing for it.
func browserHere() (string, error) {
	if _, err := os.Stat(pageFolder + "/node_modules/playwright-core"); err != nil {
		return "", errors.New("playwright-core is not installed: run `go tool task ui`")
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", err
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is not installed")
}
