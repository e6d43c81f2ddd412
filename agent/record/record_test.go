package record

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
)

func TestEveryMomentIsAccountedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		time.Sleep(3 * time.Second)
		c := newCamera(s, 0, params(false))
		c.film(200 * time.Second)
		now := s.clock.Now()
		s.end()

		s.start()
		reasons, recorded := s.assertAccounted(0, began, now)
		if !slices.Equal(reasons, []wire.Reason{wire.Connecting}) {
			t.Errorf("gaps %v, want only the one before the first frame", reasons)
		}
		if recorded < 199*time.Second+900*time.Millisecond {
			t.Errorf("recorded %v of 200 s", recorded)
		}
		s.assertFrames(0, c, began, now)
		s.assertSealed()
		segments, err := s.ledger.Segments(t.Context(), s.streams[0], began, now)
		if err != nil || len(segments) < 4 {
			t.Fatalf("%d segments, %v; want at least 4 in 200 s", len(segments), err)
		}
		for i := 1; i < len(segments); i++ {
			if segments[i].StartUs != segments[i-1].EndUs {
				t.Errorf("segment %d begins %d µs after the end of the one before", i, segments[i].StartUs-segments[i-1].EndUs)
			}
		}
		s.end()
	})
}
