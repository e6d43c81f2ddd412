package record

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// forget replaces the site's ledger by one that is built from its files, and returns what that says.
func (s *site) forget() Rebuilt {
	s.t.Helper()
	return s.forgetBut("")
}

// forgetBut moves the ledger to old, and forgets all but what it says that was deleted; or everything.
func (s *site) forgetBut(old string) Rebuilt {
	s.t.Helper()
	must(s.t, s.ledger.Close())
	if old != "" {
		must(s.t, os.Rename(filepath.Join(s.dir, "ledger.db"), old))
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(s.dir, "ledger.db"+suffix)); err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
	}
	var err error
	s.ledger, err = ledger.Open(s.t.Context(), filepath.Join(s.dir, "ledger.db"), slog.New(slog.DiscardHandler))
	must(s.t, err)
	if old != "" {
		whole, err := s.ledger.SalvageGone(s.t.Context(), old)
		if err != nil || !whole {
			s.t.Errorf("what was deleted: whole %v, %v", whole, err)
		}
	}
	out, err := Rebuild(s.t.Context(), RebuildConfig{
		Key: s.key, Keys: []ed25519.PublicKey{s.key.Public().(ed25519.PublicKey)}, Streams: s.streams,
	}, s.ledger, s.disk, slog.New(slog.DiscardHandler))
	must(s.t, err)
	found, err := ledger.Examine(s.t.Context(), filepath.Join(s.dir, "ledger.db"))
	if err != nil || len(found) > 0 {
		s.t.Errorf("the rebuilt ledger: %v, %v", found, err)
	}
	return out
}

// reopen opens the site's disk as a command does.
func reopen(s *site) *disk.Disk {
	s.t.Helper()
	d, err := disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(s.dir, "video"), Create: true, Free: 1}}, State: filepath.Join(s.dir, "volumes.json"),
	}, nil, slog.New(slog.DiscardHandler))
	must(s.t, err)
	return d
}

// words tells an account in words: one for each range, to a millisecond.
func words(ranges []ledger.Range) (out []string) {
	for _, r := range ranges {
		what := "video"
		if !r.Recorded {
			what = string(r.Gap.Reason)
		}
		if r.EndUs-r.StartUs > rebuildHole {
			out = append(out, fmt.Sprint(what, " ", r.StartUs/1000, " to ", r.EndUs/1000))
		}
	}
	return out
}

// facts returns what waits for the cloud, by kind.
func (s *site) facts() map[wire.FactKind]int {
	s.t.Helper()
	out := map[wire.FactKind]int{}
	queues, err := s.ledger.Queues(s.t.Context())
	must(s.t, err)
	for _, q := range queues {
		batch, err := s.ledger.Pending(s.t.Context(), q.Queue, 0, 10_000, 1<<30)
		must(s.t, err)
		for _, f := range batch.Facts {
			out[f.Kind]++
		}
	}
	return out
}

func TestALedgerIsBuiltAnewFromTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 2)
		// When a segment ends goes by its camera's name: with these none has just begun when the agent is killed.
		s.streams[0].Camera, s.streams[1].Camera = "cam-0000000000000000000000000g", "cam-0000000000000000000000000h"
		s.cfg.Segment = 10 * time.Second
		s.start()
		a, b := newCamera(s, 0, params(false)), newCamera(s, 1, params(true))
		a.film(25 * time.Second)
		a.down(wire.Unreachable)
		b.film(10 * time.Second)
		a.attach(s, 0, params(false))
		a.film(15 * time.Second)
		s.kill()
		<-time.After(5 * time.Second)
		s.start()
		a.attach(s, 0, params(false))
		b.attach(s, 1, params(true))
		b.film(12 * time.Second)
		a.film(22*time.Second + 300*time.Millisecond)
		b.film(5 * time.Second)
		s.kill() // what is open now has no seal

		var err error
		s.ledger, err = ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), slog.New(slog.DiscardHandler))
		must(t, err)
		now := time.Now().UnixMicro()
		var before [2][]ledger.Range
		var rows []ledger.Segment
		for i, name := range s.streams {
			before[i], err = s.ledger.Coverage(t.Context(), name, 0, now)
			must(t, err)
			// What is open is in the account as far as it was flushed; in the files it goes to its last whole part.
		}
		rows, err = s.ledger.SegmentsAfter(t.Context(), 0, 1000)
		must(t, err)
		s.disk = reopen(s)
		out := s.forget()
		if out.Segments != len(rows)+2 || out.Recovered != 2 || out.Whole != len(rows) || out.Foreign != 0 || len(out.Findings) != 0 || out.Runs != 2 {
			t.Errorf("rebuilt %+v, the ledger had %d closed segments", out, len(rows))
		}
		again, err := s.ledger.SegmentsAfter(t.Context(), 0, 1000)
		must(t, err)
		for i, was := range rows {
			is := again[i]
			if is.EndUs-was.EndUs > rebuildHole || was.EndUs-is.EndUs > rebuildHole {
				t.Errorf("segment %d ends at %d, it ended at %d", is.ID, is.EndUs, was.EndUs)
			}
			is.EndUs = was.EndUs
			if is != was {
				t.Errorf("segment %+v, it was %+v", is, was)
			}
		}
		for i, name := range s.streams {
			after, err := s.ledger.Coverage(t.Context(), name, 0, now)
			must(t, err)
			compareAccounts(t, before[i], after)
		}
		facts := s.facts()
		if facts[wire.KindCoverage] != out.Segments || facts[wire.KindRun] != 2 || facts[wire.KindTrim] < 2 {
			t.Errorf("the cloud is told %v", facts)
		}
		check := func() {
			t.Helper()
			r, err := Check(t.Context(), CheckConfig{Depth: Full, Keys: []ed25519.PublicKey{s.key.Public().(ed25519.PublicKey)}}, s.ledger, s.disk, slog.New(slog.DiscardHandler))
			if err != nil || len(r.Findings) > 0 {
				t.Errorf("check: %q, %v", findings(r), err)
			}
		}
		check()
		first := words(mustRanges(s, 0, now))
		s.forget() // again: the same, from files that are all sealed now
		if second := words(mustRanges(s, 0, now)); !slices.Equal(first, second) {
			t.Errorf("a second time %q, before %q", second, first)
		}
		check()

		must(t, s.ledger.Close())
		must(t, s.disk.Close())
		s.start()
		a.attach(s, 0, params(false))
		a.film(5 * time.Second)
		s.finish()
		s.assertSealed()
		check()
		s.close()
	})
}

