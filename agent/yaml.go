package agent

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decodeYAML decodes text into the struct that v points to and returns every fault, not only the first:
// each as "line N: path: what is wrong". Text that is not YAML has one fault and is not readable.
func decodeYAML(text []byte, v any) (faults []string, readable bool) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return []string{yaml.FormatError(err, false, true)}, false
	}
	var d yamlDecoder
	for _, doc := range file.Docs {
		if doc.Body != nil {
			d.node(doc.Body, reflect.ValueOf(v).Elem(), "")
		}
	}
	return d.faults, true
}

type yamlDecoder struct{ faults []string }

func (d *yamlDecoder) fault(n ast.Node, path, format string, args ...any) {
	if path == "" {
		path = "file"
	}
	d.faults = append(d.faults, fmt.Sprintf("line %d: %s: %s", n.GetToken().Position.Line, path, fmt.Sprintf(format, args...)))
}

func (d *yamlDecoder) node(n ast.Node, v reflect.Value, path string) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.node(n, p.Elem(), path)
		v.Set(p)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		if err := yaml.NodeToValue(n, v.Addr().Interface()); err != nil {
			d.fault(n, path, "want %s", kindInWords(v.Kind()))
		}
	}
}

func (d *yamlDecoder) text(n ast.Node, u encoding.TextUnmarshaler, path string) {
	s, ok := n.(ast.ScalarNode)
	if !ok {
		d.fault(n, path, "want one value, not a list or a group")
		return
	}
	if err := u.UnmarshalText([]byte(fmt.Sprint(s.GetValue()))); err != nil {
		d.fault(n, path, "%v", err)
	}
}

func (d *yamlDecoder) mapping(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fault(n, path, "want a group of keys")
		return
	}
	fields := map[string]reflect.Value{}
	collect(v, fields)
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		at := strings.TrimPrefix(path+"."+name, ".")
		field, known := fields[name]
		switch {
		case !known:
			d.fault(it.Key(), at, "unknown key%s", suggestion(name, fields))
		case seen[name]:
			d.fault(it.Key(), at, "is set twice")
		default:
			d.node(it.Value(), field, at)
		}
		seen[name] = true
	}
}

// collect notes the fields of a struct by their keys; those of an inlined struct are on one level with the others.
func collect(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.IsExported():
		case f.Tag.Get("yaml") == ",inline":
			collect(v.Field(i), fields)
		default:
			fields[f.Tag.Get("yaml")] = v.Field(i)
		}
	}
}

func (d *yamlDecoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(n, path, "want a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		d.node(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func kindInWords(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	default:
		return "a whole number"
	}
}

// suggestion names the known key that is nearest to a mistyped one, if one is near.
func suggestion(name string, fields map[string]reflect.Value) string {
	var names []string
	for f := range fields {
		names = append(names, f)
	}
	slices.Sort(names)
	best, distance := "", 3
	for _, f := range names {
		if n := editDistance(name, f); n < distance {
			best, distance = f, n
		}
	}
	if best == "" {
		return "; known here: " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
