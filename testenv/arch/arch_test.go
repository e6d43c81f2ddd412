package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "holdfast/"

// source is one parsed Go file.
type source struct {
	path string // slash path from the module's root
	dir  string
	test bool
	file *ast.File
}

func (s source) imports() []string {
	var out []string
	for _, im := range s.file.Imports {
		p, _ := strconv.Unquote(im.Path.Value)
		out = append(out, p)
	}
	return out
}

func load(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if base := d.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata" || base == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found only %d Go files: the walk is broken", len(out))
	}
	return out
}

func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func anyWithin(p string, prefixes []string) bool {
	for _, pre := range prefixes {
		if within(p, pre) {
			return true
		}
	}
	return false
}

func TestImportsFollowTheTable(t *testing.T) {
	rules := Rules()
	for _, s := range load(t) {
		var rule *Rule
		for i := range rules {
			if within(s.dir, rules[i].Place) {
				rule = &rules[i]
				break
			}
		}
		if rule == nil {
			t.Errorf("%s: no rule covers it; the top level is fixed", s.path)
			continue
		}
		if s.test {
			continue
		}
		for _, p := range s.imports() {
			inside, ok := strings.CutPrefix(p, module)
			if ok && !within(inside, rule.Place) && !anyWithin(inside, rule.May) {
				t.Errorf("%s imports %s: the table does not allow it", s.path, p)
			}
		}
	}
}

func TestHousesAreApart(t *testing.T) {
	for _, s := range load(t) {
		for _, p := range s.imports() {
			if (within(s.dir, "agent") && strings.HasPrefix(p, module+"cloud/")) ||
				(within(s.dir, "cloud") && strings.HasPrefix(p, module+"agent/")) {
				t.Errorf("%s imports %s: agent and cloud never import each other, tests included", s.path, p)
			}
		}
	}
}

func TestLibrariesStayInTheirPlaces(t *testing.T) {
	for _, s := range load(t) {
		if s.test || within(s.dir, "testenv") {
			continue
		}
		for _, p := range s.imports() {
			for _, lib := range Libraries() {
				if strings.HasPrefix(p, lib.Path) && !anyWithin(s.dir, lib.Places) {
					t.Errorf("%s imports %s, which only %v may", s.path, p, lib.Places)
				}
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	docs := map[string]string{}
	for _, s := range load(t) {
		if s.test {
			continue
		}
		if _, seen := docs[s.dir]; !seen {
			docs[s.dir] = ""
		}
		if s.file.Doc != nil {
			docs[s.dir] += s.file.Doc.Text()
		}
	}
	for dir, doc := range docs {
		if lines := strings.Count(strings.TrimSpace(doc), "\n") + 1; doc == "" || lines < 3 || lines > 40 {
			t.Errorf("%s: its package doc has %d lines, want at least 3: what it owns, promises and never does", dir, lines)
		}
	}
}

// TestNoInitNoGlobals refuses init functions and package variables that can change: errors made by
// errors.New, embedded files and compiled expressions are the exceptions.
func TestNoInitNoGlobals(t *testing.T) {
	for _, s := range load(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s: has an init function", s.path)
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					checkVar(t, s, d)
				}
			}
		}
	}
}

func checkVar(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		if v.Names[0].Name == "_" || embedded(d, v) {
			continue
		}
		for i, name := range v.Names {
			if i >= len(v.Values) || !constantCall(v.Values[i]) {
				// version is set by the linker.
				if name.Name != "version" {
					t.Errorf("%s: package variable %s can change", s.path, name.Name)
				}
			}
		}
	}
}

func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// constantCall reports whether e makes a value that nobody changes afterwards.
func constantCall(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch pkg.Name + "." + sel.Sel.Name {
	case "errors.New", "fmt.Errorf", "regexp.MustCompile", "netip.MustParsePrefix", "netip.MustParseAddr":
		return true
	}
	return false
}

func TestTopLevelIsFixed(t *testing.T) {
	allowed := map[string]bool{
		"agent": true, "cloud": true, "shared": true, "installer": true, "testenv": true,
		"go.mod": true, "go.sum": true, "README.md": true, "LICENSE": true, "Makefile": true, "dist": true,
	}
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !allowed[e.Name()] && !strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s stands at the top level", e.Name())
		}
	}
}
