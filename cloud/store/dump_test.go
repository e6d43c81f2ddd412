package store_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"holdfast/cloud/store"
	"holdfast/testenv/db"
)

// dump returns the tables in order, and their text.
func dump(t *testing.T, d *store.DB) ([]string, map[string]*bytes.Buffer) {
	t.Helper()
	var order []string
	text := map[string]*bytes.Buffer{}
	err := d.Dump(t.Context(), func(table string) (io.Writer, error) {
		order = append(order, table)
		text[table] = &bytes.Buffer{}
		return text[table], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return order, text
}

func feed(order []string, text map[string]*bytes.Buffer) func() (string, io.Reader, error) {
	return func() (string, io.Reader, error) {
		if len(order) == 0 {
			return "", nil, io.EOF
		}
		table := order[0]
		order = order[1:]
		return table, strings.NewReader(text[table].String()), nil
	}
}

func TestDumpAndLoad(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		err := d.Tx(t.Context(), func(q store.Querier) error {
			for _, s := range []string{
				`INSERT INTO org (id, name, created_us) VALUES ('org-x', 'Näme "quoted" \ and 😀', 1795000000000001)`,
				`INSERT INTO clip (id, org, site, camera, stream, start_us, end_us, state, sha256, parts, created_us, changed_us)
					VALUES ('clip-x', 'org-x', 's', 'c', 'main', 1, 9007199254740993, 'wanted', NULL, ` + blobLiteral(d) + `, 1, 1)`,
			} {
				if _, err := q.ExecContext(t.Context(), s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		order, text := dump(t, d)
		if slices.Index(order, "org") > slices.Index(order, "site") {
			t.Fatalf("site comes before org, which it refers to: %v", order)
		}
		if err := d.Load(t.Context(), feed(order, text)); !errors.Is(err, store.ErrNotEmpty) {
			t.Fatalf("loaded over rows: %v", err)
		}
		fresh := db.SQLite(t)
		if d.Postgres() {
			fresh = db.Another(t)
		}
		if err := fresh.Load(t.Context(), feed(order, text)); err != nil {
			t.Fatal(err)
		}
		_, again := dump(t, fresh)
		for table, want := range text {
			if again[table].String() != want.String() {
				t.Errorf("table %s differs after loading:\n%s\nwant\n%s", table, again[table], want)
			}
		}
		if !strings.Contains(text["clip"].String(), "9007199254740993") || !strings.Contains(text["clip"].String(), `{"b":"AP8="}`) {
			t.Errorf("a number beyond 53 bits or bytes were lost: %s", text["clip"])
		}
	})
}

func blobLiteral(d *store.DB) string {
	if d.Postgres() {
		return `'\x00ff'::bytea`
	}
	return `x'00ff'`
}

func TestLoadRefusesForeignContent(t *testing.T) {
	for name, content := range map[string][2]string{
		"unknown table":   {"secrets", `["id"]`},
		"hostile column":  {"org", `["id) VALUES ('x'); --"]` + "\n[1]"},
		"short row":       {"org", `["id","name"]` + "\n" + `["x"]`},
		"broken JSON":     {"org", `["id"`},
		"missing columns": {"org", `["id"]` + "\n" + `["x"]`},
	} {
		d := db.SQLite(t)
		text := map[string]*bytes.Buffer{content[0]: bytes.NewBufferString(content[1])}
		if err := d.Load(t.Context(), feed([]string{content[0]}, text)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
