package retain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

const (
	// spare is what is freed beyond the reserve, as a part of it, so that not every file asks for room again.
	spare = 20
	// refusedFiles is how many files go when the system found no room although some was measured.
	refusedFiles = 8
	// pause is how long deletion for room rests on a volume where it frees none.
	pause = 10 * time.Minute
)

// need is what a volume lacks.
type need struct {
	bytes int64 // of free space
	over  int64 // of video above the volume's limit
	names int64 // of files
}

func (n need) some() bool { return n.bytes > 0 || n.over > 0 || n.names > 0 }

// less takes what went from what is needed.
func (n *need) less(gone []ledger.Segment) {
	bytes := sum(gone)
	n.bytes, n.over, n.names = n.bytes-bytes, n.over-bytes, n.names-int64(len(gone))
}

// stuck says why no room can be made on a volume.
type stuck struct {
	path   string
	reason wire.Reason
	text   string
}

// byRoom deletes on volumes that are too full.
func (s *Sweeper) byRoom(ctx context.Context) error {
	used, err := s.Ledger.VolumeBytes(ctx)
	if err != nil {
		return err
	}
	var troubles []stuck
	for _, v := range s.Disk.Volumes() {
		if v.ID == "" || v.Err != nil {
			continue
		}
		n := s.lacking(v, used[v.ID])
		if !n.some() {
			s.Disk.Hold(v.ID, false)
			delete(s.guards, v.ID)
			continue
		}
		trouble, err := s.relieve(ctx, v, n)
		if err != nil {
			return err
		}
		if trouble != nil {
			troubles = append(troubles, *trouble)
		}
	}
	s.report(troubles)
	return nil
}

// maxOf returns the limit of a volume in force.
func (s *Sweeper) maxOf(v disk.Status) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, known := s.limits.Volumes[v.ID]; known {
		return b.Force
	}
	return v.Max
}

// lacking returns what a volume with so many bytes of video lacks.
func (s *Sweeper) lacking(v disk.Status, used int64) (n need) {
	if v.Free < v.Reserve {
		n.bytes = v.Reserve + v.Reserve/spare - v.Free
	}
	if limit := s.maxOf(v); limit > 0 {
		n.over = used - limit
	}
	n.names = v.Names
	if v.Refused && n.bytes <= 0 {
		n.names = max(n.names, refusedFiles)
	}
	return n
}

// relieve makes room on one volume; the answer says why not, when that is so.
func (s *Sweeper) relieve(ctx context.Context, v disk.Status, n need) (*stuck, error) {
	g := s.guards[v.ID]
	if g == nil {
		g = &guard{}
		s.guards[v.ID] = g
	}
	if time.Now().Before(g.until) {
		return &stuck{v.Path, wire.DiskFailed, g.text(v.Path)}, nil
	}
	freed, left, err := s.makeRoom(ctx, v, n, g)
	if err != nil {
		return nil, err
	}
	if s.may("room " + v.ID) {
		s.Log.Info("old video made room", "volume", v.ID, "megabytes", freed/1e6)
	}
	if time.Now().Before(g.until) {
		return &stuck{v.Path, wire.DiskFailed, g.text(v.Path)}, nil
	}
	if !left.some() {
		s.Disk.Hold(v.ID, false)
		return nil, nil
	}
	held := s.heldOn(v.ID) > 0
	// The rest of the reserve is for finishing what is being recorded.
	s.Disk.Hold(v.ID, held && freed == 0 && (n.over > 0 || v.Free < v.Reserve/2 || v.Refused))
	if freed > 0 {
		return nil, nil
	}
	if held {
		return &stuck{v.Path, wire.HeldFull, "Room is needed on " + v.Path + ", and what is left there must be kept. " +
			"Release a hold that is no longer needed, or give the agent a bigger disk."}, nil
	}
	return &stuck{v.Path, wire.DiskFailed, "Room is needed on " + v.Path + ", and no video on it can be deleted now. " +
		"Delete other files there, or let less be kept free."}, nil
}

// class is one step in the order of deletion.
type class struct {
	mirrored bool // the cloud has acked it
	needed   bool // clips that are not cut yet need it
}

// makeRoom deletes segments of a volume until nothing is lacking: first what the cloud knows of, then what it does
// not, then what clips still need, each from the oldest on.
func (s *Sweeper) makeRoom(ctx context.Context, v disk.Status, n need, g *guard) (freed int64, left need, err error) {
	needed, err := s.needs(ctx)
	if err != nil {
		return 0, n, err
	}
	for _, c := range []class{{mirrored: true}, {}, {mirrored: true, needed: true}, {needed: true}} {
		if c.needed && len(needed) == 0 {
			break
		}
		more, err := s.shrink(ctx, v, c, &n, g, needed)
		freed += more
		if err != nil {
			return freed, n, err
		}
	}
	return freed, n, nil
}

