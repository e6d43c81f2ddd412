package orgs

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"holdfast/cloud/store"
)

// Cursor returns the Page.After that continues a list, ordered by name and then ID, behind one row.
func Cursor(name, row string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(name + "\x00" + row))
}

func openCursor(s string) (name, row string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || !utf8.Valid(raw) {
		return "", "", ErrCursor
	}
	name, row, ok := strings.Cut(string(raw), "\x00")
	if !ok || strings.Contains(row, "\x00") {
		return "", "", ErrCursor
	}
	return name, row, nil
}

// Conflict wraps store.ErrConflict around the error of a statement that broke a unique index, on either
// engine, and returns every other error as it is.
func Conflict(err error) error {
	var pg interface{ SQLState() string }
	if errors.As(err, &pg) && pg.SQLState() == "23505" { // unique_violation
		return errors.Join(store.ErrConflict, err)
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) && (lite.Code() == 2067 || lite.Code() == 1555) { // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY
		return errors.Join(store.ErrConflict, err)
	}
	return err
}
