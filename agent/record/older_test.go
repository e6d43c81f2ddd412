package record

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/shared/wire"
)

// TestAVolumeRestoredFromAnImage: the ledger has gone on since the image was taken. What the volume lacks is declared
// lost, what it holds again although it was deleted is deleted, what it holds a part of is kept, and no number returns.
func TestAVolumeRestoredFromAnImage(t *testing.T) {
	t.Parallel()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.cfg.Segment = 10 * time.Second
		s.start()
		began := s.clock.Wall(0)
		c := newCamera(s, 0, params(false))
		c.film(34 * time.Second)
		s.kill()
		if err := os.CopyFS(image, os.DirFS(filepath.Join(s.dir, "video"))); err != nil {
			t.Fatal(err)
		}
		inImage := len(s.videoFiles())
		s.start()
		c.attach(s, 0, params(false))
		c.film(40 * time.Second)
		oldest, err := s.ledger.SegmentsAfter(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		must(t, s.ledger.Condemn(t.Context(), oldest, wire.DeletedByPerson))
		_, err = s.disk.Remove(oldest[0].Volume, oldest[0].ID)
		must(t, errors.Join(err, s.ledger.Buried(t.Context(), []uint64{oldest[0].ID})))
		s.finish()
		top := s.newestFile()
		s.close()
		must(t, errors.Join(os.RemoveAll(filepath.Join(s.dir, "video")), os.Rename(image, filepath.Join(s.dir, "video"))))
		s.start()
		if n := len(s.videoFiles()); n != inImage-1 {
			t.Errorf("%d files are left of %d in the image, want all but the one that had been deleted", n, inImage)
		}
		if next := s.ledger.NextSegment(); next <= top {
			t.Errorf("the next segment would be %d, and there has been a %d", next, top)
		}
		c.attach(s, 0, params(false))
		c.film(20 * time.Second)
		now := s.finish()
		reasons, recorded := s.assertAccounted(0, oldest[0].EndUs, now)
		if recorded < 30*time.Second {
			t.Errorf("recorded %v, want what the image holds and what came after", recorded)
		}
		lost := 0
		for _, r := range reasons {
			if r == wire.Lost {
				lost++
			}
		}
		if lost == 0 {
			t.Errorf("gaps %v: nothing is said to be lost", reasons)
		}
		for len(c.wallUs) > 0 && c.wallUs[0] < oldest[0].EndUs { // deleted by a person
			c.sent, c.wallUs, c.monoUs = c.sent[1:], c.wallUs[1:], c.monoUs[1:]
		}
		s.assertFrames(0, c, oldest[0].EndUs, now)
		s.assertRows(0, began, now)
		s.assertSealed()
		s.close()
	})
}

// newestFile returns the highest number of a segment on disk.
func (s *site) newestFile() (top uint64) {
	s.t.Helper()
	segments, err := s.ledger.SegmentsAfter(s.t.Context(), 0, 1000)
	must(s.t, err)
	for _, seg := range segments {
		top = max(top, seg.ID)
	}
	return top
}
