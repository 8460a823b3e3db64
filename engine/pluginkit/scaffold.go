package pluginkit

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/millrace/millrace/engine/pluginhost"
)

// Languages are the languages that a new plugin can be written in.
var Languages = []string{"go", "python"}

//go:embed templates
var templates embed.FS

// taken are names below plugins/ that are no plugin's, or that a Go package in
// that place cannot have.
var taken = []string{"bin", "sdk", "internal", "vendor", "testdata"}

// Scaffold makes the folder source/name with a plugin that builds, has examples
// and passes its tests. It returns the files that it wrote, relative to the
// working directory. It refuses a name that is none and a folder that is there,
// and leaves nothing behind when it fails.
func Scaffold(source, name, language string) ([]string, error) {
	if err := checkNew(source, name, language); err != nil {
		return nil, err
	}
	folder := filepath.Join(source, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%s is there already: choose another name, or remove it first", folder)
		}
		return nil, err
	}
	files, err := fill(source, name, language)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return files, nil
}

// checkNew reports everything that forbids a new plugin at once.
func checkNew(source, name, language string) error {
	var errs []error
	if err := pluginhost.CheckName(name); err != nil {
		errs = append(errs, err)
	} else if slices.Contains(taken, name) {
		errs = append(errs, fmt.Errorf("plugin %q: the name is taken; none of %s can be a plugin's", name, strings.Join(taken, ", ")))
	}
	if !slices.Contains(Languages, language) {
		errs = append(errs, fmt.Errorf("language %q: want one of %s", language, strings.Join(Languages, ", ")))
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		errs = append(errs, fmt.Errorf("there is no folder %s here: run this in the repository's folder, or say --source", source))
	}
	return errors.Join(errs...)
}

// words are what the templates say about a plugin.
type words struct {
	Name     string
	Language string
	Title    string // as the first word of a sentence
	Folder   string // from the repository's folder, with slashes
	Node     string // id of its node in the pipeline
	Pipeline string
	Schema   string // of pipeline files, seen from the pipeline
}

func wordsFor(source, name, language string) words {
	w := words{
		Name: name, Language: language, Title: strings.ToUpper(name[:1]) + name[1:],
		Folder: filepath.ToSlash(filepath.Join(source, name)),
		Node:   strings.ReplaceAll(name, "-", "_"), Pipeline: "try-" + name[:min(len(name), 50)],
		Schema: "../../schemas/pipeline.schema.json",
	}
	if slices.Contains([]string{"plant1", "readings", "live", "journal", "ingest"}, w.Node) {
		w.Node += "_plugin"
	}
	return w
}

// fill writes every template of the language, and those of all languages.
func fill(source, name, language string) ([]string, error) {
	w := wordsFor(source, name, language)
	own := "templates/" + language
	entries, err := templates.ReadDir(own)
	if err != nil {
		return nil, err
	}
	places := map[string]string{
		"templates/examples.yaml.tmpl": "examples/examples.yaml",
		"templates/pipeline.yaml.tmpl": "pipeline.yaml",
	}
	for _, entry := range entries {
		places[own+"/"+entry.Name()] = strings.TrimSuffix(entry.Name(), ".tmpl")
	}
	var files []string
	for from, to := range places {
		path := filepath.Join(source, name, filepath.FromSlash(to))
		if err := write(from, path, w); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	slices.Sort(files)
	return files, nil
}

func write(from, path string, w words) error {
	text, err := template.ParseFS(templates, from)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := text.Execute(&out, w); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
