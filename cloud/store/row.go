package store

import (
	"database/sql"
	"errors"
	"fmt"
)

// One turns the result of a change of one row into ErrNotFound when it has met none, and into ErrConflict when it would have
// broken a unique index.
func One(r sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("change row: %w", Conflict(err))
	}
	n, err := r.RowsAffected()
	if err != nil {
		return fmt.Errorf("count changed rows: %w", err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// Found turns the error of a read of one row into ErrNotFound when there is none. doing names the deed in other errors.
func Found(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// Conflict wraps ErrConflict around the error of a statement that broke a unique index, on either engine, and returns every
// other error as it is.
func Conflict(err error) error {
	var pg interface{ SQLState() string }
	if errors.As(err, &pg) && pg.SQLState() == "23505" { // unique_violation
		return errors.Join(ErrConflict, err)
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) && (lite.Code() == 2067 || lite.Code() == 1555) { // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY
		return errors.Join(ErrConflict, err)
	}
	return err
}
