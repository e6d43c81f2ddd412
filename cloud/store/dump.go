package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// versions is the migrations' own table: it is made by migrating, not by loading.
const versions = "goose_db_version"

// Schema returns the version of the schema, which a dump must be loaded into.
func (d *DB) Schema(ctx context.Context) (int64, error) {
	var v int64
	err := d.read.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versions).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v, nil
}

// Dump writes every table of one consistent moment: create is called for each, in an order in which they can be
// loaded, and gets a line with the names of the columns and then one line for each row, all as JSON arrays. Bytes
// are objects {"b": base64}.
func (d *DB) Dump(ctx context.Context, create func(table string) (io.Writer, error)) error {
	tx, err := d.read.BeginTx(ctx, &sql.TxOptions{Isolation: d.snapshot(), ReadOnly: d.postgres})
	if err != nil {
		return fmt.Errorf("begin dump: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	tables, err := d.tables(ctx, tx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		w, err := create(table)
		if err == nil {
			err = dumpTable(ctx, tx, table, w)
		}
		if err != nil {
			return fmt.Errorf("dump table %s: %w", table, err)
		}
	}
	return nil
}

// snapshot is the isolation under which all queries of a transaction see one moment; SQLite always gives that.
func (d *DB) snapshot() sql.IsolationLevel {
	if d.postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

type cell struct {
	Bytes []byte `json:"b"`
}

func dumpTable(ctx context.Context, q Querier, table string, w io.Writer) error {
	rows, err := q.QueryContext(ctx, `SELECT * FROM "`+table+`"`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	if err := enc.Encode(names); err != nil {
		return err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = cell{b}
			}
		}
		if err := enc.Encode(values); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), out.Flush())
}

// tables returns the tables, each behind those that it refers to.
func (d *DB) tables(ctx context.Context, q Querier) ([]string, error) {
	list := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
	refers := `SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`
	if d.postgres {
		list = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename`
		refers = `SELECT c.conrelid::regclass::text, c.confrelid::regclass::text FROM pg_constraint c
			JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.contype = 'f' AND n.nspname = current_schema()`
	}
	names, err := pairs(ctx, q, list)
	if err != nil {
		return nil, err
	}
	links, err := pairs(ctx, q, refers)
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for _, l := range links {
		needs[l[0]] = append(needs[l[0]], l[1])
	}
	var out []string
	var add func(name string)
	add = func(name string) {
		if name == versions || slices.Contains(out, name) {
			return
		}
		for _, n := range needs[name] {
			if n != name {
				add(n)
			}
		}
		out = append(out, name)
	}
	for _, n := range names {
		add(n[0])
	}
	return out, nil
}

// pairs reads one or two text columns.
func pairs(ctx context.Context, q Querier, query string) ([][2]string, error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	var out [][2]string
	for rows.Next() {
		var p [2]string
		into := []any{&p[0], &p[1]}
		if err := rows.Scan(into[:len(columns)]...); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// ErrNotEmpty says that a database that should be loaded holds rows already.
var ErrNotEmpty = errors.New("the database is not empty: restore into a new one")

// Load fills an empty database from a dump in one transaction: next returns table after table, and io.EOF at the
// end.
func (d *DB) Load(ctx context.Context, next func() (table string, r io.Reader, err error)) error {
	return d.Tx(ctx, func(q Querier) error {
		known, err := d.tables(ctx, q)
		if err != nil {
			return err
		}
		for _, t := range known {
			var n int
			if err := q.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM "`+t+`" LIMIT 1) x`).Scan(&n); err != nil {
				return fmt.Errorf("look into table %s: %w", t, err)
			}
			if n > 0 {
				return ErrNotEmpty
			}
		}
		for {
			table, r, err := next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil && !slices.Contains(known, table) {
				err = errors.New("this program knows no such table")
			}
			if err == nil {
				err = loadTable(ctx, q, table, r)
			}
			if err != nil {
				return fmt.Errorf("load table %s: %w", table, err)
			}
		}
	})
}

func loadTable(ctx context.Context, q Querier, table string, r io.Reader) error {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	var names []string
	if err := dec.Decode(&names); err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	marks := make([]string, len(names))
	for i, name := range names {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return fmt.Errorf("column %q is not a name", name)
		}
		names[i], marks[i] = `"`+name+`"`, fmt.Sprintf("$%d", i+1)
	}
	insert := `INSERT INTO "` + table + `" (` + strings.Join(names, ", ") + `) VALUES (` + strings.Join(marks, ", ") + `)`
	for {
		// Up to the end, where an archive's checksum is compared: Decoder.More takes any damage for the end.
		var row []any
		if err := dec.Decode(&row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		if len(row) != len(names) {
			return fmt.Errorf("a row has %d columns, want %d", len(row), len(names))
		}
		for i, v := range row {
			plain, err := uncell(v)
			if err != nil {
				return err
			}
			row[i] = plain
		}
		if _, err := q.ExecContext(ctx, insert, row...); err != nil {
			return fmt.Errorf("insert row: %w", err)
		}
	}
}

// uncell turns what JSON made of a value into what it was.
func uncell(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		var c cell
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("read bytes: %w", err)
		}
		if c.Bytes == nil {
			c.Bytes = []byte{}
		}
		return c.Bytes, nil
	default:
		return v, nil
	}
}
