package count

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"holdfast/agent/camera"
	"holdfast/agent/disk"
	"holdfast/agent/fill"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// TestFillRate fills a gap of ten minutes from a camera's card, by the real rooms, at the rate that is usual and as fast
// as it goes, and says how many seconds of footage come in each second.
func TestFillRate(t *testing.T) {
	for name, rate := range map[string]int64{"fill_rate": 40_000_000 / 8, "fill_rate_unpaced": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			house := fakecam.Serve(t, fakecam.Config{Cameras: []fakecam.CameraConfig{{Main: "carpark/main", Card: time.Hour}}})
			cam := house.Cameras()[0]
			from := time.Now().Add(-20 * time.Minute)
			to := from.Add(10 * time.Minute)
			cam.Main().Film(from.Add(-time.Minute), to.Add(time.Minute), 1_000_000)

			log := slog.New(slog.DiscardHandler)
			dir := t.TempDir()
			l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), log)
			if err != nil {
				t.Fatal(err)
			}
			d, err := disk.Open(disk.Config{
				Volumes: []disk.Volume{{Path: filepath.Join(dir, "v"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
			}, nil, log)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(d.Close(), l.Close()); err != nil {
					t.Error(err)
				}
			}()
			clock := media.NewClock()
			clock.Begin(1)
			stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
			source, err := camera.NewSource(cam.Main().ArchiveURL(), "", "", "tcp")
			if err != nil {
				t.Fatal(err)
			}
			room, err := camera.New(camera.Config{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, clock, nil, log)
			if err != nil {
				t.Fatal(err)
			}
			gap := ledger.Gap{Stream: stream, Run: 1, StartUs: from.UnixMicro(), EndUs: to.UnixMicro(), Reason: wire.HostOff}
			if _, err := l.BeginGap(t.Context(), gap); err != nil {
				t.Fatal(err)
			}
			f := fill.New(fill.Config{
				Key:    ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
				Offers: map[id.Stream][]fill.Offer{stream: {{Name: "card", Source: room.NewArchive(camera.ArchiveConfig{Source: source, Rate: rate})}}},
			}, fill.Floors{Ledger: l, Disk: d, Clock: clock, Log: log})
			began := time.Now()
			if err := f.Round(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began).Seconds()
			ranges, err := l.Coverage(t.Context(), stream, gap.StartUs, gap.EndUs)
			if err != nil || len(ranges) != 1 || !ranges[0].Recorded {
				t.Fatalf("the gap is %v, %v", ranges, err)
			}
			t.Logf("%s: %.0f s/s (%d kbit/s of video)", name, 600/took, cam.Main().Loop().Bitrate()/1000)
		})
	}
}
