package pluginhost

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Where the SDK for Python is, below the folder of sources.
const pythonSDK = "sdk/python/millrace"

// python is the interpreter of Debian's packages.
const python = "/usr/bin/python3"

// buildPython packs name's folder and the SDK into one file that Python runs as it
// is: a line that names the interpreter, then a zip archive. The same sources give
// the same bytes.
func (h *Host) buildPython(ctx context.Context, name, program string) error {
	interpreter, err := findPython(ctx)
	if err != nil {
		return err
	}
	files, err := pythonFiles(h.cfg.SourceDir, name)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(program, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	err = errors.Join(pack(out, "#!"+interpreter+" -I\n", files), out.Close())
	if err != nil {
		return fmt.Errorf("packing it from %s: %w", filepath.Join(h.cfg.SourceDir, name), err)
	}
	return nil
}

// findPython returns the first interpreter that has grpcio: that of PATH, which may
// be a virtual environment's, then Debian's.
func findPython(ctx context.Context) (string, error) {
	var tried []string
	for _, program := range []string{"python3", python} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		ask := "import importlib.util, sys; sys.exit(importlib.util.find_spec('grpc') is None)"
		if exec.CommandContext(ctx, path, "-I", "-c", ask).Run() == nil {
			return path, nil
		}
		tried = append(tried, path)
	}
	if len(tried) == 0 {
		return "", errors.New("there is no Python 3; on Debian install python3-grpcio")
	}
	return "", fmt.Errorf("%s has no grpcio; on Debian install python3-grpcio", strings.Join(tried, " and "))
}

// packed is a file of the archive.
type packed struct{ name, path string }

// pythonFiles returns the plugin's modules but for tests, its main.py as the
// archive's main program, and the SDK.
func pythonFiles(source, name string) ([]packed, error) {
	files, err := modules(filepath.Join(source, name), "")
	if err != nil {
		return nil, err
	}
	for i := range files {
		if files[i].name == "main.py" {
			files[i].name = "__main__.py"
		}
	}
	sdk, err := modules(filepath.Join(source, filepath.FromSlash(pythonSDK)), "millrace/")
	if err != nil {
		return nil, fmt.Errorf("the SDK for Python: %w", err)
	}
	return append(files, sdk...), nil
}

// modules returns the Python files below dir, tests excepted, in order.
func modules(dir, prefix string) ([]packed, error) {
	var files []packed
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !pythonLanguage().partOf(path) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, packed{prefix + filepath.ToSlash(rel), path})
		return err
	})
	return files, err
}

// pack writes the first line and the archive. Nothing is compressed: a start would
// pay for it each time.
func pack(out *os.File, first string, files []packed) error {
	if _, err := out.WriteString(first); err != nil {
		return err
	}
	archive := zip.NewWriter(out)
	archive.SetOffset(int64(len(first)))
	for _, f := range files {
		text, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		w, err := archive.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store, Modified: packedAt})
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return archive.Close()
}

// packedAt is every packed file's time: the first that an archive can hold.
var packedAt = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
