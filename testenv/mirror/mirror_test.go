package mirror

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/store"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

func TestNothingDiffers(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		r.connect()
		if n := r.round(); n != 0 {
			t.Errorf("%d restatements, although nothing was lost: %+v", n, r.restated)
		}
		r.equal()
		asked := r.asked
		if n := r.round(); n != 0 || r.asked != asked {
			t.Errorf("a second round on the same day: %d restatements, %d bytes", n, r.asked-asked)
		}
	})
}

// TestTheCloudIsMended: whatever is deleted, changed or added in the cloud's database, a round brings it back to what the
// site holds, and the round after finds nothing.
func TestTheCloudIsMended(t *testing.T) {
	day := today() - 2
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		r.connect()
		main := []any{r.camera, day * wire.DayUs, (day + 1) * wire.DayUs}
		for _, c := range []struct {
			name, statement string
			args            []any
		}{
			{"coverage deleted", `DELETE FROM span WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"coverage shortened", `UPDATE span SET end_us = end_us - 5000000 WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"coverage of another origin", `UPDATE span SET origin = 'nvr' WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"coverage gone", `UPDATE span SET gone = 'expired' WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"coverage made up", `INSERT INTO span (org, camera, stream, start_us, end_us) VALUES ($1, $2, 'main', $3, $4)`, []any{r.ref.Org, r.camera, day*wire.DayUs + 10*hour, day*wire.DayUs + 11*hour}},
			{"gaps deleted", `DELETE FROM gap WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"gaps reworded", `UPDATE gap SET reason = 'lost' WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"gaps that last", `UPDATE gap SET end_us = 9223372036854775807 WHERE camera = $1 AND start_us >= $2 AND start_us < $3`, main},
			{"a gap of a former ledger", `INSERT INTO gap (org, camera, stream, agent, epoch, id, run, start_us, end_us, reason, detail, queue, seq)
				VALUES ($1, $2, 'main', 'agt', 'OLD', 1, 1, $3, $4, 'lost', '', 1, 1)`, []any{r.ref.Org, r.camera, day*wire.DayUs + hour, day*wire.DayUs + 2*hour}},
			{"events deleted", `DELETE FROM event WHERE site = $1 AND at_us >= $2 AND at_us < $3`, []any{r.ref.Site, day * wire.DayUs, (day + 1) * wire.DayUs}},
			{"events reworded", `UPDATE event SET text = 'x', end_us = at_us + 1 WHERE site = $1 AND at_us >= $2 AND at_us < $3`, []any{r.ref.Site, day * wire.DayUs, (day + 1) * wire.DayUs}},
		} {
			r.exec(c.statement, c.args...)
			r.forget()
			if r.round() == 0 {
				t.Errorf("%s: not noticed", c.name)
			}
			r.equal()
			r.forget()
			if n := r.round(); n != 0 {
				t.Errorf("%s: %d restatements in the round after", c.name, n)
			}
		}
	})
}

// TestLostTrims: what the site has deleted, and whose fact was lost, is not shown as recorded for ever: before the site's
// oldest video it is expired, and after it lost.
func TestLostTrims(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		r.connect()
		first, late := (today()-days)*wire.DayUs-7*wire.DayUs, (today()-1)*wire.DayUs+15*hour
		for _, at := range []int64{first, late} {
			r.exec(`INSERT INTO span (org, camera, stream, start_us, end_us) VALUES ($1, $2, 'main', $3, $4)`, r.ref.Org, r.camera, at, at+hour)
		}
		r.round()
		r.equal()
		for at, want := range map[int64]wire.Reason{first: wire.Expired, late: wire.Lost} {
			list, err := coverage.Coverage(t.Context(), d.Read(), r.ref.Scope(), r.camera, id.Main, at, at+hour)
			if err != nil || len(list) != 1 || list[0].Recorded || list[0].Gap.Reason != want {
				t.Errorf("want %s, got %+v, %v", want, list, err)
			}
		}
	})
}

