// Package audit holds the SQL of the audit: who saw, exported and changed what, append-only, one hash chain
// per organisation.
//
// A row's hash is SHA-256 over the hash of the row before and every column of its own, each with its length, so
// that an edited, removed or inserted row breaks the chain at its place; the head row catches what is missing
// at the end. Somebody who can rewrite the whole chain and its head can still forge it: copies of the head
// kept elsewhere (see Head) answer that.
package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Row is one line of the audit.
type Row struct {
	Org        id.Org
	Seq        int64 // from 1 without a hole; set by Append
	AtUs       int64
	Person     id.Person // empty: nobody was signed in
	PersonName string
	Action     string
	Target     string // ID of what was seen or changed
	Site       id.Site
	Detail     string
	IP         string
	Prev, Hash []byte // set by Append
}

// sum returns the hash of a row over its columns and Prev.
func (r Row) sum() []byte {
	h := sha256.New()
	put := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	put(r.Prev)
	for _, s := range []string{
		string(r.Org), strconv.FormatInt(r.Seq, 10), strconv.FormatInt(r.AtUs, 10), string(r.Person), r.PersonName,
		r.Action, r.Target, string(r.Site), r.Detail, r.IP,
	} {
		put([]byte(s))
	}
	return h.Sum(nil)
}

// Append writes the next row of its organisation's chain and returns it. It must run inside a transaction: of
// two that append at once, the second waits for the first to end.
func Append(ctx context.Context, q store.Querier, r Row) (Row, error) {
	err := q.QueryRowContext(ctx, `INSERT INTO audit_head (org, seq, hash) VALUES ($1, 1, $2)
		ON CONFLICT (org) DO UPDATE SET seq = audit_head.seq + 1
		RETURNING seq, hash`, r.Org, make([]byte, sha256.Size)).Scan(&r.Seq, &r.Prev)
	if err != nil {
		return Row{}, fmt.Errorf("extend audit: %w", err)
	}
	r.Hash = r.sum()
	_, err = q.ExecContext(ctx, `INSERT INTO audit (org, seq, at_us, person, person_name, action, target, site, detail, ip, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		r.Org, r.Seq, r.AtUs, r.Person, r.PersonName, r.Action, r.Target, r.Site, r.Detail, r.IP, r.Prev, r.Hash)
	if err != nil {
		return Row{}, fmt.Errorf("write audit: %w", err)
	}
	if _, err := q.ExecContext(ctx, `UPDATE audit_head SET hash = $2 WHERE org = $1`, r.Org, r.Hash); err != nil {
		return Row{}, fmt.Errorf("extend audit: %w", err)
	}
	return r, nil
}

const columns = `org, seq, at_us, person, person_name, action, target, site, detail, ip, prev, hash`

func scan(rows *sql.Rows) (r Row, err error) {
	err = rows.Scan(&r.Org, &r.Seq, &r.AtUs, &r.Person, &r.PersonName, &r.Action, &r.Target, &r.Site, &r.Detail, &r.IP,
		&r.Prev, &r.Hash)
	return r, err
}

// List returns at most limit rows with a seq below before (0: from the newest), newest first, of one person
// if it is not empty.
func List(ctx context.Context, q store.Querier, scope store.Scope, person id.Person, before int64, limit int) (list []Row, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM audit
		WHERE ($1 = '*' OR org = $1) AND ($2 = '' OR person = $2) AND ($3 = 0 OR seq < $3)
		ORDER BY seq DESC LIMIT $4`, scope.Filter(), string(person), before, limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read audit: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Head returns the newest row's seq and hash of a chain; 0 and nil for an empty one.
func Head(ctx context.Context, q store.Querier, scope store.Scope, org id.Org) (seq int64, hash []byte, err error) {
	err = q.QueryRowContext(ctx, `SELECT seq, hash FROM audit_head WHERE ($1 = '*' OR org = $1) AND org = $2`,
		scope.Filter(), org).Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read head of audit: %w", err)
	}
	return seq, hash, nil
}

// BrokenError names the first row of a chain that is not as it was written.
type BrokenError struct {
	Seq  int64
	What string // in words
}

// Error returns "row <seq>: <what>".
func (e *BrokenError) Error() string { return fmt.Sprintf("row %d: %s", e.Seq, e.What) }

// Verify reads the whole chain of an organisation and returns nil, a *BrokenError, or why it could not read.
func Verify(ctx context.Context, q store.Querier, scope store.Scope, org id.Org) (err error) {
	headSeq, headHash, err := Head(ctx, q, scope, org) // before the rows: later ones may be newer than it
	if err != nil {
		return err
	}
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM audit WHERE ($1 = '*' OR org = $1) AND org = $2 ORDER BY seq`,
		scope.Filter(), org)
	if err != nil {
		return fmt.Errorf("read audit: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	last := Row{Hash: make([]byte, sha256.Size)}
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return fmt.Errorf("read audit: %w", err)
		}
		switch {
		case r.Seq != last.Seq+1:
			return &BrokenError{last.Seq + 1, "the row was removed"}
		case !bytes.Equal(r.Prev, last.Hash):
			return &BrokenError{r.Seq, "it does not continue the row before"}
		case !bytes.Equal(r.sum(), r.Hash):
			return &BrokenError{r.Seq, "it was changed after it was written"}
		case r.Seq == headSeq && !bytes.Equal(r.Hash, headHash):
			return &BrokenError{r.Seq, "it was replaced after it was written"}
		}
		last = r
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read audit: %w", err)
	}
	if last.Seq < headSeq {
		return &BrokenError{last.Seq + 1, "the row was removed"}
	}
	if headSeq == 0 && last.Seq > 0 {
		return headless(ctx, q, scope, org, last.Seq)
	}
	return nil
}

// headless tells a chain whose head was removed from one that began between the two reads of Verify.
func headless(ctx context.Context, q store.Querier, scope store.Scope, org id.Org, last int64) error {
	seq, _, err := Head(ctx, q, scope, org)
	if err == nil && seq == 0 {
		return &BrokenError{last, "the head of the chain was removed"}
	}
	return err
}
