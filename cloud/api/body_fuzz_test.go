package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"

	"holdfast/testenv/db"
)

// FuzzBody sends anything as the body of every route that takes one, as an owner: the answer is never a failure of ours.
func FuzzBody(f *testing.F) {
	w := newWorld(f, db.SQLite(f))
	who, p := w.owner(), w.place()
	ops := operations(f)
	ops = slices.DeleteFunc(ops, func(o operation) bool {
		return o.method == http.MethodGet || o.method == http.MethodDelete || o.OperationID == "signOut" || o.OperationID == "changePassword"
	})
	slices.SortFunc(ops, func(a, b operation) int { return cmp.Compare(a.OperationID, b.OperationID) })
	for i, o := range ops {
		for _, body := range templates(o.OperationID) {
			f.Add(uint8(i), body)
		}
	}
	for _, body := range hostileBodies("") {
		f.Add(uint8(0), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		w.t = t
		o := ops[int(which)%len(ops)]
		path := p.fill(strings.ReplaceAll(o.path, "{id}", idOf(o.path, p)))
		check(t, o, "a body", w.ask(who, o.method, prefix+path, body))
		if strings.Contains(w.logs.String(), "panicked") {
			t.Fatalf("%s panicked:\n%s", o.OperationID, w.logs)
		}
	})
}
