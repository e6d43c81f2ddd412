package record

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// TestFilesAreNotClosedAllAtOnce: streams that begin at one moment, at the start or after a break that hit all of them,
// end their segments at different moments ever after.
func TestFilesAreNotClosedAllAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const streams = 8
		s := newSite(t, dir, 0)
		for i := range streams {
			s.streams = append(s.streams, id.Stream{Camera: id.Camera(fmt.Sprintf("cam-%d", i)), Kind: id.Main})
		}
		s.start()
		var cameras []*actor
		for i := range streams {
			c := newCamera(s, i, params(false))
			c.gop, c.size = 25, 100
			cameras = append(cameras, c)
		}
		film := func(d time.Duration) {
			for range int(d / (200 * time.Millisecond)) {
				for _, c := range cameras {
					c.shoot()
				}
				<-time.After(200 * time.Millisecond)
			}
		}
		film(3 * time.Minute)
		back := s.clock.Now()
		for _, c := range cameras {
			c.down(wire.Unreachable)
			c.n = (c.n/c.gop + 1) * c.gop
		}
		film(4 * time.Minute)
		s.finish()
		segments, err := s.ledger.SegmentsAfter(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		closed := map[string]int{}
		for _, seg := range segments {
			if seg.EndUs > s.clock.Now()-2e6 || seg.EndUs-back < 1e6 && seg.EndUs > back-1e6 {
				continue // ended by the break, or by the stop
			}
			closed[fmt.Sprint(seg.EndUs > back, seg.EndUs/1e6)]++
		}
		for second, n := range closed {
			if n > streams/2 {
				t.Errorf("%d of %d files were closed within the second %s", n, streams, second)
			}
		}
		s.close()
	})
}
