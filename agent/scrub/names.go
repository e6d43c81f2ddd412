package scrub

import (
	"context"
	"errors"
	"io/fs"
	"maps"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
)

// folderSegments is how many numbers share a folder.
const folderSegments = 1 << 16

// names holds the names on the volumes against the ledger's rows, folder by folder. doubt says that a file was found that
// nobody knows, which may be one that is coming into being.
func (s *Scrubber) names(ctx context.Context) (doubt bool, err error) {
	top := s.Ledger.Newest()
	before := s.strays
	s.strays = map[disk.Found]bool{}
	var gone []ledger.Segment
	for folder := uint64(0); folder <= top/folderSegments; folder++ {
		lost, err := s.folder(ctx, folder, top)
		if err != nil {
			return false, err
		}
		gone = append(gone, lost...)
		if err := backoff.Sleep(ctx, s.cfg.Pause); err != nil {
			return false, err
		}
	}
	for f := range s.strays {
		_, s.strays[f] = before[f]
	}
	for _, sure := range maps.All(s.strays) {
		doubt = doubt || !sure
	}
	s.missing = 0
	if len(gone) > s.cfg.Most {
		s.missing = len(gone)
		s.Log.Error("files of recorded video are gone: so many that they are not declared lost", "files", len(gone))
		return doubt, nil
	}
	for _, g := range gone {
		s.Log.Error("a file of recorded video is gone: it is declared lost", "segment", g.ID, "volume", g.Volume, "camera", g.Stream.Camera, "stream", g.Stream.Kind)
	}
	return doubt, s.Ledger.Lose(ctx, gone, "The file of this video is gone from the disk.")
}

// folder looks at the segments of one folder number, on all volumes, and returns those whose file is gone.
func (s *Scrubber) folder(ctx context.Context, folder, top uint64) (gone []ledger.Segment, err error) {
	here := map[string]map[uint64]bool{} // by volume; absent when the volume is
	for _, v := range s.Disk.Volumes() {
		if v.ID == "" || v.Err != nil {
			continue
		}
		names, err := s.Disk.Folder(v.ID, folder)
		if err != nil {
			s.Log.Warn("a folder of video can't be looked through", "volume", v.ID, "folder", folder, "error", err)
			continue
		}
		set := make(map[uint64]bool, len(names))
		for _, n := range names {
			if n <= top {
				set[n] = true
			}
		}
		here[v.ID] = set
	}
	const page = 5000
	last := folder*folderSegments + folderSegments - 1
	for after := max(folder*folderSegments, 1) - 1; after < last; {
		rows, err := s.Ledger.SegmentsAfter(ctx, after, page)
		if err != nil {
			return nil, err
		}
		after = last
		for _, row := range rows {
			if row.ID > last {
				break
			}
			after = row.ID
			names, looked := here[row.Volume]
			if looked && !names[row.ID] {
				if sure, err := s.gone(ctx, row); err != nil {
					return nil, err
				} else if sure {
					gone = append(gone, row)
				}
			}
			delete(names, row.ID)
		}
		if len(rows) < page || rows[len(rows)-1].ID >= last {
			break
		}
	}
	return gone, s.unknown(ctx, here)
}

// gone looks once more at a row whose file was not among the names: it may have come or gone meanwhile.
func (s *Scrubber) gone(ctx context.Context, row ledger.Segment) (bool, error) {
	if _, err := s.Disk.Size(row.Volume, row.ID); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	now, err := s.Ledger.SegmentsAfter(ctx, row.ID-1, 1)
	return len(now) > 0 && now[0].ID == row.ID, err
}

// unknown notes what is left of the names: files that are neither closed segments nor open nor garbage.
func (s *Scrubber) unknown(ctx context.Context, left map[string]map[uint64]bool) error {
	rest := 0
	for _, names := range left {
		rest += len(names)
	}
	if rest == 0 {
		return nil
	}
	open, err := s.Ledger.OpenSegments(ctx)
	if err != nil {
		return err
	}
	for _, o := range open {
		delete(left[o.Volume], o.ID)
	}
	garbage, err := s.Ledger.Garbage(ctx)
	if err != nil {
		return err
	}
	for _, g := range garbage {
		delete(left[g.Volume], g.ID)
	}
	for volume, names := range left {
		for n := range names {
			closed, err := s.Ledger.SegmentsAfter(ctx, n-1, 1)
			if err != nil {
				return err
			}
			if len(closed) > 0 && closed[0].ID == n && closed[0].Volume == volume {
				continue // closed since the rows were read
			}
			if _, err := s.Disk.Size(volume, n); err == nil {
				s.strays[disk.Found{Volume: volume, Segment: n}] = true
			}
		}
	}
	return nil
}
