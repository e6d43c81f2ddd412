package record

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// checked is a site with a minute and a half of video in several segments, stopped.
func checked(t *testing.T, test func(s *site, check func(Depth, bool) Report)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.Segment = 10 * time.Second
		s.start()
		c := newCamera(s, 0, params(false))
		c.film(40 * time.Second)
		c.down(wire.Unreachable)
		<-time.After(20 * time.Second)
		c.film(30 * time.Second)
		s.finish()
		test(s, func(depth Depth, repair bool) Report {
			r, err := Check(t.Context(), CheckConfig{
				Depth: depth, Repair: repair, Keys: []ed25519.PublicKey{s.key.Public().(ed25519.PublicKey)},
			}, s.ledger, s.disk, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
		s.close()
	})
}

func findings(r Report) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.String())
	}
	return out
}

// assertFindings checks that there is one finding for each of the words, and no other.
func assertFindings(t *testing.T, r Report, ok bool, words ...string) {
	t.Helper()
	if r.OK() != ok || len(r.Findings) != len(words) {
		t.Errorf("OK %v, findings %q, want %v and %q", r.OK(), findings(r), ok, words)
		return
	}
	for i, w := range words {
		if !strings.Contains(r.Findings[i].String(), w) {
			t.Errorf("finding %q, want %q in it", r.Findings[i], w)
		}
	}
}

func TestASoundSiteHasNoFindings(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		for _, depth := range []Depth{Quick, Stat, Full} {
			r := check(depth, false)
			assertFindings(s.t, r, true)
			if r.Segments < 6 || r.Bytes == 0 || r.Recorded < 69*time.Second || r.Gaps < 19*time.Second {
				s.t.Errorf("report %+v", r)
			}
		}
	})
}

func TestWhatCheckFindsAndMends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm     func(s *site, file string)
		depth    Depth
		found    []string
		repaired []string
		after    []string
	}{
		"a file that is gone": {
			func(s *site, file string) { must(s.t, os.Remove(file)) },
			Quick,
			[]string{"its file is gone"},
			[]string{"its file is gone: it is declared lost"},
			nil,
		},
		"a file that is longer": {
			func(s *site, file string) { appendTo(s.t, file, make([]byte, 77)) },
			Stat,
			[]string{"bytes, the ledger says"},
			[]string{"is cut to"},
			nil,
		},
		"a file that is shorter": {
			func(s *site, file string) { must(s.t, os.Truncate(file, 1000)) },
			Stat,
			[]string{"has 1000 bytes"},
			[]string{"too short: it is declared lost"},
			nil,
		},
		"a bit that has turned": {
			func(s *site, file string) { flip(s.t, file) },
			Full,
			[]string{"its content is not what the ledger says"},
			[]string{"its content is not"},
			[]string{"its content is not"},
		},
		"an empty file that nobody knows": {
			func(s *site, file string) {
				must(s.t, os.WriteFile(filepath.Join(filepath.Dir(file), "0000000000000999.mp4"), nil, 0o640))
			},
			Quick,
			[]string{"broken I2 segment 2457"},
			[]string{"it is removed"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checked(t, func(s *site, check func(Depth, bool) Report) {
				files := s.videoFiles()
				c.harm(s, files[2])
				assertFindings(s.t, check(c.depth, false), false, c.found...)
				assertFindings(s.t, check(c.depth, true), len(c.after) == 0, c.repaired...)
				assertFindings(s.t, check(c.depth, false), len(c.after) == 0, c.after...)
			})
		})
	}
}

// What a crash leaves in the middle of a deletion is worth a note, and nobody's loss.
func TestCheckOfGarbage(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		segments, err := s.ledger.SegmentsAfter(s.t.Context(), 0, 1)
		must(s.t, err)
		must(s.t, s.ledger.Condemn(s.t.Context(), segments, wire.Expired))
		assertFindings(s.t, check(Quick, false), true, "note I2 segment 2: it was deleted, and its file waits")
		assertFindings(s.t, check(Quick, true), true, "repaired I2 segment 2: it was deleted; its file is unlinked now")
		assertFindings(s.t, check(Full, false), true)
		if _, err := os.Stat(filepath.Join(s.dir, "video", "video", "000000000000", "0000000000000002.mp4")); !os.IsNotExist(err) {
			s.t.Errorf("the file: %v", err)
		}
	})
}

