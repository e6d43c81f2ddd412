package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/shared/backoff"
	"holdfast/testenv/house"
)

const (
	uploadCuts    = 8
	uploadCameras = 8
	uploadKbit    = 20_000
	uploadRate    = 12_500_000 // bytes a second: 100 Mbit/s
	uploadPart    = 5 << 20    // bytes of a clip's part, but the last
)

// upload sends clips of so many megabytes together through a line that is cut again and again, and counts what goes
// over it twice.
func (b *bench) upload(ctx context.Context) (err error) {
	c, err := b.cameras(ctx, uploadCameras, uploadKbit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	h, err := b.house(ctx, "upload", c.plan(""))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return err
	}
	length := time.Duration(b.clipMB) * 8_000_000 / (uploadCameras * uploadKbit) * time.Millisecond
	from := time.Now().Add(-time.Second)
	if err := backoff.Sleep(ctx, length); err != nil {
		return err
	}
	s := h.Sites[0]
	s.Line.Cap(uploadRate)
	before := s.Line.Stats().Up
	clips, err := chooseClips(ctx, h, from, length)
	if err != nil {
		return err
	}
	if err := cutAgain(ctx, s, before, int64(b.clipMB)*1_000_000); err != nil {
		return err
	}
	total, err := stored(ctx, h, clips)
	if err != nil {
		return err
	}
	twice := s.Line.Stats().Up - before - total
	say("upload_clips", float64(total)/1e6, fmt.Sprintf("MB in %d clips, through %d cuts", len(clips), uploadCuts))
	say("upload_resent_per_cut", float64(twice)/uploadCuts/uploadPart, fmt.Sprintf("parts of 5 MiB (%.1f MB in all beside the clips, facts and heartbeats counted)", float64(twice)/1e6))
	return nil
}

// chooseClips orders one clip of each camera.
func chooseClips(ctx context.Context, h *house.House, from time.Time, length time.Duration) (clips []string, err error) {
	ids, err := h.Sites[0].CameraIDs()
	if err != nil {
		return nil, err
	}
	for _, camera := range ids {
		var c struct{ ID string }
		if err := h.Owner.Post(ctx, "/clips", map[string]any{
			"camera": camera, "start_us": from.UnixMicro(), "end_us": from.Add(length).UnixMicro(), "title": "Bench",
		}, &c); err != nil {
			return nil, err
		}
		clips = append(clips, c.ID)
	}
	return clips, nil
}

// cutAgain cuts the line for a moment whenever a further share of the bytes has passed.
func cutAgain(ctx context.Context, s *house.Site, before, bytes int64) error {
	for n := int64(1); n <= uploadCuts; n++ {
		at := before + bytes*n/(uploadCuts+2) // what is recorded is a tenth more or less than what was asked for
		if err := house.Until(ctx, 20*time.Minute, fmt.Sprintf("%d MB pass the line", (at-before)/1_000_000), func(context.Context) (bool, error) {
			return s.Line.Stats().Up >= at, s.Agent.Alive()
		}); err != nil {
			return err
		}
		s.Line.Cut()
		if err := errors.Join(backoff.Sleep(ctx, time.Second), s.Line.Restore()); err != nil {
			return err
		}
		s.Line.Cap(uploadRate)
	}
	return nil
}

// stored waits until every clip is in the cloud and returns their bytes together.
func stored(ctx context.Context, h *house.House, clips []string) (total int64, err error) {
	for _, clip := range clips {
		var c struct {
			State, Reason string
			Bytes         int64
		}
		err := house.Until(ctx, 10*time.Minute, "a clip is stored", func(ctx context.Context) (bool, error) {
			if err := h.Owner.Get(ctx, "/clips/"+clip, &c); err != nil {
				return false, err
			}
			if c.State == "lost" || c.State == "unavailable" {
				return false, fmt.Errorf("a clip is %s: %s", c.State, c.Reason)
			}
			return c.State == "stored", h.Sites[0].Agent.Alive()
		})
		if err != nil {
			return total, err
		}
		total += c.Bytes
	}
	return total, nil
}
