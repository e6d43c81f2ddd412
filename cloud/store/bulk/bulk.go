// Package bulk writes many rows with few statements, in SQL that both engines understand, and reads answers.
//
// It splits the rows into chunks that are small enough for the engines' limits on parameters and for a quick
// parse, and keeps their order. It knows no table, and it opens no transaction: the caller's Querier does.
package bulk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/cloud/store"
)

// So many parameters go into one statement: SQLite looks numbered ones up one by one, so the time for a row grows with
// their number.
const (
	parameters = 200
	unnumbered = 1000
)

// Collect scans every row of an answer and closes it; what names the rows in an error. No rows are an empty
// slice, not nil.
func Collect[T any](rows *sql.Rows, err error, what string, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	out := []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read one of %s: %w", what, err), rows.Close())
		}
		out = append(out, one)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return out, nil
}

// Rows is a list of rows of one width, as a flat list of arguments.
type Rows struct {
	width int
	args  []any
}

// New returns an empty list of rows of width columns, with room for size rows.
func New(width, size int) *Rows { return &Rows{width: width, args: make([]any, 0, width*size)} }

// Add appends one row; it panics if the row has another width, which is a fault of the program.
func (r *Rows) Add(columns ...any) {
	if len(columns) != r.width {
		panic(fmt.Sprintf("bulk: a row of %d columns in a list of %d", len(columns), r.width))
	}
	r.args = append(r.args, columns...)
}

// Len returns the number of rows.
func (r *Rows) Len() int { return len(r.args) / r.width }

// Exec runs head + " VALUES ($1, ...), (...) " + tail for all rows, chunk by chunk.
func (r *Rows) Exec(ctx context.Context, q store.Querier, head, tail string) error {
	return r.each(ctx, q, head, tail, func(s statement, args []any) error {
		_, err := s.exec(ctx, args)
		return err
	})
}

// Strings runs the same statement, whose tail returns one text column, and collects that column.
func (r *Rows) Strings(ctx context.Context, q store.Querier, head, tail string) ([]string, error) {
	out := make([]string, 0, r.Len())
	err := r.each(ctx, q, head, tail, func(s statement, args []any) error {
		rows, err := s.query(ctx, args)
		part, err := Collect(rows, err, "written rows", func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
		out = append(out, part...)
		return err
	})
	return out, err
}

// each calls fn for each chunk with its statement; full chunks share one that is parsed once.
func (r *Rows) each(ctx context.Context, q store.Querier, head, tail string, fn func(s statement, args []any) error) error {
	size := max(parameters/r.width, 1)
	text := func(rows int) string { return head + Placeholders(rows, r.width, nil) + tail }
	if _, ok := q.(interface{ Unnumbered() }); ok && !strings.Contains(head+tail, "$") {
		size = max(unnumbered/r.width, 1)
		row := "(?" + strings.Repeat(", ?", r.width-1) + ")"
		text = func(rows int) string { return head + " VALUES " + row + strings.Repeat(", "+row, rows-1) + " " + tail }
	}
	args := r.args
	if full := len(args) / r.width / size; full > 1 {
		s, err := prepare(ctx, q, text(size))
		if err != nil {
			return err
		}
		for range full {
			if err := fn(s, args[:size*r.width]); err != nil {
				return errors.Join(err, s.close())
			}
			args = args[size*r.width:]
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	for len(args) > 0 {
		n := min(size*r.width, len(args))
		if err := fn(statement{q: q, text: text(n / r.width)}, args[:n]); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// statement is a text, or what a transaction has prepared of it.
type statement struct {
	q    store.Querier
	text string
	stmt *sql.Stmt
}

// prepare parses text once, if q can.
func prepare(ctx context.Context, q store.Querier, text string) (statement, error) {
	s := statement{q: q, text: text}
	if p, ok := q.(interface {
		PrepareContext(context.Context, string) (*sql.Stmt, error)
	}); ok {
		stmt, err := p.PrepareContext(ctx, text)
		if err != nil {
			return s, fmt.Errorf("prepare statement: %w", err)
		}
		s.stmt = stmt
	}
	return s, nil
}

func (s statement) exec(ctx context.Context, args []any) (sql.Result, error) {
	if s.stmt != nil {
		return s.stmt.ExecContext(ctx, args...)
	}
	return s.q.ExecContext(ctx, s.text, args...)
}

func (s statement) query(ctx context.Context, args []any) (*sql.Rows, error) {
	if s.stmt != nil {
		return s.stmt.QueryContext(ctx, args...)
	}
	return s.q.QueryContext(ctx, s.text, args...)
}

func (s statement) close() error {
	if s.stmt == nil {
		return nil
	}
	return s.stmt.Close()
}

// Placeholders returns " VALUES ($1, $2), ($3, $4) " for that many rows of that many columns. types, if not
// nil, names the type of each column, for places where PostgreSQL can't infer it.
func Placeholders(rows, width int, types []string) string {
	var b strings.Builder
	b.Grow(rows * width * 8)
	b.WriteString(" VALUES ")
	n := 0
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j := range width {
			if j > 0 {
				b.WriteString(", ")
			}
			n++
			if types != nil && i == 0 {
				b.WriteString("CAST($" + strconv.Itoa(n) + " AS " + types[j] + ")")
				continue
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	b.WriteByte(' ')
	return b.String()
}