// shrink deletes segments of one class.
func (s *Sweeper) shrink(ctx context.Context, v disk.Status, c class, n *need, g *guard, needed needs) (freed int64, err error) {
	at := s.front(v.ID, c)
	for n.some() && !time.Now().Before(g.until) {
		page, next, err := s.Ledger.Told(ctx, v.ID, c.mirrored, at, batch)
		if err != nil || len(page) == 0 {
			return freed, err
		}
		before := s.free(v.ID)
		gone, err := s.take(ctx, page, c, *n, needed)
		if err != nil {
			return freed, err
		}
		if bytes := sum(gone); bytes > 0 {
			g.note(v, bytes, s.free(v.ID)-before, n.bytes > 0 || n.names > 0)
			freed += bytes
		} else {
			s.pass(v.ID, c, at, page, next)
		}
		n.less(gone)
		at = next
	}
	return freed, nil
}

// take deletes of a page what belongs to a class and is needed for room.
func (s *Sweeper) take(ctx context.Context, page []ledger.Segment, c class, n need, needed needs) ([]ledger.Segment, error) {
	free := slices.DeleteFunc(slices.Clone(page), func(g ledger.Segment) bool { return s.kept(g) || needed.any(g) != c.needed })
	if c.needed {
		return s.sacrifice(ctx, enough(free, n), needed)
	}
	return s.remove(ctx, enough(free, n), needed.any)
}

// enough returns as many of the segments as are needed for room.
func enough(segments []ledger.Segment, n need) []ledger.Segment {
	for i, g := range segments {
		if !n.some() {
			return segments[:i]
		}
		n.less([]ledger.Segment{g})
	}
	return segments
}

func (s *Sweeper) free(volume string) int64 {
	for _, v := range s.Disk.Volumes() {
		if v.ID == volume {
			return v.Free
		}
	}
	return 0
}

// sacrifice deletes segments that clips need: these clips are lost with them.
func (s *Sweeper) sacrifice(ctx context.Context, segments []ledger.Segment, needed needs) ([]ledger.Segment, error) {
	s.deleting.Lock()
	var chosen []ledger.Segment
	var lost []ledger.Clip
	seen := map[string]bool{}
	for _, g := range segments {
		clips := needed.of(g)
		if len(clips) == 0 || s.kept(g) {
			continue
		}
		chosen = append(chosen, g)
		for _, c := range clips {
			if !seen[string(c.Order.Clip)] {
				seen[string(c.Order.Clip)] = true
				lost = append(lost, c)
			}
		}
	}
	var err error
	if len(chosen) > 0 {
		err = s.Ledger.Sacrifice(ctx, chosen, wire.Expired, lost,
			"The site's disk was full: the video of this clip had to go before the clip could be cut.")
	}
	s.deleting.Unlock()
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	s.Log.Error("the disk was full: video of clips that were not cut yet had to go", "clips", len(lost), "segments", len(chosen))
	return chosen, s.bury(ctx)
}

// guard watches whether deletion frees room. Snapshots, or somebody who keeps the files open, would else have all
// video deleted for nothing.
type guard struct {
	vain  int64     // bytes deleted of which no room came
	times int       // and how often
	until time.Time // deletion rests
}

// note counts a deletion after which the volume had so much more free space.
func (g *guard) note(v disk.Status, deleted, gained int64, room bool) {
	if !room || gained >= deleted/4 {
		g.vain, g.times = 0, 0
		return
	}
	g.vain += deleted
	if g.times++; g.vain > v.Reserve+v.Reserve/spare && g.times > 2 {
		g.until = time.Now().Add(pause)
	}
}

func (g *guard) text(path string) string {
	return fmt.Sprintf("%d MB of video were deleted on %s and no room came of it, so deletion rests. "+
		"Do snapshots keep deleted files, or does something else fill the disk?", g.vain/1e6, path)
}

// heldFront is where, in the order of what was told, the first segment lies that is not held. With many holds
// nobody reads past them again and again. It is found anew after some minutes, for what the cloud did not know may
// lie before it and be known now.
type heldFront struct {
	epoch string
	holds int64 // the version of the holds
	since time.Time
	at    map[class]ledger.Place
}

// front returns where to begin.
func (s *Sweeper) front(volume string, c class) ledger.Place {
	f := s.fronts[volume]
	if f.epoch != s.Ledger.Epoch() || f.holds != s.holds.Version() || time.Since(f.since) > 5*time.Minute {
		s.fronts[volume] = heldFront{s.Ledger.Epoch(), s.holds.Version(), time.Now(), map[class]ledger.Place{}}
	}
	return s.fronts[volume].at[c]
}

// pass moves the front over a page of which all is held.
func (s *Sweeper) pass(volume string, c class, at ledger.Place, page []ledger.Segment, next ledger.Place) {
	f := s.fronts[volume]
	if f.at[c] != at || slices.ContainsFunc(page, func(g ledger.Segment) bool { return !s.holds.Cover(g.Stream.Camera, g.StartUs, g.EndUs) }) {
		return
	}
	f.at[c] = next
}

// report sets the condition "retention": failing while a volume is too full and nothing on it may go.
func (s *Sweeper) report(troubles []stuck) {
	if s.Board == nil {
		return
	}
	c := health.Condition{Name: "retention", State: wire.OK}
	var texts []string
	for _, t := range troubles {
		c.State = wire.Failing
		if c.Reason != wire.HeldFull {
			c.Reason = t.reason
		}
		texts = append(texts, t.text)
	}
	c.Text = strings.Join(texts, " ")
	s.Board.Set(c)
}
