package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

const (
	maxFileLines = 600
	maxFuncLines = 60
	maxTestLines = 120 // of one test function: tables are data
)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range tree(t) {
		if s.generated {
			continue
		}
		if n := strings.Count(s.text, "\n"); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", s.path, n, maxFileLines)
		}
		limit := maxFuncLines
		if s.test {
			limit = maxTestLines
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > limit {
				t.Errorf("%s:%d: %s has %d lines, at most %d", s.path, s.line(f.Pos()), f.Name.Name, n, limit)
			}
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range tree(t) {
		if s.test || s.generated {
			continue
		}
		for _, decl := range s.file.Decls {
			for name, pos := range undocumented(decl) {
				t.Errorf("%s:%d: exported %s has no doc comment", s.path, s.line(pos), name)
			}
		}
	}
}

// undocumented returns the exported names of decl that lack a comment. A
// comment on a group speaks for its constants and variables, not for types.
func undocumented(decl ast.Decl) map[string]token.Pos {
	missing := map[string]token.Pos{}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !ofErrors(d) {
			missing[d.Name.Name] = d.Pos()
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid() && len(d.Specs) > 1 && !aliasGroup(d)) {
					missing[s.Name.Name] = s.Pos()
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					missing[s.Names[0].Name] = s.Pos()
				}
			}
		}
	}
	return missing
}

// aliasGroup reports whether d only gives other names to known types; one
// comment says why.
func aliasGroup(d *ast.GenDecl) bool {
	for _, spec := range d.Specs {
		if s, ok := spec.(*ast.TypeSpec); !ok || !s.Assign.IsValid() {
			return false
		}
	}
	return true
}

// ofErrors reports whether f is a method by which package errors knows an error;
// its name says all.
func ofErrors(f *ast.FuncDecl) bool {
	return f.Recv != nil && (f.Name.Name == "Error" || f.Name.Name == "Unwrap")
}

// exportedReceiver reports whether f is a function or a method of an exported
// type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	said := map[string]bool{}
	for _, s := range tree(t) {
		if strings.HasSuffix(s.file.Name.Name, "_test") || s.generated {
			continue
		}
		said[s.pkg] = said[s.pkg] || s.file.Doc != nil
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", strings.TrimPrefix(pkg, module+"/"))
		}
	}
}

// habits are patterns that have no place in Go files; the words are put
// together so that this file does not hold them.
var habits = []struct {
	name      string
	pattern   *regexp.Regexp
	testsOnly bool
	virtual   bool // fine in a file that runs on synctest's clock
}{
	{"a pause instead of a condition", regexp.MustCompile(`\btime\.` + `Sleep\(`), true, true},
	{"a skip without a reason", regexp.MustCompile(`\bt\.Skip(Now)?` + `\(\)`), true, false},
	{"a note for later", regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), false, false},
}

func TestHabits(t *testing.T) {
	for _, s := range tree(t) {
		if s.generated {
			continue
		}
		for _, h := range habits {
			if h.testsOnly && !s.test || h.virtual && strings.Contains(s.text, `"testing/synctest"`) {
				continue
			}
			for _, at := range h.pattern.FindAllStringIndex(s.text, -1) {
				t.Errorf("%s:%d: %s", s.path, 1+strings.Count(s.text[:at[0]], "\n"), h.name)
			}
		}
	}
}
