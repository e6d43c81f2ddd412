package retain

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// byRoom deletes the oldest video, over all cameras, on volumes that are too full.
func (s *Sweeper) byRoom(ctx context.Context) error {
	used, err := s.used(ctx)
	if err != nil {
		return err
	}
	var stuck []string
	for _, v := range s.Disk.Volumes() {
		if v.ID == "" || v.Err != nil {
			continue
		}
		need := v.Reserve - v.Free
		if v.Max > 0 {
			need = max(need, used[v.ID]-v.Max)
		}
		if need <= 0 {
			continue
		}
		freed, err := s.makeRoom(ctx, v.ID, need)
		if err != nil {
			return err
		}
		s.Log.Info("old video made room", "volume", v.ID, "megabytes", freed/1e6)
		if freed == 0 {
			stuck = append(stuck, v.Path)
		}
	}
	s.report(stuck)
	return nil
}

// makeRoom deletes segments of a volume, oldest first, until so many bytes are free.
func (s *Sweeper) makeRoom(ctx context.Context, volume string, need int64) (freed int64, err error) {
	for after := uint64(0); freed < need; {
		oldest, err := s.Ledger.SegmentsAfter(ctx, after, batch)
		if err != nil || len(oldest) == 0 {
			return freed, err
		}
		after = oldest[len(oldest)-1].ID
		var chosen []ledger.Segment
		for _, g := range oldest {
			if freed < need && g.Volume == volume && !s.Disk.Pinned(g.Stream, g.StartUs, g.EndUs) {
				chosen = append(chosen, g)
				freed += g.Bytes
			}
		}
		if err := s.remove(ctx, chosen, wire.Expired); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// used returns the bytes of video on each volume; it is only looked up where a bound asks for it.
func (s *Sweeper) used(ctx context.Context) (map[string]int64, error) {
	volumes := s.Disk.Volumes()
	if !slices.ContainsFunc(volumes, func(v disk.Status) bool { return v.Max > 0 }) {
		return nil, nil
	}
	used := map[string]int64{}
	if len(volumes) == 1 {
		n, err := s.Ledger.Bytes(ctx)
		used[volumes[0].ID] = n
		return used, err
	}
	const page = 10_000
	for after := uint64(0); ; {
		segments, err := s.Ledger.SegmentsAfter(ctx, after, page)
		if err != nil || len(segments) == 0 {
			return used, err
		}
		for _, g := range segments {
			used[g.Volume] += g.Bytes
			after = g.ID
		}
	}
}

// report sets the condition "retention": failing while a volume is too full and nothing on it may go.
func (s *Sweeper) report(stuck []string) {
	if s.Board == nil {
		return
	}
	c := health.Condition{Name: "retention", State: wire.OK}
	if len(stuck) > 0 {
		c.State, c.Reason = wire.Failing, wire.HeldFull
		c.Text = fmt.Sprintf("Room is needed on %v, and no video on it may be deleted. Delete other files there, or let less be kept free.", stuck)
	}
	s.Board.Set(c)
}

// Reclaim makes room without the ledger, for a start on a disk that is so full that the ledger can't be opened:
// on each volume that is below a sixteenth of its reserve it deletes the files with the lowest numbers until an
// eighth is free. It returns what it deleted; Forget must hear of it once the ledger is open.
func Reclaim(d *disk.Disk, log *slog.Logger) (gone []disk.Found, err error) {
	for _, v := range d.Volumes() {
		if v.ID == "" || v.Err != nil || v.Free >= v.Reserve/16 {
			continue
		}
		var files []uint64
		if err := d.Scan(0, func(f disk.Found) error {
			if f.Volume == v.ID {
				files = append(files, f.Segment)
			}
			return nil
		}); err != nil {
			return gone, fmt.Errorf("reclaim room: %w", err)
		}
		slices.Sort(files)
		free := v.Free
		for _, segment := range files[:max(len(files)-1, 0)] { // the newest may be open
			if free >= v.Reserve/8 {
				break
			}
			size, err := d.Size(v.ID, segment)
			if err != nil {
				return gone, fmt.Errorf("reclaim room: %w", err)
			}
			if _, err := d.Remove(v.ID, segment); err != nil {
				return gone, fmt.Errorf("reclaim room: %w", err)
			}
			free += size
			gone = append(gone, disk.Found{Volume: v.ID, Segment: segment})
		}
		log.Warn("the disk was full: the oldest video was deleted before the start", "volume", v.ID, "files", len(gone))
	}
	return gone, nil
}

// Forget takes segments out of the ledger whose files Reclaim has deleted.
func (s *Sweeper) Forget(ctx context.Context, gone []disk.Found) error {
	rows := make([]ledger.Segment, 0, len(gone))
	for _, f := range gone {
		rows = append(rows, ledger.Segment{ID: f.Segment, Volume: f.Volume})
	}
	if err := s.remove(ctx, rows, wire.Lost); err != nil {
		return fmt.Errorf("forget deleted video: %w", err)
	}
	return nil
}
