package clip

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// settle writes a clip's state; a clip that was dropped meanwhile is no error.
func (r *Room) settle(ctx context.Context, c ledger.Clip) error {
	c.Fact.AtUs = r.Now()
	if err := r.Ledger.SetClip(ctx, c, true); err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	return nil
}

// cut turns the range into a file and queues it, or says why there is none.
func (r *Room) cut(ctx context.Context, c ledger.Clip) error {
	if !r.Camera(c.Order.Camera) {
		return r.unavailable(ctx, c, "The site's agent knows no such camera.")
	}
	c.State = wire.ClipCutting
	if err := r.settle(ctx, c); err != nil {
		return err
	}
	stream := id.Stream{Camera: c.Order.Camera, Kind: c.Order.Stream}
	segments, err := r.Ledger.Segments(ctx, stream, c.Order.StartUs, c.Order.EndUs)
	if err != nil {
		return err
	}
	made, err := r.assemble(ctx, c, segments)
	defer made.close(r)
	switch {
	case errors.Is(err, mp4.ErrNoVideo):
		return r.unavailable(ctx, c, "Nothing is recorded in this range.")
	case err != nil:
		return err
	}
	c.Bytes, c.SHA256, err = r.store(c.Order.Clip, made.clip)
	if err != nil {
		return err
	}
	c.State, c.File = wire.ClipQueued, r.path(c.Order.Clip)
	c.Fact.Bytes, c.Fact.Sent, c.Fact.Codec = c.Bytes, 0, made.codec
	c.Fact.StartUs, c.Fact.EndUs = made.clip.FromUs, made.clip.ToUs
	c.Fact.Reason = made.note
	if c.Fact.Gaps, err = r.gaps(ctx, stream, c.Order); err != nil {
		return err
	}
	if err := r.settle(ctx, c); err != nil {
		return err
	}
	r.Log.Info("clip cut", "clip", c.Order.Clip, "camera", c.Order.Camera, "bytes", c.Bytes)
	nudge(r.toSend)
	return nil
}

// assembly is a clip whose source segments are open.
type assembly struct {
	clip  *mp4.Clip
	files []File
	codec string
	note  string
}

func (a *assembly) close(r *Room) {
	for _, f := range a.files {
		if err := f.Close(); err != nil {
			r.Log.Warn("close segment", "error", err)
		}
	}
}

// assemble lays the clip out over the open segments.
func (r *Room) assemble(ctx context.Context, c ledger.Clip, segments []ledger.Segment) (*assembly, error) {
	a := &assembly{}
	sound := newSound(c.Order)
	w, err := mp4.NewClipWriter(mp4.ClipConfig{FromUs: c.Order.StartUs, ToUs: c.Order.EndUs, DropAudio: !c.Order.Audio})
	if err != nil {
		return a, fmt.Errorf("begin clip: %w", err)
	}
	for _, s := range segments {
		if err := ctx.Err(); err != nil {
			return a, err
		}
		if err := r.addSegment(a, w, sound, s); err != nil {
			if errors.Is(err, mp4.ErrCodec) && a.codec != "" {
				a.note = "The camera changed its codec at " + time.UnixMicro(s.StartUs).UTC().Format(time.DateTime) +
					" UTC; the clip ends there. Ask for the rest as a clip of its own."
				break
			}
			return a, err
		}
	}
	if c.Order.Audio && sound.any() {
		track, samples, err := sound.finish()
		if err == nil {
			err = w.SetAudio(track, samples)
		}
		if err != nil {
			// Sound never costs the picture.
			a.note = "The sound could not be converted and is left out."
			r.Log.Warn("convert sound of clip", "clip", c.Order.Clip, "error", err)
		}
	}
	a.clip, err = w.Finish()
	return a, err
}

func (r *Room) addSegment(a *assembly, w *mp4.ClipWriter, sound *sound, s ledger.Segment) error {
	f, size, err := r.Open(s.Volume, s.ID)
	if errors.Is(err, os.ErrNotExist) {
		return nil // retention was faster: what is missing is reported as a gap
	}
	if err != nil {
		return fmt.Errorf("open segment %d: %w", s.ID, err)
	}
	a.files = append(a.files, f)
	if s.Bytes > 0 && s.Bytes < size {
		size = s.Bytes // what is behind is not durable yet
	}
	if err := w.AddSegment(f, size); err != nil {
		return fmt.Errorf("add segment %d: %w", s.ID, err)
	}
	header, _, err := mp4.ReadHeader(f, size)
	if err != nil {
		return fmt.Errorf("read segment %d: %w", s.ID, err)
	}
	if a.codec == "" {
		for i := range header.Tracks {
			if header.Tracks[i].Codec.IsVideo() {
				a.codec = header.Tracks[i].MIME()
			}
		}
	}
	return sound.add(f, size, header)
}

// store writes the clip into its file and makes it durable.
func (r *Room) store(clip id.Clip, made *mp4.Clip) (int64, []byte, error) {
	tmp := r.path(clip) + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, nil, fmt.Errorf("store cut clip: %w", err)
	}
	sum := sha256.New()
	buffered := bufio.NewWriterSize(f, 1<<20)
	n, err := made.WriteTo(io.MultiWriter(buffered, sum))
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, r.path(clip))
	}
	if err == nil {
		err = atomicfile.SyncDir(r.cfg.Dir)
	}
	if err != nil {
		return 0, nil, errors.Join(fmt.Errorf("store cut clip (is the disk full?): %w", err), remove(tmp))
	}
	return n, sum.Sum(nil), nil
}

// gaps returns the ranges inside the clip that have no video.
func (r *Room) gaps(ctx context.Context, stream id.Stream, o wire.ClipOrder) ([]wire.GapFact, error) {
	ranges, err := r.Ledger.Coverage(ctx, stream, o.StartUs, o.EndUs)
	if err != nil {
		return nil, err
	}
	var out []wire.GapFact
	for _, g := range ranges {
		if g.Recorded {
			continue
		}
		fact := wire.GapFact{Stream: stream, StartUs: g.StartUs, EndUs: g.EndUs, Reason: wire.Unknown}
		if g.Gap != nil {
			fact.ID, fact.Run, fact.Reason, fact.Detail = g.Gap.ID, g.Gap.Run, g.Gap.Reason, g.Gap.Detail
		}
		out = append(out, fact)
	}
	return out, nil
}

// unavailable ends a clip without video, and names the nearest video there is.
func (r *Room) unavailable(ctx context.Context, c ledger.Clip, reason string) error {
	stream := id.Stream{Camera: c.Order.Camera, Kind: c.Order.Stream}
	const day = int64(24 * time.Hour / time.Microsecond)
	before, err := r.Ledger.Segments(ctx, stream, c.Order.StartUs-day, c.Order.StartUs)
	if err != nil {
		return err
	}
	after, err := r.Ledger.Segments(ctx, stream, c.Order.EndUs, c.Order.EndUs+day)
	if err != nil {
		return err
	}
	if n := len(before); n > 0 {
		c.Fact.NearestUs = before[n-1].EndUs
	}
	if len(after) > 0 && (c.Fact.NearestUs == 0 || after[0].StartUs-c.Order.EndUs < c.Order.StartUs-c.Fact.NearestUs) {
		c.Fact.NearestUs = after[0].StartUs
	}
	gaps, err := r.gaps(ctx, stream, c.Order)
	if err != nil {
		return err
	}
	c.State, c.Fact.Reason, c.Fact.Gaps = wire.ClipUnavailable, reason, gaps
	return r.settle(ctx, c)
}
