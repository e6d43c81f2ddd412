package record

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// declareLost takes rows out of the ledger whose files are gone or too short. A gap is declared first, so that at no
// moment nothing is known of the time; what a short file still holds is taken in again, and wins over the gap.
func (c *checker) declareLost(ctx context.Context) error {
	r := Recorder{Floors: Floors{Ledger: c.ledger, Disk: c.disk, Log: c.log}}
	for some := range slices.Chunk(c.lost, 1000) {
		gone := make([]uint64, 0, len(some))
		for _, s := range some {
			gone = append(gone, s.ID)
			gap := ledger.Gap{
				Stream: s.Stream, Run: s.Run, StartUs: s.StartUs, EndUs: s.EndUs, Reason: wire.Lost,
				Detail: "The file of this video is gone from the disk, or part of it.",
			}
			if _, err := c.ledger.BeginGap(ctx, gap); err != nil {
				return err
			}
		}
		if err := c.ledger.Condemn(ctx, some, wire.Lost); err != nil {
			return err
		}
		if err := c.ledger.Buried(ctx, gone); err != nil {
			return err
		}
		for _, s := range some {
			text := "its file is gone: it is declared lost"
			if _, err := c.disk.Size(s.Volume, s.ID); !errors.Is(err, fs.ErrNotExist) {
				text = "its file is too short: it is declared lost, and what holds of it is taken in at the next start"
				if err := r.adopt(ctx, disk.Found{Volume: s.Volume, Segment: s.ID}); err != nil {
					return err
				}
			}
			c.find(Finding{Severity: Repaired, Invariant: "I1", Segment: s.ID, Volume: s.Volume, Stream: s.Stream, Text: text})
		}
	}
	return nil
}

// compare brings the ledger and the volumes together that are older copies of themselves, as after a disk was restored
// from an image: files that had been deleted since are deleted again, and rows whose files are gone or too short are
// declared lost.
func (b *beginning) compare(ctx context.Context) error {
	for _, v := range b.Disk.Volumes() {
		if !v.Older || v.Err != nil {
			continue
		}
		b.Log.Warn("a volume is an older copy of itself: it is compared with the ledger", "volume", v.ID, "path", v.Path)
		if err := b.deleteAgain(ctx, v.ID); err != nil {
			return err
		}
		c := checker{
			CheckConfig: CheckConfig{Depth: Stat, Repair: true}, ledger: b.Ledger, disk: b.Disk, log: b.Log,
			here: map[string]bool{v.ID: true}, only: v.ID,
		}
		if err := errors.Join(c.rows(ctx), c.declareLost(ctx)); err != nil {
			return err
		}
		if err := b.Disk.Compared(v.ID); err != nil {
			b.Log.Error("it will be compared again at the next start", "volume", v.ID, "error", err)
		}
		b.Log.Warn("the volume is compared", "volume", v.ID, "segments", c.report.Segments, "lost", len(c.lost))
	}
	return nil
}

// deleteAgain removes the files of a volume that the ledger has forgotten. Numbers are never used twice: what lies below
// the next one and has no row was deleted.
func (b *beginning) deleteAgain(ctx context.Context, volume string) error {
	next := b.Ledger.NextSegment()
	known, err := b.Ledger.Known(ctx, 0)
	if err != nil {
		return err
	}
	var old []uint64
	if err := b.Disk.Scan(0, func(f disk.Found) error {
		if f.Volume == volume && !known[f.Segment] && f.Segment < next {
			old = append(old, f.Segment)
		}
		return nil
	}); err != nil {
		b.Log.Error("the volume can't be looked through", "volume", volume, "error", err)
		return nil
	}
	for some := range slices.Chunk(old, 1000) {
		if _, err := b.Disk.Remove(volume, some...); err != nil {
			b.Log.Error("files that were deleted before can't be deleted again", "volume", volume, "error", err)
		}
	}
	return nil
}
