package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/millrace/millrace/engine/runtime"
	filesink "github.com/millrace/millrace/engine/sink/file"
)

// leastFree is the free space of the temporary folder below which there is a
// warning, in bytes: embedded rows, sockets and builds of plugins go there.
const leastFree = 1 << 30

// Modes of access(2).
const (
	mayRead  = 4
	mayWrite = 2
	mayEnter = 1
)

// folders looks at those that a run reads or writes.
func (c *checker) folders(context.Context) []Finding {
	var out []Finding
	if c.usesPlugins() {
		out = append(out, pluginFolder(c.Pipeline.Plugins.Dir)...)
	}
	if len(runtime.EmbeddedParts(c.Pipeline)) < len(c.Pipeline.Connections) {
		out = append(out, lockFolder(runtime.LockFolder())...)
	}
	sinks := optionsOf[*filesink.Options](c.Pipeline)
	for _, id := range slices.Sorted(maps.Keys(sinks)) {
		out = append(out, outputFolder(id, sinks[id].Path)...)
	}
	var disk syscall.Statfs_t
	err := syscall.Statfs(os.TempDir(), &disk)
	return append(out, tempFolder(os.TempDir(), int64(disk.Bavail)*disk.Bsize, err)...)
}

func (c *checker) usesPlugins() bool {
	for i := range c.Pipeline.Nodes {
		if c.Pipeline.Nodes[i].Plugin != "" {
			return true
		}
	}
	return false
}

// pluginFolder: a folder that is not there is made when a plugin is built.
func pluginFolder(dir string) []Finding {
	a := about{component: "folder plugins.dir"}
	switch err := access(dir, true, mayRead|mayEnter); {
	case err == nil:
		a.add(OK, dir)
	case errors.Is(err, fs.ErrNotExist):
		a.add(Info, dir+" is not there yet: building a plugin makes it")
	default:
		a.add(Problem, fmt.Sprintf("%s: %v", dir, err), "plugins: { dir: "+dir+" }  # a folder that this user may read")
	}
	return a.findings
}

// outputFolder: the start makes it in the nearest folder above that there is.
func outputFolder(sink, dir string) []Finding {
	a := about{component: "folder of " + sink}
	err := writable(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			a.add(Problem, fmt.Sprintf("%s: %v", dir, err), makeFolder(dir))
		} else {
			a.add(OK, dir)
		}
		return a.findings
	}
	above := filepath.Dir(dir)
	for errors.Is(writable(above), fs.ErrNotExist) {
		above = filepath.Dir(above)
	}
	if err := writable(above); err != nil {
		a.add(Problem, fmt.Sprintf("%s is not there, and cannot be made in %s: %v", dir, above, err), makeFolder(dir))
	} else {
		a.add(Info, dir+" is not there yet: the start makes it")
	}
	return a.findings
}

func lockFolder(dir string) []Finding {
	a := about{component: "folder locks"}
	if err := writable(dir); err != nil {
		a.add(Problem, fmt.Sprintf("%s: %v", dir, err), "export XDG_RUNTIME_DIR=/run/user/"+strconv.Itoa(os.Getuid()))
	} else {
		a.add(OK, dir)
	}
	return a.findings
}

// tempFolder: free is in bytes, unless err says that it cannot be told.
func tempFolder(dir string, free int64, err error) []Finding {
	a := about{component: "folder temp"}
	switch werr := writable(dir); {
	case werr != nil:
		a.add(Problem, fmt.Sprintf("%s: %v", dir, werr), "export TMPDIR=FOLDER")
	case err != nil:
		a.add(Unknown, fmt.Sprintf("%s: free space: %v", dir, err), "export TMPDIR=FOLDER")
	case free < leastFree:
		a.add(Warning, fmt.Sprintf("%s: %s are free", dir, size(free)), "export TMPDIR=FOLDER  # with 1 GiB free")
	default:
		a.add(OK, fmt.Sprintf("%s: %s are free", dir, size(free)))
	}
	return a.findings
}

func writable(dir string) error      { return access(dir, true, mayWrite|mayEnter) }
func writableFile(path string) error { return access(path, false, mayRead|mayWrite) }

// access says why this process may not use path in the given ways.
func access(path string, dir bool, mode uint32) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case err != nil:
		return err
	case info.IsDir() != dir:
		return errors.New("it is no " + map[bool]string{true: "folder", false: "file"}[dir])
	}
	return syscall.Access(path, mode)
}

func makeFolder(dir string) string {
	return fmt.Sprintf("mkdir -p %[1]s && chmod u+rwx %[1]s", shell(dir))
}

// listen takes the address for a moment, as a run would.
func (c *checker) listen(ctx context.Context) []Finding {
	a := about{component: "listen"}
	var config net.ListenConfig
	ctx, done := c.patience(ctx)
	defer done()
	l, err := config.Listen(ctx, "tcp", c.Listen)
	switch {
	case err == nil:
		_ = l.Close() // nothing was accepted
		a.add(OK, c.Listen+" is free")
	case errors.Is(err, syscall.EADDRINUSE):
		a.taken(c.Listen, engineAt(ctx, c.Listen))
	default:
		a.add(Problem, err.Error(), "--listen 127.0.0.1:8080")
	}
	return a.findings
}

// taken: an engine that listens there may be the very one that is looked at.
func (a *about) taken(address, version string) {
	mend := "--listen " + nextPort(address)
	if version != "" {
		a.add(Warning, fmt.Sprintf("%s is taken by a running engine, version %s: a second one needs another", address, version), mend)
		return
	}
	a.add(Problem, address+" is taken by another program", mend)
}

func nextPort(address string) string {
	host, port, err := net.SplitHostPort(address)
	n, err2 := strconv.Atoi(port)
	if errors.Join(err, err2) != nil {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(host, strconv.Itoa(n%65535+1))
}

// engineAt returns the version of the engine that answers at address, "" if none does.
func engineAt(ctx context.Context, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if host == "" {
		host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/version", nil)
	if err != nil {
		return ""
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var says struct{ Name, Version string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&says); err != nil || says.Name != "millrace" {
		return ""
	}
	return says.Version
}
