package record

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/testenv/crashfs"
)

// TestTheNextVolumeTakesOver: while one disk fails at everything, recording goes on on the other one within seconds; what
// was safe on the first stays safe, and when it is well again its open files are mended.
func TestTheNextVolumeTakesOver(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"input/output errors": syscall.EIO, "read-only": syscall.EROFS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := newVictim(t, 1, 2, 2)
				var sick atomic.Bool
				v.fs.Fault = func(op crashfs.Op) error {
					reads := op.Kind == "open" || op.Kind == "read" || strings.HasSuffix(op.Kind, "stat") || op.Kind == "open-root"
					if sick.Load() && strings.HasPrefix(op.Path, "/v1") && (errors.Is(err, syscall.EIO) || !reads) {
						return err
					}
					return nil
				}
				v.mustStart()
				v.live()
				first := v.disk.Volumes()[0].ID
				v.film(10 * time.Second)
				sick.Store(true)
				began := v.clock.Now()
				v.film(10 * time.Second)
				for range 50 {
					v.film(time.Second)
					for i, s := range v.streams {
						if behind := v.clock.Now() - v.rec.Durable(s); behind > 4e6 {
							t.Errorf("stream %d: the newest safe video is %d ms old", i, behind/1000)
						}
					}
				}
				sick.Store(false)
				v.film(80 * time.Second)
				segments, err := v.ledger.SegmentsAfter(t.Context(), 0, 10_000)
				must(t, err)
				for _, seg := range segments {
					if seg.Volume == first && seg.StartUs > began && seg.StartUs < began+55e6 {
						t.Errorf("segment %d lies on the disk that was failing", seg.ID)
					}
				}
				v.end()
			})
		})
	}
}