func mustRanges(s *site, i int, now int64) []ledger.Range {
	s.t.Helper()
	ranges, err := s.ledger.Coverage(s.t.Context(), s.streams[i], 0, now)
	must(s.t, err)
	return ranges
}

// compareAccounts checks that what was known of the past is known again, up to the last segment: the newest one goes on to
// its last whole part, and what came behind it nobody knows.
func compareAccounts(t *testing.T, before, after []ledger.Range) {
	t.Helper()
	was, is := words(before), words(after)
	for len(was) > 0 && !strings.HasPrefix(was[len(was)-1], "video") {
		was = was[:len(was)-1]
	}
	for len(is) > 0 && !strings.HasPrefix(is[len(is)-1], "video") {
		is = is[:len(is)-1]
	}
	// A gap before what was open is in no seal.
	for i := range min(len(was), len(is)) {
		if reason, rest, _ := strings.Cut(is[i], " "); reason == string(wire.Unknown) && strings.HasSuffix(was[i], rest) && !strings.HasPrefix(was[i], "video") {
			is[i] = was[i]
		}
	}
	start := func(s string) string { return strings.Join(strings.Fields(s)[:2], " ") }
	// The account before the first video is not in any file but its seal's gap.
	if len(was) == 0 || len(was) != len(is) || !slices.Equal(was[:len(was)-1], is[:len(is)-1]) || start(was[len(was)-1]) != start(is[len(is)-1]) {
		t.Errorf("the account was %q, and is %q", was, is)
	}
}

// Files with wrong names, twice there, empty or of nothing: each is dealt with, and nothing with video in it goes.
func TestRebuildOfADisorder(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, _ func(Depth, bool) Report) {
		files := s.videoFiles()
		folder := filepath.Dir(files[0])
		named := func(n int) string { return filepath.Join(folder, fmt.Sprintf("%016x.mp4", n)) }
		copyOf := func(from, to string) {
			b, err := os.ReadFile(from)
			must(s.t, err)
			must(s.t, os.WriteFile(to, b, 0o640))
		}
		copyOf(files[0], named(0x900))                                         // a copy under another number
		must(s.t, os.Rename(files[1], named(0x901)))                           // the only one, under another number
		must(s.t, os.WriteFile(named(0x902), []byte("nothing"), 0o640))        // nothing
		must(s.t, os.WriteFile(named(0x903), make([]byte, 5<<20), 0o640))      // large, and nothing that can be read
		must(s.t, os.WriteFile(filepath.Join(folder, "note.txt"), nil, 0o640)) // no segment
		flip(s.t, files[2])                                                    // damaged in the middle: its seal says what it was
		before := mustRanges(s, 0, time.Now().UnixMicro())
		out := s.forget()
		compareAccounts(s.t, before, mustRanges(s, 0, time.Now().UnixMicro()))
		for _, want := range []string{
			"nothing in it can be read as video", "it is a copy of segment 2", "it is segment 3, by what it says, and is named so", "it held no video and is removed",
		} {
			if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return strings.Contains(f.Text, want) }) {
				s.t.Errorf("findings %q, want %q", findings(out.Report), want)
			}
		}
		var names []string
		for _, path := range s.videoFiles() {
			names = append(names, filepath.Base(path))
		}
		for _, want := range []string{filepath.Base(files[1]), "0000000000000900.mp4.aside", "0000000000000903.mp4.aside", "note.txt"} {
			if !slices.Contains(names, want) {
				s.t.Errorf("%s is missing in %v", want, names)
			}
		}
		if slices.Contains(names, "0000000000000902.mp4") || s.ledger.NextSegment() <= 3 {
			s.t.Errorf("files %v", names)
		}
		if again := s.forget(); len(again.Findings) != 0 {
			s.t.Errorf("a second time %q", findings(again.Report))
		}
	})
}

