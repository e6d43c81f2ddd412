package ledger

import (
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// unpack puts a ledger of an older version, as its agent left it, into a folder of the test.
func unpack(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	must(t, err)
	z, err := gzip.NewReader(f)
	must(t, err)
	text, err := io.ReadAll(z)
	must(t, errors.Join(err, z.Close(), f.Close()))
	path := filepath.Join(t.TempDir(), "ledger.db")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

// shape lists what a file's schema consists of, without the layout of its text.
func shape(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", location(path))
	must(t, err)
	rows, err := db.Query(`SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema`)
	all, err := list(rows, err, func(rows *sql.Rows) (s [2]string, err error) { return s, rows.Scan(&s[0], &s[1]) })
	must(t, errors.Join(err, db.Close()))
	out := map[string]string{}
	for _, s := range all {
		var words []string
		for line := range strings.Lines(s[1]) {
			line, _, _ = strings.Cut(line, "--")
			words = append(words, strings.Fields(line)...)
		}
		out[s[0]] = strings.Join(words, " ")
	}
	return out
}

func TestALedgerOfVersion1(t *testing.T) {
	path := unpack(t, "v1.db.gz")
	ctx := t.Context()
	l := openAt(t, path)
	cam := id.Stream{Camera: "cam-0123456789abcdefghjkmnpqrs", Kind: id.Main}
	volumes, err := l.VolumeBytes(ctx)
	must(t, err)
	if volumes["v-one"] != 1000+1001+1002+77 || volumes["v-two"] != 1001+1002 || len(volumes) != 2 {
		t.Errorf("bytes of the volumes %v", volumes)
	}
	if desired, err := l.Meta(ctx, "desired"); err != nil || desired != `{"version":3,"cameras":null}` {
		t.Errorf("meta %q, %v", desired, err)
	}
	// Of six segments the first five facts with the run's are acked up to the fourth; the second segment is gone.
	mirrored, _, err := l.Told(ctx, "v-one", true, Place{}, 10)
	must(t, err)
	others, _, err := l.Told(ctx, "v-one", false, Place{}, 10)
	must(t, err)
	if len(mirrored) != 2 || mirrored[0].ID != 1 || mirrored[1].ID != 3 || len(others) != 1 || others[0].ID != 5 {
		t.Errorf("mirrored %+v, others %+v", mirrored, others)
	}
	if _, err := l.CloseSegment(ctx, Segment{ID: 7, Volume: "v-one", Stream: cam, Run: 1, StartUs: 181_000_000, EndUs: 182_000_000, Bytes: 90}, nil); err != nil {
		t.Errorf("close the segment that was open: %v", err)
	}
	must(t, l.Condemn(ctx, others, wire.Expired))
	must(t, l.Close())
	sound(t, path)

	fresh := filepath.Join(t.TempDir(), "ledger.db")
	must(t, openAt(t, fresh).Close())
	want, got := shape(t, fresh), shape(t, path)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is brought to\n%q, schema.sql says\n%q", name, got[name], text)
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d parts of the schema, want %d", len(got), len(want))
	}
}

func TestAStepThatFailsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	must(t, openAt(t, path).Close())
	db, err := sql.Open("sqlite", location(path))
	must(t, err)
	conn, err := db.Conn(t.Context())
	must(t, err)
	now := upgrades()
	if err := migrate(t.Context(), conn, schema, append(now, `CREATE TABLE half (x TEXT) STRICT; nonsense;`)); err == nil {
		t.Fatal("a broken step was taken")
	}
	good := append(now, `CREATE TABLE two (x TEXT) STRICT;`)
	for range 2 { // the second time there is nothing to do
		must(t, migrate(t.Context(), conn, schema, good))
	}
	var v, half, two int
	must(t, conn.QueryRowContext(t.Context(), `SELECT (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema WHERE name = 'half'), (SELECT count(*) FROM sqlite_schema WHERE name = 'two')`).
		Scan(&v, &half, &two))
	if v != len(good)+1 || half != 0 || two != 1 {
		t.Fatalf("version %d, half %d, two %d; want %d, 0, 1", v, half, two, len(good)+1)
	}
	must(t, errors.Join(conn.Close(), db.Close()))
}

