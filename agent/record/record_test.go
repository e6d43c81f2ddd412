package record

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/retain"
	"holdfast/shared/wire"
)

func TestEveryMomentIsAccountedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.start()
		began := s.clock.Wall(0)
		<-time.After(3 * time.Second)
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

// TestRecordingGoesOnWhileOldVideoMakesRoom has retention delete beside the recorder on a volume that is full.
func TestRecordingGoesOnWhileOldVideoMakesRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 2)
		s.cfg.Segment, s.max = 10*time.Second, 400_000
		s.start()
		began := s.clock.Wall(0)
		holds, err := retain.OpenHolds(filepath.Join(dir, "holds.json"))
		if err != nil {
			t.Fatal(err)
		}
		sweeper, err := retain.New(retain.Config{}, holds, retain.Floors{
			Ledger: s.ledger, Disk: s.disk, Clock: s.clock, Board: s.board, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var sweeping sync.WaitGroup
		sweeping.Go(func() {
			if err := sweeper.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		cams := []*actor{newCamera(s, 0, params(false)), newCamera(s, 1, params(false))}
		for range 25 * 120 { // 10 kB a second each
			cams[0].shoot()
			cams[1].shoot()
			<-time.After(frameUs * time.Microsecond)
			if n, err := s.ledger.Bytes(t.Context()); cams[0].n%250 == 0 && (err != nil || n > 700_000) {
				t.Fatalf("%d bytes of video where 400,000 are allowed, %v", n, err)
			}
		}
		cancel()
		sweeping.Wait()
		now := s.finish()
		for i := range cams {
			stats, err := s.ledger.StreamStats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first := stats[s.streams[i]].FirstUs
			if first < began+60e6 {
				t.Errorf("the oldest video is %d s old", (now-first)/1e6)
			}
			if reasons, _ := s.assertAccounted(i, first, now); len(reasons) > 0 {
				t.Errorf("gaps %v", reasons)
			}
		}
		s.assertSealed()
		s.close()
	})
}
