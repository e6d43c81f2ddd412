package live

import (
	"context"
	"errors"
	"math"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// maxStillBytes bounds one still: a key frame larger than this is refused in words.
const maxStillBytes = 900 << 10

// Still returns one key frame as Annex B (ITU-T H.264 and H.265, annex B) with its parameter sets: the newest
// one, or the last at or before order.AtUs. The small stream is taken when it is at hand; whoever looks at the newest may watch
// next, and so it is fetched from the camera ahead of that.
func (r *Room) Still(ctx context.Context, order wire.StillOrder) (wire.StillReply, []byte, error) {
	if order.AtUs == 0 && r.footage.Ahead != nil {
		r.footage.Ahead(id.Stream{Camera: order.Camera, Kind: id.Sub})
	}
	kinds := []id.StreamKind{id.Sub, id.Main}
	if order.Stream != "" {
		kinds = []id.StreamKind{order.Stream}
	}
	var cause error = errUnknownCamera()
	for _, find := range r.stillsOf(order.AtUs) {
		for _, kind := range kinds {
			hub := r.footage.Hub(id.Stream{Camera: order.Camera, Kind: kind})
			if hub == nil {
				continue
			}
			f, err := find(ctx, hub)
			if err == nil {
				return still(f)
			}
			// A sub-stream that nobody pulls has no frames; the main one's reason is what counts.
			cause = err
		}
	}
	return wire.StillReply{}, nil, r.inWords(cause)
}

// stillsOf returns where to look for the picture of a moment, best first. A moment that has just been may not be on
// the disk yet.
func (r *Room) stillsOf(atUs int64) (ways []func(context.Context, *media.Hub) (shot, error)) {
	if atUs > 0 {
		ways = append(ways, func(ctx context.Context, hub *media.Hub) (shot, error) { return r.keyFrameAt(ctx, hub.Stream(), atUs) })
	}
	if !rtc.Recorded(atUs) {
		ways = append(ways, func(_ context.Context, hub *media.Hub) (shot, error) { return r.newest(hub) })
	}
	return ways
}

// nearUs is how far behind the moment asked for a key frame may lie: where pictures are reordered the first one of a
// segment is shown a little after the segment begins.
const nearUs = 500_000

// keyFrameAt returns the last key frame at or before a moment that is recorded.
func (r *Room) keyFrameAt(ctx context.Context, stream id.Stream, atUs int64) (shot, error) {
	p := newPlayer(r.footage, stream, r.log)
	defer p.close()
	if err := p.seek(ctx, atUs); err != nil {
		return shot{}, err
	}
	for {
		f, err := p.next(ctx)
		switch {
		case err != nil:
			return shot{}, err
		case f.atUs > atUs+nearUs:
			text := "There is no video at the site of this moment."
			if why := r.footage.Gap(ctx, stream, atUs); why != "" {
				text += " " + why
			}
			return shot{}, &wire.Failure{Code: wire.FailedNoVideo, Text: text}
		case f.key:
			return f, nil
		}
	}
}

// newest returns the newest key frame, from memory or from the open segment. It does not wake a stream that nobody
// pulls.
func (r *Room) newest(hub *media.Hub) (shot, error) {
	if _, brk := hub.State(); brk != nil {
		return shot{}, &wire.Failure{Code: wire.FailedNoVideo, Text: breakInWords(brk)}
	}
	reader := hub.Reader(media.Limit{Frames: 600, Bytes: 8 << 20})
	defer reader.Close()
	before := uint64(math.MaxUint64)
	var found *media.Frame
	for {
		it, ok := reader.Try()
		if !ok {
			break
		}
		if it.Break != nil {
			return shot{}, &wire.Failure{Code: wire.FailedNoVideo, Text: breakInWords(it.Break)}
		}
		before = min(before, it.Frame.Seq)
		if it.Frame.Key && it.Frame.Track == 0 {
			found = &it.Frame
		}
	}
	if found == nil {
		frames, err := r.footage.Recent(hub.Stream(), before)
		if err != nil || len(frames) == 0 {
			return shot{}, wire.Fail(wire.FailedNoVideo, "The camera has not sent a key frame yet. Try again in a moment.")
		}
		found = &frames[0]
	}
	return shot{
		track: &found.Params.Tracks[found.Track], key: true, units: found.Units, atUs: r.footage.Wall(found.Params.Run, found.MonoUs),
	}, nil
}

func still(f shot) (wire.StillReply, []byte, error) {
	if f.track.Codec != mp4.H264 && f.track.Codec != mp4.H265 {
		return wire.StillReply{}, nil, errors.New("a key frame of no video codec")
	}
	var out []byte
	for _, u := range withParams(f.track, f.units) {
		out = append(out, 0, 0, 0, 1)
		out = append(out, u...)
	}
	if len(out) > maxStillBytes {
		return wire.StillReply{}, nil, wire.Fail(wire.FailedOtherwise, "The camera's key frame has %d kB, more than a still may have.", len(out)/1000)
	}
	return wire.StillReply{Codec: f.track.MIME(), Width: f.track.Width, Height: f.track.Height, AtUs: f.atUs}, out, nil
}
