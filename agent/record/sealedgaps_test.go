package record

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// The gaps that are signed with the segments are those of the ledger: also those around a restart, which no run sees
// from its beginning to its end.
func TestSealsTellEveryGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.film(20 * time.Second)
		c.down(wire.Unreachable)
		<-time.After(10 * time.Second)
		c.attach(s, 0, params(false))
		c.film(10 * time.Second) // what is sealed after the crash tells the gap before it
		c.down(wire.Stalled)
		<-time.After(10 * time.Second)
		c.attach(s, 0, params(false))
		c.film(10 * time.Second)
		s.kill()
		<-time.After(10 * time.Second)
		s.start()
		c.attach(s, 0, params(false))
		c.film(20 * time.Second)
		now := s.finish()
		var declared, signed []wire.Reason
		for _, r := range s.account(0, began, now) {
			if !r.Recorded && r.EndUs-r.StartUs > 1000 {
				declared = append(declared, r.Gap.Reason)
			}
		}
		segments, err := s.ledger.SegmentsAfter(t.Context(), 0, 100)
		must(t, err)
		for _, seg := range segments {
			file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
			must(t, err)
			rep, err := mp4.VerifySegment(file, size)
			must(t, err)
			for _, g := range rep.Statement.Gaps {
				if g.ToUs-g.FromUs > 1000 {
					signed = append(signed, wire.Reason(g.Reason))
				}
			}
			must(t, file.Close())
		}
		if !slices.Equal(declared, signed) || !slices.Contains(signed, wire.AgentCrashed) || !slices.Contains(signed, wire.Unreachable) || !slices.Contains(signed, wire.Stalled) {
			t.Errorf("declared are the gaps %v, signed are %v", declared, signed)
		}
		s.close()
	})
}