func TestCheckOfAnOpenSegmentWithoutItsFile(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		at := time.Now().UnixMicro()
		open := ledger.OpenSegment{ID: s.ledger.NextSegment(), Volume: s.disk.Volumes()[0].ID, Stream: s.streams[0], Run: 1, StartUs: at}
		must(s.t, s.ledger.BeginSegment(s.t.Context(), open, nil))
		must(s.t, s.ledger.Flushed(s.t.Context(), 1, []ledger.Durable{{ID: open.ID, DurableUs: at + 2_000_000, Bytes: 5}}))
		assertFindings(s.t, check(Quick, false), false, "it was being written, and its file is gone")
		assertFindings(s.t, check(Quick, true), true, "it is declared lost")
		assertFindings(s.t, check(Quick, false), true)
		ranges, err := s.ledger.Coverage(s.t.Context(), s.streams[0], at, at+2_000_000)
		must(s.t, err)
		if len(ranges) != 1 || ranges[0].Recorded || ranges[0].Gap.Reason != wire.Lost {
			s.t.Errorf("its time is %+v", ranges)
		}
	})
}

func TestCheckSeesAForeignKey(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		_, s.key, _ = ed25519.GenerateKey(nil)
		r := check(Full, false)
		if r.OK() || !strings.Contains(findings(r)[0], "does not verify") {
			s.t.Errorf("findings %q", findings(r))
		}
	})
}

func TestCheckSeesTimeThatNobodyDeclared(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		segments, err := s.ledger.SegmentsAfter(s.t.Context(), 0, 100)
		must(s.t, err)
		last := segments[len(segments)-1]
		last.ID, last.StartUs, last.EndUs = s.ledger.NextSegment(), last.EndUs+5e6, last.EndUs+6e6
		_, err = s.ledger.CloseSegment(s.t.Context(), last, nil)
		must(s.t, err)
		open, err := s.ledger.OpenGaps(s.t.Context())
		must(s.t, err)
		for _, g := range open {
			must(s.t, s.ledger.EndGap(s.t.Context(), g.ID, g.StartUs))
		}
		r := check(Quick, false)
		if !slices.ContainsFunc(findings(r), func(f string) bool {
			return strings.Contains(f, "I7") && strings.Contains(f, "nothing is known of the 5s")
		}) {
			s.t.Errorf("findings %q", findings(r))
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, file string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	must(t, f.Close())
}

// flip turns one bit in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)/2] ^= 4
	must(t, os.WriteFile(file, b, 0o640))
}

// remove deletes a segment, as retention does.
func (s *site) remove(one ledger.Segment, reason wire.Reason) {
	s.t.Helper()
	must(s.t, s.ledger.Condemn(s.t.Context(), []ledger.Segment{one}, reason))
	_, err := s.disk.Remove(one.Volume, one.ID)
	must(s.t, err)
	must(s.t, s.ledger.Buried(s.t.Context(), []uint64{one.ID}))
}

// TestCheckCountsWhatIsDeletedApart: it is neither recorded nor a gap.
func TestCheckCountsWhatIsDeletedApart(t *testing.T) {
	t.Parallel()
	checked(t, func(s *site, check func(Depth, bool) Report) {
		before := check(Quick, false)
		segments, err := s.ledger.Segments(s.t.Context(), s.streams[0], 0, 1<<62)
		must(s.t, err)
		s.remove(segments[1], wire.Expired)
		after := check(Quick, false)
		assertFindings(s.t, after, true)
		if after.Deleted < 9*time.Second || after.Recorded+after.Deleted != before.Recorded || after.Gaps != before.Gaps || before.Deleted != 0 {
			s.t.Errorf("of %+v one segment was deleted, and it is %+v", before, after)
		}
	})
}