// TestTold: a page at a time, what the cloud knows apart from what it does not, over several queues and a new epoch.
func TestTold(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	put := func(volume string) uint64 {
		n := l.NextSegment()
		_, err := l.CloseSegment(ctx, Segment{ID: n, Volume: volume, Stream: s, StartUs: int64(n) * 10, EndUs: int64(n)*10 + 5, Bytes: 1}, nil)
		must(t, err)
		return n
	}
	for range 5 {
		put("a") // 1 3 5 7 9
		put("b")
	}
	_, err := l.Pending(ctx, 1, 0, 100, 1<<20)
	must(t, err)
	must(t, l.Acked(ctx, l.Epoch(), 1, 6))
	_, err = l.OpenQueue(ctx)
	must(t, err)
	for range 3 {
		put("a") // 11 12 13, told in a queue of their own
	}
	_, err = l.Pending(ctx, 2, 0, 100, 1<<20)
	must(t, err)
	must(t, l.Acked(ctx, l.Epoch(), 2, 2))
	all := func(mirrored bool) (out []uint64) {
		at := Place{}
		for {
			page, next, err := l.Told(ctx, "a", mirrored, at, 2)
			must(t, err)
			if len(page) == 0 {
				return out
			}
			for _, g := range page {
				out = append(out, g.ID)
			}
			at = next
		}
	}
	check := func(mirrored, others []uint64) {
		t.Helper()
		if a, b := all(true), all(false); !slices.Equal(a, mirrored) || !slices.Equal(b, others) {
			t.Errorf("mirrored %v, others %v; want %v, %v", a, b, mirrored, others)
		}
	}
	check([]uint64{1, 3, 5, 11, 12}, []uint64{7, 9, 13})
	// The cloud goes on from a backup in which it knew less than what is kept here: everything is told again.
	must(t, l.write(ctx, "age", func(t *tx) error { return t.exec(`DELETE FROM outbox WHERE queue = 1 AND seq <= 4`) }))
	if _, err := l.NewEpoch(ctx); err != nil {
		t.Fatal(err)
	}
	check([]uint64{1, 3}, []uint64{5, 7, 9, 11, 12, 13})
	_, err = l.Pending(ctx, 1, 0, 100, 1<<20)
	must(t, err)
	must(t, l.Acked(ctx, l.Epoch(), 1, 6))
	_, err = l.Pending(ctx, 2, 0, 100, 1<<20)
	must(t, err)
	must(t, l.Acked(ctx, l.Epoch(), 2, 3))
	check([]uint64{1, 3, 5, 7, 9, 11, 12, 13}, nil)
}

// TestUnsentVideoIsLostNotExpired: what goes before the cloud has acked it is said to be lost, with its stream.
func TestUnsentVideoIsLostNotExpired(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	for n := uint64(1); n <= 2; n++ {
		_, err := l.CloseSegment(ctx, Segment{ID: l.NextSegment(), Volume: "v", Stream: s, StartUs: int64(n) * 100, EndUs: int64(n)*100 + 100, Bytes: 1}, nil)
		must(t, err)
	}
	_, err := l.Pending(ctx, 1, 0, 100, 1<<20)
	must(t, err)
	must(t, l.Acked(ctx, l.Epoch(), 1, 1))
	must(t, l.Condemn(ctx, []Segment{{ID: 1}, {ID: 2}}, wire.Expired))
	got := bodies[wire.TrimFact](t, l, 1, wire.KindTrim)
	want := []wire.TrimFact{
		{Stream: s, StartUs: 100, EndUs: 200, Reason: wire.Expired}, {Stream: s, StartUs: 200, EndUs: 300, Reason: wire.Lost},
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
}

// TestAClipIsLostWithItsVideo: in one transaction, told in the urgent queue, and it stays lost.
func TestAClipIsLostWithItsVideo(t *testing.T) {
	l := open(t)
	ctx, s := t.Context(), newStream()
	_, err := l.CloseSegment(ctx, Segment{ID: l.NextSegment(), Volume: "v", Stream: s, StartUs: 100, EndUs: 200, Bytes: 1}, nil)
	must(t, err)
	order := wire.ClipOrder{Clip: id.New[id.Clip](), Camera: s.Camera, Stream: s.Kind, StartUs: 120, EndUs: 150}
	_, err = l.PutClip(ctx, order)
	must(t, err)
	clips, err := l.Clips(ctx, wire.ClipWanted)
	must(t, err)
	must(t, l.Sacrifice(ctx, []Segment{{ID: 1}}, wire.Expired, clips, "The disk was full."))
	told := bodies[wire.ClipFact](t, l, urgentQueue, wire.KindClip)
	if len(told) != 1 || told[0].Clip != order.Clip || told[0].State != wire.ClipLost || told[0].Reason != "The disk was full." {
		t.Errorf("told %+v", told)
	}
	clips[0].State = wire.ClipQueued
	if err := l.SetClip(ctx, clips[0], true); !errors.Is(err, ErrNotFound) {
		t.Errorf("SetClip of a lost clip = %v, want ErrNotFound", err)
	}
	if left, err := l.Clips(context.Background(), wire.ClipLost); err != nil || len(left) != 1 {
		t.Errorf("lost clips %+v, %v", left, err)
	}
}
