package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Reclaim makes room without the ledger, for a start on a disk that is so full that the ledger can't be opened:
// on each volume that is below a sixteenth of its reserve it deletes the files with the lowest numbers until an
// eighth is free, past those that are held. It returns what it deleted; Forget must hear of it once the ledger is
// open.
func Reclaim(d *disk.Disk, holds *Holds, log *slog.Logger) (gone []disk.Found, err error) {
	for _, v := range d.Volumes() {
		if v.ID == "" || v.Err != nil || v.Free >= v.Reserve/16 {
			continue
		}
		some, err := reclaim(d, v, holds)
		gone = append(gone, some...)
		if err != nil {
			return gone, fmt.Errorf("reclaim room: %w", err)
		}
		log.Warn("the disk was full: the oldest video was deleted before the start", "volume", v.ID, "files", len(some))
	}
	return gone, nil
}

func reclaim(d *disk.Disk, v disk.Status, holds *Holds) (gone []disk.Found, err error) {
	var files []uint64
	if err := d.Scan(0, func(f disk.Found) error {
		if f.Volume == v.ID {
			files = append(files, f.Segment)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	slices.Sort(files)
	free := v.Free
	for _, segment := range files[:max(len(files)-1, 0)] { // the newest may be open
		if free >= v.Reserve/8 {
			break
		}
		if holds.some() {
			held, err := heldFile(d, v.ID, segment, holds)
			if err != nil {
				return gone, err
			}
			if held {
				continue
			}
		}
		size, err := d.Size(v.ID, segment)
		if err != nil {
			return gone, err
		}
		if _, err := d.Remove(v.ID, segment); err != nil {
			return gone, err
		}
		free += size
		gone = append(gone, disk.Found{Volume: v.ID, Segment: segment})
	}
	return gone, nil
}

// unknownLength is how long a file is taken to be that does not say where it ends.
const unknownLength = time.Hour

// heldFile asks a file itself which camera and time it holds. One that can't say is as good as held, unless it holds
// nothing at all.
func heldFile(d *disk.Disk, volume string, segment uint64, holds *Holds) (held bool, err error) {
	f, size, err := d.OpenRead(volume, segment)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	header, _, err := mp4.ReadHeader(f, size)
	if errors.Is(err, mp4.ErrFormat) {
		return size > 0, nil
	}
	if err != nil {
		return false, err
	}
	end := int64(0)
	for part, err := range mp4.Parts(f, size) {
		if err != nil {
			return false, err
		}
		end = part.Sum.EndUs
	}
	if end <= header.StartUs {
		end = header.StartUs + unknownLength.Microseconds()
	}
	return holds.Cover(id.Camera(header.Camera), header.StartUs, end), nil
}

// some says whether anything is held.
func (h *Holds) some() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.active) > 0
}

// Forget takes segments out of the ledger whose files Reclaim has deleted.
func (s *Sweeper) Forget(ctx context.Context, gone []disk.Found) error {
	rows := make([]ledger.Segment, 0, len(gone))
	for _, f := range gone {
		rows = append(rows, ledger.Segment{ID: f.Segment, Volume: f.Volume})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := s.Ledger.Condemn(ctx, rows, wire.Lost); err != nil {
		return fmt.Errorf("forget deleted video: %w", err)
	}
	return s.bury(ctx)
}
