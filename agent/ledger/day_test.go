package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const aDay = int64(20_000)

func (l *Ledger) cachedDay(day int64) bool {
	l.w.days.mu.Lock()
	defer l.w.days.mu.Unlock()
	_, ok := l.w.days.sums[day]
	return ok
}

// TestDaySumIsKept: a day's digest is computed once, and anew after each kind of change, and after no other.
func TestDaySumIsKept(t *testing.T) {
	l := open(t)
	ctx, from := t.Context(), aDay*wire.DayUs
	stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	segment := Segment{ID: l.NextSegment(), Volume: "v", Stream: stream, StartUs: from + 1000, EndUs: from + 60_000_000, Bytes: 1, Parts: 1}
	lasting, err := l.BeginGap(ctx, Gap{Stream: stream, StartUs: from + 5, Reason: wire.Stalled})
	must(t, err)
	order := wire.ClipOrder{Clip: id.New[id.Clip](), Camera: stream.Camera, Stream: id.Main, StartUs: from + 9, EndUs: from + 99}
	_, err = l.PutClip(ctx, order)
	must(t, err)
	was, err := l.DaySum(ctx, aDay)
	must(t, err)
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"a segment", func() error { _, err := l.CloseSegment(ctx, segment, nil); return err }},
		{"an event", func() error { return l.PutEvent(ctx, sampleEvent(stream.Camera, from+7)) }},
		{"a gap", func() error {
			_, err := l.BeginGap(ctx, Gap{Stream: stream, StartUs: from + 70_000_000, EndUs: from + 80_000_000, Reason: wire.Stalled})
			return err
		}},
		{"the end of a gap", func() error { return l.EndGap(ctx, lasting, from+900) }},
		{"a clip", func() error { return l.SetClip(ctx, Clip{Order: order, State: wire.ClipQueued}, true) }},
		{"a clip that is stored", func() error { return l.DropClip(ctx, order.Clip) }},
		{"a segment that expired", func() error { return l.Condemn(ctx, []Segment{segment}, wire.Expired) }},
	} {
		must(t, change.do())
		if l.cachedDay(aDay) {
			t.Errorf("%s: the old digest is kept", change.name)
		}
		is, err := l.DaySum(ctx, aDay)
		must(t, err)
		if is.Digest == was.Digest || !l.cachedDay(aDay) {
			t.Errorf("%s: the digest is %+v as before, or not kept", change.name, is)
		}
		was = is
		must(t, l.PutEvent(ctx, sampleEvent(stream.Camera, from+3*wire.DayUs)))
		if !l.cachedDay(aDay) {
			t.Errorf("%s: an event of another day makes the digest anew", change.name)
		}
	}
}

func sampleEvent(camera id.Camera, at int64) wire.EventFact {
	return wire.EventFact{ID: id.New[id.Event](), Camera: camera, Kind: "motion", Source: "nvr", AtUs: at, Text: "Motion", Data: json.RawMessage(`{"zone":"gate"}`)}
}

// TestADayThatChangesWhileItIsRead: its digest is not kept.
func TestADayThatChangesWhileItIsRead(t *testing.T) {
	c := newDayCache()
	if _, ok := c.get(3); ok {
		t.Fatal("an empty cache knows a day")
	}
	c.touch(wire.DayItem{Day: 3})
	c.put(3, wire.Digest{Count: 1}, nil)
	if _, ok := c.get(3); ok {
		t.Error("a digest from before a change is kept")
	}
	c.put(3, wire.Digest{Count: 2}, nil)
	if d, ok := c.get(3); !ok || d.Count != 2 {
		t.Errorf("got %v, %v", d, ok)
	}
}

