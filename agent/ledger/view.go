package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

var errView = errors.New("the ledger is open for reading alone")

// View opens the ledger at path for reading alone, also while an agent writes it: nothing waits for a View, and it
// changes nothing. It is not checked for damage. Writes return an error; NextSegment and Epoch have no meaning.
func View(ctx context.Context, path string, log *slog.Logger) (*Ledger, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no ledger: nothing was recorded here yet: %w", err)
	} else if err != nil {
		return nil, explain("read ledger "+path, err)
	}
	l := &Ledger{path: path, log: log, appended: make(chan struct{}), history: keepHistory}
	if err := l.view(ctx); err != nil {
		return nil, errors.Join(explain("read ledger "+path, err), l.Close())
	}
	return l, nil
}

func (l *Ledger) view(ctx context.Context) (err error) {
	if l.read, err = sql.Open("sqlite", location(l.path)+readOnly); err != nil {
		return err
	}
	l.read.SetMaxOpenConns(4)
	var have, app int
	if err := l.read.QueryRowContext(ctx, `SELECT (SELECT user_version FROM pragma_user_version),
		(SELECT application_id FROM pragma_application_id)`).Scan(&have, &app); err != nil {
		return err
	}
	switch newest := 1 + len(upgrades()); {
	case app != application:
		return errors.New("this file is no ledger")
	case have > newest:
		return fmt.Errorf("it has schema version %d, this program knows %d: use the holdfast-agent that wrote it", have, newest)
	case have < newest:
		return fmt.Errorf("it has schema version %d, this program knows %d: start the agent once, which brings it up to date", have, newest)
	}
	return l.prepare(ctx)
}

// readOnly opens a file that is never changed, not even brought into write-ahead mode.
const readOnly = "?mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)"