// TestFactsThatOvertake: retention deletes, and an open gap ends, while a restatement is on its way.
func TestFactsThatOvertake(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		day := today() - 1
		last := r.record(id.Main, day*wire.DayUs+20*hour, 3)
		lasting := r.gap(id.Sub, day*wire.DayUs+20*hour, 0, wire.Unreachable)
		r.connect()
		r.exec(`DELETE FROM span WHERE camera = $1`, r.camera)
		r.exec(`DELETE FROM gap WHERE camera = $1`, r.camera)
		done := map[wire.FactKind]bool{}
		r.before = func(s wire.Restatement) {
			if s.Item.Day != day || done[s.Item.Kind] {
				return
			}
			done[s.Item.Kind] = true
			if s.Item.Kind == wire.KindCoverage && s.Item.Stream.Kind == id.Main {
				r.must(r.l.Condemn(context.Background(), []ledger.Segment{last}, wire.Expired))
			} else if s.Item.Kind == wire.KindGap && s.Item.Stream.Kind == id.Sub {
				r.must(r.l.EndGap(context.Background(), lasting, day*wire.DayUs+21*hour))
			} else {
				delete(done, s.Item.Kind)
			}
			r.drained()
		}
		r.round()
		if !done[wire.KindCoverage] || !done[wire.KindGap] {
			t.Fatalf("nothing overtook a restatement: %v", done)
		}
		r.drained()
		r.equal()
	})
}

// TestPoisonIsLeft: a fact that the cloud can't take is said once more, and then left until something of its day changes.
func TestPoisonIsLeft(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		other := newRig(t, d)
		other.record(id.Main, (today()-3)*wire.DayUs+hour, 1)
		other.connect()
		at := (today() - 3) * wire.DayUs
		r.event(other.camera, at+hour, "of another site's camera")
		r.connect()
		if r.parked() != 1 {
			t.Fatalf("%d facts are parked", r.parked())
		}
		for round, want := range []int{1, 0, 0} {
			if n := r.round(); n != want {
				t.Errorf("round %d: %d restatements, want %d", round, n, want)
			}
			r.must(r.l.SetMeta(t.Context(), "touched", "1"))
		}
		r.event("", at+2*hour, "another thing of that day")
		r.drained()
		if n := r.round(); n != 0 {
			t.Errorf("%d restatements after the day changed otherwise", n)
		}
		if r.parked() != 1 {
			t.Errorf("%d facts are parked", r.parked())
		}
	})
}

// TestARestoredCloud: a cloud that is put back to an old backup gets all that it lacks: the last day's facts from the
// outbox, and what the outbox no longer holds by comparing days.
func TestARestoredCloud(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.record(id.Main, (today()-days)*wire.DayUs+hour, 5)
		r.connect()
		saved := dump(t, d)
		r.fill()
		r.drained()
		for { // the outbox forgets, as it does after a day
			n, err := r.l.Purge(t.Context(), time.Now().Add(time.Hour))
			r.must(err)
			if n == 0 {
				break
			}
		}
		r.event(r.camera, (today()-1)*wire.DayUs, "not yet forgotten")
		r.drained()
		r.box.Closed()
		again := db.SQLite(t)
		if d.Postgres() {
			again = db.Another(t)
		}
		restore(t, again, saved)
		r.over(again)
		r.exec(`UPDATE mark SET moved_us = moved_us - 90000000000`) // it is old: nothing that was acked then is kept any more
		r.connect()
		r.round()
		r.equal()
	})
}

