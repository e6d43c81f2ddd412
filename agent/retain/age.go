package retain

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
)

// byAge deletes what is older than its camera's limit allows.
func (s *Sweeper) byAge(ctx context.Context) error {
	now, err := s.believed(ctx)
	if err != nil || now == 0 {
		return err
	}
	needed, err := s.needs(ctx)
	if err != nil {
		return err
	}
	for _, cam := range s.limits.cameras() {
		keep := s.limits.Cameras[cam].Keep.Force
		if keep == 0 {
			continue
		}
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			stream := id.Stream{Camera: cam, Kind: kind}
			for _, free := range s.holds.Between(cam, now-keep) {
				if err := s.expire(ctx, stream, free, needed); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// expire deletes what lies whole in a range of a stream.
func (s *Sweeper) expire(ctx context.Context, stream id.Stream, in span, needed needs) error {
	for from := in.from; ; {
		old, err := s.Ledger.Within(ctx, stream, from, in.to, batch)
		if err != nil || len(old) == 0 {
			return err
		}
		if _, err := s.remove(ctx, old, needed.any); err != nil {
			return err
		}
		// What is pinned comes again the next time.
		from = old[len(old)-1].StartUs + 1
	}
}

// byShare deletes the oldest of cameras that have more than their share.
func (s *Sweeper) byShare(ctx context.Context) error {
	needed, err := s.needs(ctx)
	if err != nil {
		return err
	}
	var stats map[id.Stream]ledger.StreamStat
	for _, cam := range s.limits.cameras() {
		limit := s.bytesOf(s.limits.Cameras[cam])
		if limit == 0 {
			continue
		}
		if stats == nil {
			if stats, err = s.Ledger.StreamStats(ctx); err != nil {
				return err
			}
		}
		over := stats[id.Stream{Camera: cam, Kind: id.Main}].Bytes + stats[id.Stream{Camera: cam, Kind: id.Sub}].Bytes -
			s.heldOf(cam) - limit
		for over > 0 {
			freed, err := s.shed(ctx, cam, over, needed)
			if err != nil {
				return err
			}
			if freed == 0 {
				break
			}
			over -= freed
		}
	}
	return nil
}

// bytesOf returns the limit in bytes that is in force for a camera, 0 when there is none: the smaller of its size
// and its share. Of volumes that are not all here no share is taken, for it would be one of less.
func (s *Sweeper) bytesOf(l limitsOf) int64 {
	size := l.Bytes.Force
	if whole := s.capacity(); l.Share.Force > 0 && whole > 0 {
		size = tightest(size, whole/100*l.Share.Force)
	}
	return size
}

// capacity is what all volumes together may take of video, 0 while one of them is not here.
func (s *Sweeper) capacity() (whole int64) {
	for _, v := range s.Disk.Volumes() {
		if v.ID == "" || v.Err != nil || v.Total == 0 {
			return 0
		}
		whole += tightest(s.maxOf(v), max(v.Total-v.Reserve, 1))
	}
	return whole
}

// shed deletes one batch of a camera's oldest video, over bytes of it and no more than the last segment above.
func (s *Sweeper) shed(ctx context.Context, cam id.Camera, over int64, needed needs) (freed int64, err error) {
	var oldest []ledger.Segment
	for _, kind := range []id.StreamKind{id.Main, id.Sub} {
		n := 0
		for _, free := range s.holds.Between(cam, math.MaxInt64) {
			some, err := s.Ledger.Within(ctx, id.Stream{Camera: cam, Kind: kind}, free.from, free.to, batch-n)
			if err != nil {
				return 0, err
			}
			oldest = append(oldest, some...)
			if n += len(some); n >= batch {
				break
			}
		}
	}
	slices.SortStableFunc(oldest, func(a, b ledger.Segment) int { return cmp.Compare(a.StartUs, b.StartUs) })
	var most int64
	for i, g := range oldest {
		if most += g.Bytes; most >= over || i == batch-1 {
			oldest = oldest[:i+1]
			break
		}
	}
	gone, err := s.remove(ctx, oldest, needed.any)
	return sum(gone), err
}

func sum(segments []ledger.Segment) (bytes int64) {
	for _, g := range segments {
		bytes += g.Bytes
	}
	return bytes
}

const (
	metaNow  = "retain_now_us" // the newest wall time that was believed
	leap     = 25 * time.Hour
	patience = 24 * time.Hour
)

// believed returns the wall time by which age is counted, or 0 while that is in doubt: a clock that is more
// than a day ahead of where it was is believed after it has said so for a day.
func (s *Sweeper) believed(ctx context.Context) (int64, error) {
	text, err := s.Ledger.Meta(ctx, metaNow)
	if err != nil {
		return 0, err
	}
	now := s.Clock.Now()
	last, err := strconv.ParseInt(text, 10, 64)
	ahead := time.Duration(now-last) * time.Microsecond
	if err == nil && ahead > leap {
		if s.leapt.IsZero() {
			s.leapt = time.Now()
			s.Log.Warn("the clock is far ahead of where it was: deletion by age waits a day", "ahead", ahead)
		}
		if time.Since(s.leapt) < patience {
			return 0, nil
		}
	}
	s.leapt = time.Time{}
	// One write a minute is enough for a limit of a day.
	if err == nil && ahead >= 0 && ahead < time.Minute {
		return now, nil
	}
	return now, s.Ledger.SetMeta(ctx, metaNow, strconv.FormatInt(now, 10))
}

// cameras returns the cameras with limits, in order.
func (l *limits) cameras() []id.Camera { return slices.Sorted(maps.Keys(l.Cameras)) }
