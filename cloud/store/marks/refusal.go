package marks

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// Refused reports whether err is the database's word against the data itself, which no repetition heals, and
// not a trouble with the database: in PostgreSQL a data exception, a broken constraint or a limit of size
// (SQLSTATE classes 22, 23 and 54), in SQLite a broken constraint, a wrong type or a value that is too big.
func Refused(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "54")
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		const tooBig, constraint, mismatch = 18, 19, 20
		switch lite.Code() & 0xff {
		case tooBig, constraint, mismatch:
			return true
		}
	}
	return false
}
