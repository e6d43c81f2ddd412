package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

type operation struct {
	OperationID string                    `json:"operationId"`
	Summary     string                    `json:"summary"`
	Responses   map[string]responseOfSpec `json:"responses"`
	Security    []map[string][]string     `json:"security"`
	Parameters  []parameter               `json:"parameters"`
	method      string
	path        string
}

type responseOfSpec struct {
	Description string                     `json:"description"`
	Content     map[string]json.RawMessage `json:"content"`
}

type parameter struct {
	Name string `json:"name"`
	In   string `json:"in"`
}

func operations(t testing.TB) (list []operation) {
	t.Helper()
	raw, err := Spec()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			op.method, op.path = strings.ToUpper(method), path
			list = append(list, op)
		}
	}
	return list
}

func TestSpecIsCompleteAndStable(t *testing.T) {
	first, err := Spec()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again, err := Spec(); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("the document differs from one call to the next, or %v", err)
		}
	}
	var doc struct {
		OpenAPI    string                       `json:"openapi"`
		Info       map[string]string            `json:"info"`
		Servers    []map[string]string          `json:"servers"`
		Components map[string]map[string]any    `json:"components"`
		Paths      map[string]map[string]any    `json:"paths"`
		Rest       map[string]map[string]string `json:"webhooks"`
	}
	if err := json.Unmarshal(first, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Info["title"] != "Holdfast" || len(doc.Servers) != 1 || doc.Servers[0]["url"] != prefix {
		t.Errorf("openapi %q, info %v, servers %v", doc.OpenAPI, doc.Info, doc.Servers)
	}
	for _, ref := range refs(string(first)) {
		kind, name, _ := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
		if _, ok := doc.Components[kind][name]; !ok {
			t.Errorf("%s points to nothing", ref)
		}
	}
	for _, name := range []string{"Change", "Site", "Camera", "Me", "ErrorModel"} {
		if _, ok := doc.Components["schemas"][name]; !ok {
			t.Errorf("there is no schema %s", name)
		}
	}
}

func refs(doc string) (list []string) {
	for _, part := range strings.Split(doc, `"$ref": "`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		list = append(list, ref)
	}
	return list
}

func TestEveryOperationIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range operations(t) {
		what := op.method + " " + op.path
		if op.OperationID == "" || seen[op.OperationID] || op.Summary == "" {
			t.Errorf("%s: operation ID %q is empty or not unique, or the summary %q is empty", what, op.OperationID, op.Summary)
		}
		seen[op.OperationID] = true
		success := false
		for status, r := range op.Responses {
			success = success || status[0] == '2' || status == "101" // a WebSocket
			if r.Description == "" {
				t.Errorf("%s: response %s has no description", what, status)
			}
			if _, ok := r.Content["application/problem+json"]; status[0] >= '4' && !ok {
				t.Errorf("%s: response %s is no problem document", what, status)
			}
		}
		if !success {
			t.Errorf("%s: no response of success", what)
		}
		must := []string{"422", "429", "500"}
		if op.Security != nil {
			must = append(must, "401", "403")
		}
		if strings.Contains(op.path, "{") {
			must = append(must, "404")
		}
		for _, status := range must {
			if _, ok := op.Responses[status]; !ok {
				t.Errorf("%s: response %s is not described", what, status)
			}
		}
		for _, p := range op.Parameters {
			if p.In == "path" && !strings.Contains(op.path, "{"+p.Name+"}") {
				t.Errorf("%s: parameter %s is not in the path", what, p.Name)
			}
		}
	}
}

func TestSpecIsServed(t *testing.T) {
	w := sqliteWorld(t)
	got := w.ask(actor{}, http.MethodGet, prefix+"/openapi.json", "")
	want, err := Spec()
	if err != nil || got.status != 200 || got.body != string(want) || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("GET /openapi.json: %d, %d bytes, %v; want Spec's %d bytes", got.status, len(got.body), err, len(want))
	}
}

// TestEveryAnswerIsDescribed checks the statuses of the table against the document.
func TestEveryAnswerIsDescribed(t *testing.T) {
	described := map[string]map[string]responseOfSpec{}
	for _, op := range operations(t) {
		described[op.method+" "+shape(op.path)] = op.Responses
	}
	for _, row := range table() {
		for i, status := range row.want {
			if _, ok := described[row.method+" "+shape(row.path)][http.StatusText(status)]; ok {
				continue
			}
			if _, ok := described[row.method+" "+shape(row.path)][itoa(status)]; !ok {
				t.Errorf("%s %s answers %d (%s), which the document does not say", row.method, row.path, status, columns()[i])
			}
		}
	}
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}
