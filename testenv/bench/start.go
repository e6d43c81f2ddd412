package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/house"
)

// archiveCameras is how many cameras the long past of a site has, one segment a minute each.
const archiveCameras = 80

// start measures how long the real agent takes from its start until every camera is safely on the disk again, with a
// million segments in ledger and folders, and how long the coverage of a day takes then.
func (b *bench) start(ctx context.Context) error {
	h, err := house.Start(ctx, house.Setup{Dir: filepath.Join(b.dir, "start"), Cameras: 4})
	if h != nil {
		defer func() { _ = h.Close() }()
	}
	if err != nil {
		return err
	}
	s := h.Sites[0]
	if err := s.Recording(ctx, 4, 60*time.Second); err != nil {
		return err
	}
	if err := s.Agent.Stop(30 * time.Second); err != nil {
		return err
	}
	s.Line.Cut() // the cloud knows nothing of what is made up now
	if err := b.inflate(ctx, s); err != nil {
		return err
	}
	begun := time.Now()
	if err := s.StartAgent(ctx); err != nil {
		return err
	}
	ready := time.Since(begun)
	if err := recordingAgain(ctx, s, begun); err != nil {
		return err
	}
	say("start_1m_segments", time.Since(begun).Seconds(), "s until every camera is on the disk again")
	say("start_1m_ready", ready.Seconds(), "s until it records")
	if err := b.coverageDay(ctx, s); err != nil {
		return err
	}
	if err := b.scrubbed(ctx, s, begun); err != nil {
		return err
	}
	return s.Agent.Stop(30 * time.Second)
}

// inflate gives a stopped site a long past.
func (b *bench) inflate(ctx context.Context, s *house.Site) (err error) {
	l, err := ledger.Open(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	recent, err := l.SegmentsAfter(ctx, 0, 1)
	if err != nil || len(recent) == 0 {
		return errors.Join(errors.New("nothing was recorded"), err)
	}
	streams := make([]id.Stream, archiveCameras)
	for i := range streams {
		streams[i] = id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	}
	const minute = 60_000_000
	at := recent[0].StartUs - int64(b.segments/archiveCameras+1)*minute
	video := filepath.Join(s.Data, "video", "video")
	var batch ledger.Restored
	for done := 0; done < b.segments; done++ {
		if done > 0 && done%archiveCameras == 0 {
			at += minute
		}
		n := l.NextSegment()
		batch.Segments = append(batch.Segments, ledger.Segment{
			ID: n, Volume: recent[0].Volume, Stream: streams[done%archiveCameras], Run: recent[0].Run, StartUs: at, EndUs: at + minute, Parts: 60,
			Root: [32]byte{byte(n)},
		})
		if err := touch(video, n); err != nil {
			return err
		}
		if len(batch.Segments) == 20_000 || done == b.segments-1 {
			if err := errors.Join(l.Restore(ctx, batch), acked(ctx, l)); err != nil {
				return err
			}
			batch.Segments = batch.Segments[:0]
		}
	}
	return nil
}

// touch makes an empty file of a segment, as agent/disk names it.
func touch(video string, segment uint64) error {
	folder := filepath.Join(video, fmt.Sprintf("%012x", segment>>16))
	path := filepath.Join(folder, fmt.Sprintf("%016x.mp4", segment))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
		f, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// acked pretends that the cloud has everything, and forgets the facts.
func acked(ctx context.Context, l *ledger.Ledger) error {
	queues, err := l.Queues(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q.Rows == 0 {
			continue
		}
		if _, err := l.Pending(ctx, q.Queue, 0, 1, 1); err != nil {
			return err
		}
		if err := l.Acked(ctx, l.Epoch(), q.Queue, q.Last); err != nil {
			return err
		}
	}
	_, err = l.Purge(ctx, time.Now().Add(time.Hour))
	return err
}

// recordingAgain waits until video of every camera since a moment is safe.
func recordingAgain(ctx context.Context, s *house.Site, since time.Time) error {
	l, err := ledger.View(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	ids, err := s.CameraIDs()
	if err != nil {
		return err
	}
	return house.Until(ctx, 5*time.Minute, "every camera is on the disk again", func(ctx context.Context) (bool, error) {
		for _, cam := range ids {
			segments, err := l.Segments(ctx, id.Stream{Camera: cam, Kind: id.Main}, since.UnixMicro(), time.Now().UnixMicro())
			if err != nil || len(segments) == 0 {
				return false, err
			}
		}
		return true, nil
	})
}

// coverageDay measures the coverage of one day for 80 cameras, the best of ten times.
func (b *bench) coverageDay(ctx context.Context, s *house.Site) error {
	l, err := ledger.View(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	stats, err := l.StreamStats(ctx)
	if err != nil {
		return err
	}
	best := time.Hour
	for range 10 {
		begun, n := time.Now(), 0
		for stream, stat := range stats {
			if n++; n > archiveCameras {
				break
			}
			from := stat.FirstUs + (stat.DurableUs-stat.FirstUs)/2
			if _, err := l.Coverage(ctx, stream, from, from+24*3600*1_000_000); err != nil {
				return err
			}
		}
		best = min(best, time.Since(begun))
	}
	say("coverage_day_80", float64(best.Microseconds())/1e3, "ms")
	return nil
}

// scrubbed waits until the agent has looked for every file.
func (b *bench) scrubbed(ctx context.Context, s *house.Site, begun time.Time) error {
	l, err := ledger.View(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	err = house.Until(ctx, 10*time.Minute, "every file is looked for", func(ctx context.Context) (bool, error) {
		conditions, err := l.Conditions(ctx, begun.UnixMicro(), 1000)
		return slices.ContainsFunc(conditions, func(c wire.ConditionFact) bool { return c.Name == "scrub" }), err
	})
	if err == nil {
		say("start_1m_presence", time.Since(begun).Seconds(), "s until every file was looked for")
	}
	return err
}