// TestACopyIsFenced: a copy of the agent's ledger that speaks in turn with the original does not get to say what the site
// holds, for it does not know what the other has recorded.
func TestACopyIsFenced(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.record(id.Main, (today()-days)*wire.DayUs+hour, 5)
		r.connect()
		path := filepath.Join(t.TempDir(), "copy.db")
		snapshot(t, r.path, path)
		r.fill()
		r.drained()
		r.box.Closed()
		copied := &rig{t: t, d: d, in: r.in, ref: r.ref, path: path, camera: r.camera}
		copied.l, copied.box = r.open(path)
		copied.connect() // it has facts of its own number: a new epoch begins
		copied.event(r.camera, (today()-1)*wire.DayUs, "of the copy")
		copied.drained()
		if copied.l.Epoch() == r.l.Epoch() {
			t.Fatal("the copy speaks as the original")
		}
		var refusal *wire.Refusal
		if err := copied.box.Compare(t.Context()); !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
			t.Errorf("the copy compares days: %v", err)
		}
		err := func() error {
			_, err := r.in.Restate(t.Context(), r.ref, wire.Restatement{
				Epoch: copied.l.Epoch(), Seq: 1, FromUs: (today() - 2) * wire.DayUs, ToUs: (today() - 1) * wire.DayUs,
				Item: wire.DayItem{Day: today() - 2, Stream: id.Stream{Camera: r.camera, Kind: id.Main}, Kind: wire.KindCoverage},
			})
			return err
		}()
		if !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
			t.Errorf("the copy takes the site's coverage away: %v", err)
		}
		// A day after one of them has fallen silent the other is heard.
		r.exec(`UPDATE mark SET moved_us = moved_us - 90000000000 WHERE epoch = $1`, copied.l.Epoch())
		r.connect()
		r.round()
		for day := today() - days; day < today(); day++ {
			own, err := r.l.DayItems(t.Context(), day)
			r.must(err)
			for _, it := range own {
				if it.Kind == wire.KindCoverage && !r.holds(it) {
					t.Errorf("the cloud does not hold %+v", it)
				}
			}
		}
	})
}

// TestARestatementCountsOnce: one that comes again, or after a later one, changes nothing.
func TestARestatementCountsOnce(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		r := newRig(t, d)
		r.fill()
		r.connect()
		day := today() - 2
		item := wire.DayItem{Day: day, Stream: id.Stream{Camera: r.camera, Kind: id.Main}, Kind: wire.KindCoverage}
		empty := wire.Restatement{Epoch: r.l.Epoch(), Seq: 7, Item: item, FromUs: day * wire.DayUs, ToUs: (day + 1) * wire.DayUs}
		facts, err := r.l.DayFacts(t.Context(), item)
		r.must(err)
		whole := empty
		whole.Ranges, whole.Seq = facts.Ranges, 8
		for _, s := range []wire.Restatement{empty, whole, empty, whole} {
			got, err := r.in.Restate(t.Context(), r.ref, s)
			if r.must(err); got.Seq < s.Seq || got.Seq > 8 {
				t.Errorf("answer %+v to %d", got, s.Seq)
			}
		}
		r.equal()
		list, err := marks.List(t.Context(), d.Read(), r.ref.Scope(), r.ref.Agent, r.l.Epoch())
		r.must(err)
		for _, m := range list {
			if m.Queue < 0 {
				t.Errorf("the ledger is told of a queue that it does not have: %+v", m)
			}
		}
	})
}

// dump copies a database into memory.
func dump(t *testing.T, d *store.DB) (tables []table) {
	t.Helper()
	var at []*bytes.Buffer
	err := d.Dump(t.Context(), func(name string) (io.Writer, error) {
		at = append(at, &bytes.Buffer{})
		tables = append(tables, table{name: name})
		return at[len(at)-1], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		tables[i].rows = at[i].Bytes()
	}
	return tables
}

type table struct {
	name string
	rows []byte
}

func restore(t *testing.T, d *store.DB, tables []table) {
	t.Helper()
	err := d.Load(t.Context(), func() (string, io.Reader, error) {
		if len(tables) == 0 {
			return "", nil, io.EOF
		}
		next := tables[0]
		tables = tables[1:]
		return next.name, bytes.NewReader(next.rows), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot copies a ledger that is in use, with what its journal holds.
func snapshot(t *testing.T, from, to string) {
	t.Helper()
	for _, tail := range []string{"", "-wal"} {
		raw, err := os.ReadFile(from + tail)
		if err == nil {
			err = os.WriteFile(to+tail, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
