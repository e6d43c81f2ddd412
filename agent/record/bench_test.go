package record

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
)

// BenchmarkSixtyFourStreams records 64 streams of 2 Mbit/s; one operation is one second of each. It reports
// the processor time of one stream's second: all of the process, flush rounds and ledger included.
func BenchmarkSixtyFourStreams(b *testing.B) {
	const streams, fps, bytes = 64, 25, 10_000
	dir := b.TempDir()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := ledger.Open(ctx, filepath.Join(dir, "ledger.db"), log)
	if err != nil {
		b.Fatal(err)
	}
	d, err := disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "video"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, nil, log)
	if err != nil {
		b.Fatal(err)
	}
	s := newSite(nil, dir, 0)
	cfg := Config{Key: s.key, Queue: 1 << 30, Segment: time.Hour, MaxBytes: 2<<30 - 1}
	for range streams {
		cfg.Hubs = append(cfg.Hubs, media.NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}))
	}
	clock := media.NewClock()
	rec, err := New(cfg, Floors{Ledger: l, Disk: d, Clock: clock, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	if err := rec.Begin(ctx); err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	running.Go(func() { _ = rec.Run(ctx) })
	p := params(false)
	unit := make([]byte, bytes)
	units := [][]byte{unit}
	before := cpu(b)
	frame := int64(0)
	b.ReportAllocs()
	for second := 0; b.Loop(); second++ {
		for range fps {
			f := media.Frame{
				Params: p, PTS: frame * 3600, DTS: frame * 3600, MonoUs: frame * frameUs, Key: frame%50 == 0, Units: units, Bytes: bytes,
			}
			for _, h := range cfg.Hubs {
				h.Write(f)
			}
			frame++
		}
		for _, h := range cfg.Hubs {
			for second > 2 {
				if written(rec.byName[h.Stream()]) >= second-2 {
					break
				}
				runtime.Gosched()
			}
		}
	}
	b.ReportMetric((cpu(b)-before)*1000/float64(frame/fps)/streams, "cpu-ms/stream-s")
	b.StopTimer()
	cancel()
	running.Wait()
	if err := d.Close(); err != nil {
		b.Error(err)
	}
	if err := l.Close(); err != nil {
		b.Error(err)
	}
}

// written returns how many parts of its segment a stream has on disk.
func written(s *stream) int {
	s.mu.Lock()
	seg := s.seg
	s.mu.Unlock()
	if seg == nil {
		return 0
	}
	seg.mu.Lock()
	defer seg.mu.Unlock()
	return len(seg.index)
}

// cpu returns the processor time that this process has taken, in seconds.
func cpu(b *testing.B) float64 {
	b.Helper()
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		b.Fatal(err)
	}
	t, err := p.Times()
	if err != nil {
		b.Fatal(err)
	}
	return t.User + t.System
}
