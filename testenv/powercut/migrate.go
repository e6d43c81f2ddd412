package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/powercut/uml"
)

// A ledger of version 1 has a long past on a volume that is not there, so that it takes its time to bring it to the present
// version: that is the moment for a cut.
const (
	pastVolume   = "long-ago"
	pastSegments = 100_000
)

// way is where the cuts fall: about the moment at which a ledger has come to the present version.
type way struct {
	dice          *rand.Rand
	before, after int
}

// next says when to cut after a cut at a moment: a little sooner where the ledger had come to the present version by then, a
// little later where it had not.
func (w *way) next(last time.Duration, there bool) time.Duration {
	step := time.Duration(w.dice.Int64N(int64(500 * time.Millisecond)))
	if there {
		w.after++
		return max(0, last-step)
	}
	w.before++
	return last + step
}

// migrate cuts while the agent brings a ledger of version 1 to its own version. Before each start the ledger is made one of
// version 1 again.
func (s *series) migrate(ctx context.Context, n int) error {
	c := &chain{name: "migration", fs: "ext4", mount: "data=ordered", mbytes: 1024, volume: roomyVolume, older: &way{dice: s.dice}}
	c.cuts = slices.Repeat([]cut{{starting, s.within(time.Second, 3*time.Second)}}, n) // but the first by where the last one fell
	err := s.bear(ctx, c)
	s.say("migration: %d cuts fell before the ledger was of the present version, %d after", c.older.before, c.older.after)
	return err
}

// age makes the ledger on the machine's disk one of version 1, as the cut before has left it. For the last start its past is
// taken away, which no file bears out.
func (c *chain) age(ctx context.Context, m *uml.Machine, b *boot) error {
	folder := filepath.Join(c.share(), fmt.Sprintf("older-%d", b.number))
	path := filepath.Join(folder, "ledger.db")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal"} {
		err := copyFile(filepath.Join(b.before, "ledger.db"+suffix), path+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	version, err := makeOlder(ctx, path, b.number == 0, b.cut.from == "")
	if err != nil {
		return fmt.Errorf("make a ledger of version 1: %w", err)
	}
	if b.number > 0 {
		last := c.boots[b.number-1].cut
		b.cut.after = c.older.next(last.after, version > 1)
	}
	if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil { // in place of the one on the disk
		return err
	}
	for _, suffix := range []string{"", "-wal"} {
		from := uml.Host + strings.TrimPrefix(path, c.share()) + suffix
		if err := m.Call(ctx, "copy", uml.Copy{From: from, To: dataFolder + "/ledger.db" + suffix}, nil); err != nil {
			return err
		}
	}
	return os.RemoveAll(folder)
}

// makeOlder brings a ledger back to version 1 and returns the version that it had. born gives it its past, last takes it away.
func makeOlder(ctx context.Context, path string, born, last bool) (version int, err error) {
	if version, err = versionOf(ctx, path); err != nil {
		return 0, err
	}
	l, err := ledger.Open(ctx, path, slog.New(slog.DiscardHandler))
	if err != nil {
		return version, err
	}
	if born {
		err = l.Restore(ctx, ledger.Restored{Segments: past()})
	}
	if last {
		err = forget(ctx, l)
	}
	if err := errors.Join(err, l.Close()); err != nil {
		return version, err
	}
	return version, raw(path, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, `BEGIN; DROP TABLE gone; DROP INDEX segment_told; DROP TABLE volume; PRAGMA user_version = 1; COMMIT;
			PRAGMA wal_checkpoint(TRUNCATE);`)
		return err
	})
}

func versionOf(ctx context.Context, path string) (version int, err error) {
	err = raw(path, func(db *sql.DB) error { return db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version) })
	return version, err
}

func raw(path string, do func(db *sql.DB) error) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// past is what a camera recorded that is no longer there, a minute each, up to a day ago.
func past() []ledger.Segment {
	const minute = int64(time.Minute / time.Microsecond)
	stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	begin := time.Now().UnixMicro() - (pastSegments+24*60)*minute
	out := make([]ledger.Segment, pastSegments)
	for i := range out {
		at := begin + int64(i)*minute
		out[i] = ledger.Segment{ID: uint64(i + 1), Volume: pastVolume, Stream: stream, StartUs: at, EndUs: at + minute, Bytes: 1 << 20, Parts: 60}
	}
	return out
}

// forget takes the past out of a ledger.
func forget(ctx context.Context, l *ledger.Ledger) error {
	all, err := l.SegmentsAfter(ctx, 0, math.MaxInt32)
	if err != nil {
		return err
	}
	var old []ledger.Segment
	var ids []uint64
	for _, s := range all {
		if s.Volume == pastVolume {
			old, ids = append(old, s), append(ids, s.ID)
		}
	}
	if err := l.Condemn(ctx, old, wire.Expired); err != nil {
		return err
	}
	return l.Buried(ctx, ids)
}