// TestWatch: it tells of changes of its item alone, from its beginning to its end.
func TestWatch(t *testing.T) {
	l := open(t)
	stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	k := wire.DayItem{Day: aDay, Stream: stream, Kind: wire.KindGap}
	changed := l.Watch(k)
	must(t, l.PutEvent(t.Context(), sampleEvent(stream.Camera, k.FromUs()+1)))
	if changed() {
		t.Error("an event changed the gaps")
	}
	changed = l.Watch(k)
	_, err := l.BeginGap(t.Context(), Gap{Stream: stream, StartUs: k.FromUs() + 1, Reason: wire.Stalled})
	must(t, err)
	if !changed() {
		t.Error("a gap changed nothing")
	}
}

// TestClaim: a ledger speaks of what it can know.
func TestClaim(t *testing.T) {
	l := open(t)
	today := nowUs() / wire.DayUs
	c, err := l.Claim(t.Context())
	must(t, err)
	if c.FromDay != today+1 || c.GapsDay != today+1 {
		t.Errorf("a new ledger claims %+v, today is %d", c, today)
	}
	// A rebuild finds older video on the disk.
	s := Segment{ID: l.NextSegment(), Volume: "v", Stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, StartUs: (today - 9) * wire.DayUs, EndUs: (today-9)*wire.DayUs + 1000, Bytes: 1, Parts: 1}
	_, err = l.CloseSegment(t.Context(), s, nil)
	must(t, err)
	if c, err = l.Claim(t.Context()); err != nil || c.FromDay != today-9-claimBack || c.GapsDay != today+1 {
		t.Errorf("a rebuilt ledger claims %+v, %v", c, err)
	}
	must(t, l.SetMeta(t.Context(), "created_us", fmt.Sprint((today-20)*wire.DayUs+5)))
	if c, err = l.Claim(t.Context()); err != nil || c.FromDay != today-19 || c.GapsDay != today-19 {
		t.Errorf("a ledger of twenty days ago claims %+v, %v", c, err)
	}
}

// BenchmarkDaySums: 30 days of 40 cameras with two streams each: eight gaps and 288 events a day of each camera, which
// together is about as much as a ledger keeps. One operation is the digests of all days.
func BenchmarkDaySums(b *testing.B) {
	const days = 30
	l := openAt(b, filepath.Join(b.TempDir(), "ledger.db"))
	cameras := make([]id.Camera, 40)
	for i := range cameras {
		cameras[i] = id.New[id.Camera]()
	}
	must(b, l.write(b.Context(), "fill", func(t *tx) error {
		for h := range int64(4 * days) {
			if err := fillSixHours(t, cameras, aDay*wire.DayUs+h*21_600_000_000); err != nil {
				return err
			}
		}
		return nil
	}))
	for b.Loop() {
		l.w.days.touchAll()
		for day := range int64(days) {
			sum, err := l.DaySum(b.Context(), aDay+day)
			if err != nil || sum.Count < 40*288 {
				b.Fatalf("%+v, %v", sum, err)
			}
		}
	}
	must(b, l.Close())
}

// fillSixHours writes what cameras leave behind, without the segments and without the facts for the cloud.
func fillSixHours(t *tx, cameras []id.Camera, from int64) error {
	for _, cam := range cameras {
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			stream, err := t.stream(id.Stream{Camera: cam, Kind: kind})
			if err != nil {
				return err
			}
			end := from + 21_599_000_000
			if err := t.exec(`INSERT INTO span (stream, run, origin, start_us, end_us) VALUES (?, 1, '', ?, ?)`, stream, from, end); err != nil {
				return err
			}
			if err := t.exec(`INSERT INTO gap (stream, run, start_us, end_us, reason) VALUES (?, 1, ?, ?, 'connecting')`,
				stream, end, end+1_000_000); err != nil {
				return err
			}
		}
	}
	for m := range int64(72) {
		for _, cam := range cameras {
			e := sampleEvent(cam, from+m*300_000_000)
			if err := t.exec(`INSERT INTO event (id, camera, kind, source, at_us, end_us, text, data) VALUES (?, ?, ?, ?, ?, 0, ?, ?)`,
				e.ID, e.Camera, e.Kind, e.Source, e.AtUs, e.Text, string(e.Data)); err != nil {
				return err
			}
		}
	}
	return nil
}
