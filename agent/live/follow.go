package live

import (
	"context"
	"errors"
	"math"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// follow is the state of one stay at the live edge.
type follow struct {
	s      *session
	stream id.Stream
	reader *media.Reader
	next   *media.Reader // of the stream to go over to at its next key frame; nil without
	to     id.Stream
	until  <-chan time.Time // it has time until then
	tally  tally
	sparse sparse
	params *media.Params
	keyUs  int64     // of the last key frame that was sent, on the run's timeline
	edgeUs int64     // media time at which the stream goes on at its own pace
	outUs  int64     // where that is on the session's timeline
	burst  bool      // still catching up
	began  time.Time // with that
	line   float64   // what the other views of the connection cost then, bytes per second
	all    float64   // and all others
	rates  map[id.Stream]float64
	bytes  int  // of the burst since its last pause
	wait   bool // for a key frame
	left   bool // there may be frames that have not been looked at
	lastNo time.Time
}

// liveAlone is told to a viewer who asks for a recording in a view that began live.
const liveAlone = "This is a live view. A recording is asked for as a view of its own."

// limit bounds what may wait for one viewer.
func limit() media.Limit { return media.Limit{Frames: 600, Bytes: 8 << 20} }

// follow shows the live edge until the viewer asks for something else.
func (s *session) follow(ctx context.Context) (rtc.Op, error) {
	f := &follow{s: s, stream: s.stream()}
	hub := s.room.footage.Hub(f.stream)
	if hub == nil {
		return rtc.Op{}, errors.New("the camera was removed")
	}
	f.reader = hub.Reader(limit())
	defer f.close()
	s.mended = time.Now()
	s.tell()
	if err := f.catchUp(ctx); err != nil {
		return rtc.Op{}, err
	}
	for {
		var next <-chan struct{}
		if f.next != nil {
			next = f.next.Ready()
		}
		var left chan struct{}
		if f.left {
			left = make(chan struct{})
			close(left)
		}
		var err error
		select {
		case <-ctx.Done():
			return rtc.Op{}, ctx.Err()
		case o := <-s.Control.Ops:
			switch {
			case !o.Elsewhere() || o.Type == "live":
			case s.pick.recorded:
				return o, nil
			default: // the cloud has looked at the right to watch live, and at no other
				s.Control.Tell(rtc.Note{Type: "note", Text: liveAlone})
			}
		case <-s.Lost:
			if s.mend() {
				return rtc.Op{Type: "live"}, nil
			}
		case <-s.view.turned:
			f.turn()
		case <-f.until:
			f.s.withoutSub()
			f.turn()
		case <-next:
			err = f.cross(ctx)
		case <-f.reader.Ready():
			err = f.drain(ctx)
		case <-left:
			err = f.drain(ctx)
		}
		if err != nil {
			return rtc.Op{}, err
		}
	}
}

// drainMost is how long frames are sent before it is looked what else there is: over a slow line more come all the time.
const drainMost = 100 * time.Millisecond

// drain sends the frames that have come.
func (f *follow) drain(ctx context.Context) error {
	begun := time.Now()
	for {
		if f.left = !f.burst && time.Since(begun) > drainMost; f.left {
			return nil
		}
		if f.tooLong() {
			return nil
		}
		it, ok := f.reader.Try()
		if !ok {
			return nil
		}
		if err := f.item(ctx, it); err != nil {
			return err
		}
	}
}

// backlog returns the frames from the newest key frame on: from memory, and from disk where the key frame is
// there already.
func (f *follow) backlog() ([]media.Frame, *media.Break) {
	var frames []media.Frame
	var brk *media.Break
	for {
		it, ok := f.reader.Try()
		if !ok {
			break
		}
		if brk = it.Break; brk != nil {
			frames = nil
			continue
		}
		frames = append(frames, it.Frame)
	}
	if brk != nil {
		return nil, brk
	}
	for i := len(frames) - 1; i >= 0; i-- {
		if frames[i].Key && frames[i].Track == 0 {
			return frames[i:], nil
		}
	}
	before := uint64(math.MaxUint64)
	if len(frames) > 0 {
		before = frames[0].Seq
	}
	recent, err := f.s.room.footage.Recent(f.stream, before)
	if err != nil || len(recent) == 0 {
		f.s.log.Debug("no start from disk: the next key frame begins the picture", "error", err)
		return nil, nil
	}
	return append(recent, frames...), nil
}

// item sends a frame, or says that there is none.
func (f *follow) item(ctx context.Context, it media.Item) error {
	if it.Break != nil {
		f.wait = true
		if it.Break.Reason != wire.SlowDisk { // that one is this reader's own
			f.s.Control.Tell(rtc.Note{Type: "state", Text: breakInWords(it.Break)})
		}
		return nil
	}
	fr := &it.Frame
	if fr.Track >= len(fr.Params.Tracks) {
		return nil
	}
	t := &fr.Params.Tracks[fr.Track]
	// The run's timeline, not the track's: it goes on over a change of parameters, and audio shares it.
	sh := shot{track: t, key: fr.Key && t.Codec.IsVideo(), units: fr.Units, mediaUs: fr.MonoUs}
	if t.Codec.IsVideo() {
		sh.laterUs = (fr.PTS - fr.DTS) * 1_000_000 / int64(t.Timescale)
	}
	f.count(sh)
	if f.stale(fr) || f.wait && !sh.key || f.sparse.skips(f.s.view.now(), &sh, sh.mediaUs) {
		return nil
	}
	if sh.key {
		f.keyUs = fr.MonoUs
	}
	if f.params != fr.Params {
		if err := f.change(ctx, fr.Params, sh.mediaUs); err != nil {
			return err
		}
	}
	switch {
	case f.wait:
		f.wait = false
		f.s.Control.Tell(rtc.Note{Type: "state"})
		f.anchor(sh.mediaUs)
	case f.burst && !t.Codec.IsVideo():
		return nil // nobody can hear a second's sound in a moment
	}
	if f.burst {
		return f.hurry(ctx, sh)
	}
	f.s.send(sh, f.outUs+sh.mediaUs-f.edgeUs)
	if now := time.Now(); t.Codec.IsVideo() && now.Sub(f.lastNo) >= time.Second {
		f.lastNo = now
		wall := f.s.room.footage.Wall(fr.Params.Run, fr.MonoUs)
		f.s.Control.Tell(rtc.Note{
			Type: "position", Live: true, AtUs: wall, SentUs: now.UnixMicro(), RTP: f.s.pics.stamp, AgeUs: max(now.UnixMicro()-wall, 0),
			OwnUs: f.ownUs(),
		})
	}
	return nil
}

// ownUs is how long the last pictures have taken inside the camera; 0 where it does not tell.
func (f *follow) ownUs() int64 {
	if f.s.room.footage.Own == nil {
		return 0
	}
	d, ok := f.s.room.footage.Own(f.stream)
	if !ok {
		return 0
	}
	return max(d.Microseconds(), 1)
}

// lagMost is how far behind life a viewer may fall before pictures are left out.
const lagMost = 2 * time.Second

// stale says whether a frame comes too late for a viewer; then the next fresh key frame goes on.
func (f *follow) stale(fr *media.Frame) bool {
	if f.burst || !f.s.mayLag() || f.wait && !fr.Key {
		return false
	}
	age := time.Duration(time.Now().UnixMicro()-f.s.room.footage.Wall(fr.Params.Run, fr.MonoUs)) * time.Microsecond
	if age <= lagMost {
		return false
	}
	if !f.wait {
		f.s.lagged()
		f.await()
	}
	return true
}

// await leaves pictures out up to the next key frame.
func (f *follow) await() {
	f.wait = true
	f.s.room.askKey(f.stream)
}

// count measures what the stream costs.
func (f *follow) count(sh shot) {
	if f.burst {
		return
	}
	if c, ok := f.tally.add(time.UnixMicro(sh.mediaUs), sh.bytes(), sh.key); ok {
		f.s.room.costs.set(f.stream, c)
	}
}

// anchor makes media time mediaUs due now.
func (f *follow) anchor(mediaUs int64) { f.edgeUs, f.outUs = mediaUs, f.s.NowUs() }

// change takes new parameters over, if the negotiated tracks can carry them.
func (f *follow) change(ctx context.Context, p *media.Params, mediaUs int64) error {
	if !f.s.carries(p) {
		f.s.Control.Part(ctx, rtc.Note{Type: "end", Text: "The camera changed its way of coding. Open the view again."})
		return errChanged
	}
	if f.params != nil && f.params.Run != p.Run {
		f.anchor(mediaUs) // on the timeline of another run
	}
	f.params = p
	return nil
}