// A camera whose files are all gone is unlearnt by the cloud.
func TestRebuildTellsWhatIsGone(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, _ func(Depth, bool) Report) {
		gone := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
		s.streams = append(s.streams, gone)
		s.forget()
		queues, err := s.ledger.Queues(s.t.Context())
		must(s.t, err)
		found := false
		for _, q := range queues {
			batch, err := s.ledger.Pending(s.t.Context(), q.Queue, 0, 10_000, 1<<30)
			must(s.t, err)
			for _, f := range batch.Facts {
				found = found || f.Kind == wire.KindTrim && strings.Contains(string(f.Body), string(gone.Camera)) && strings.Contains(string(f.Body), `"lost"`)
			}
		}
		if !found {
			s.t.Error("nobody tells the cloud that the camera's video is gone")
		}
	})
}

// Two volumes: what lies on either is taken in, and of what is on both the fuller one.
// TestRebuildKnowsWhatWasDeleted: what the old ledger says of it stays in the account, and is told again with its reason.
func TestRebuildKnowsWhatWasDeleted(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		ctx := s.t.Context()
		segments, err := s.ledger.Segments(ctx, s.streams[0], 0, 1<<62)
		must(s.t, err)
		s.remove(segments[1], wire.DeletedByPerson)
		from, to := segments[0].StartUs, segments[len(segments)-1].EndUs
		before, err := s.ledger.Coverage(ctx, s.streams[0], from, to)
		must(s.t, err)
		out := s.forgetBut(filepath.Join(s.dir, "old.db"))
		after, err := s.ledger.Coverage(ctx, s.streams[0], from, to)
		must(s.t, err)
		if a, b := words(before), words(after); !slices.Equal(a, b) || !strings.Contains(strings.Join(b, ", "), "deleted_by_person") {
			s.t.Errorf("the account was %q and is %q", a, b)
		}
		if out.Deleted < 9*time.Second || out.Unknown > 0 {
			s.t.Errorf("it says %+v", out)
		}
		assertFindings(s.t, check(Stat, false), true)
	})
}

func TestRebuildOverVolumes(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, _ func(Depth, bool) Report) {
		files := s.videoFiles()
		before := mustRanges(s, 0, time.Now().UnixMicro())
		must(s.t, s.disk.Close())
		var err error
		s.disk, err = disk.Open(disk.Config{
			Volumes: []disk.Volume{{Path: filepath.Join(s.dir, "video"), Create: true, Free: 1}, {Path: filepath.Join(s.dir, "second"), Create: true, Free: 1}},
			State:   filepath.Join(s.dir, "volumes.json"),
		}, nil, slog.New(slog.DiscardHandler))
		must(s.t, err)
		rel, err := filepath.Rel(filepath.Join(s.dir, "video"), files[0])
		must(s.t, err)
		folder := filepath.Join(s.dir, "second", filepath.Dir(rel))
		must(s.t, os.MkdirAll(folder, 0o750))
		to := func(i int) string { return filepath.Join(folder, filepath.Base(files[i])) }
		must(s.t, os.Rename(files[0], to(0)))
		whole, err := os.ReadFile(files[1])
		must(s.t, err)
		must(s.t, os.WriteFile(to(1), whole, 0o640))
		must(s.t, os.WriteFile(files[1], whole[:len(whole)/2], 0o640)) // the torn one comes first
		out := s.forget()
		compareAccounts(s.t, before, mustRanges(s, 0, time.Now().UnixMicro()))
		if len(out.Findings) != 1 || !strings.Contains(out.Findings[0].Text, "the segment is on volume") || out.Recovered != 0 {
			s.t.Errorf("findings %q", findings(out.Report))
		}
		if r, err := Check(s.t.Context(), CheckConfig{Depth: Full}, s.ledger, s.disk, slog.New(slog.DiscardHandler)); err != nil || len(r.Findings) > 0 {
			s.t.Errorf("check: %q, %v", findings(r), err)
		}
	})
}
