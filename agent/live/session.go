package live

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// session shows one camera on a slot of a viewer's connection: one stream, live or from the disk.
type session struct {
	*slot
	room  *Room
	id    id.Session
	log   *slog.Logger
	peer  *peer
	toll  *toll // of the connection
	order wire.LiveView
	pick  choice
	end   context.CancelFunc
	pics  *sender
	sound *sender     // nil without audio
	into  *conversion // nil: the pictures go as the camera has made them
	view  view
	waits atomic.Int64 // nanoseconds that its frames have waited for the budget and the line
	live  atomic.Bool  // it shows the live edge
	asked time.Time    // to go over to the relay; balance's

	// Only run's goroutine touches these.
	told   string    // about the step
	mended time.Time // when a group of pictures was last begun anew for this viewer
}

// newSession returns a session for a slot that takes the stream's codec; number is its place among those who came. ctx is the
// session's, which end ends.
func newSession(ctx context.Context, p *peer, s *slot, order wire.LiveView, pick choice, number uint64, end context.CancelFunc) (*session, error) {
	out := &session{
		slot: s, room: p.room, id: order.Session, peer: p, toll: &p.toll, order: order, pick: pick, end: end,
		log: p.room.log.With("session", order.Session, "camera", order.Camera, "stream", pick.stream.Kind),
	}
	out.view.number, out.view.turned, out.view.times = number, make(chan struct{}, 1), 1
	_, rtt := p.path.known()
	out.view.line.Recall(rtt)
	shown := *pick.params.Video()
	if pick.convert {
		shown = mp4.Track{Codec: mp4.H264}
		out.into = &conversion{s: out, ctx: ctx, from: pick.params.Video().Codec}
	}
	var err error
	if out.pics, err = newSender(&shown, s.Video); err != nil {
		return nil, err
	}
	out.pics.before = func(bytes int) error { return out.queue(ctx, bytes) }
	if !slices.Contains(s.Takes, out.pics.codec) {
		return nil, wire.Fail(wire.FailedCodec, "The browser's offer has no place for %s video.", codecName(out.pics.codec))
	}
	if pick.audio != "" && s.Audio != nil && !order.Silent {
		out.sound, err = newSender(pick.params.Audio(), s.Audio)
	}
	return out, err
}

// mend says whether the picture should begin anew for a viewer that has lost it: no camera can be asked for a key
// frame here, but the group of pictures can be sent again. It is large, so not often, and where single pictures are
// all that there is room for, the next one will do.
func (s *session) mend() bool {
	return time.Since(s.mended) > 2*time.Second && s.view.now() < keys
}

// run blocks for the life of the session.
func (s *session) run(ctx context.Context) {
	defer s.end()
	for _, ready := range []<-chan struct{}{s.peer.Connected(), s.Video.Bound()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	leave, err := s.Enter(ctx)
	if err != nil {
		return
	}
	defer leave()
	begun, outside := time.Now(), s.toll.outside.Load()
	s.log.Info("live session begins", "playback", s.order.FromUs > 0, "outside", outside)
	s.view.change(func() { s.view.shows = true })
	s.room.weigh(begun, s)
	err = s.show(ctx)
	s.into.close()
	s.view.change(func() { s.view.shows = false })
	s.log.Info("live session ends", "lasted", time.Since(begun).Round(time.Millisecond), "cause", err)
}

// show alternates between live and playback as the viewer wishes.
func (s *session) show(ctx context.Context) error {
	mode := rtc.Op{Type: "live"}
	if s.order.FromUs > 0 {
		mode = rtc.Op{Type: "seek", AtUs: s.order.FromUs}
	}
	for {
		var err error
		s.live.Store(mode.Type == "live")
		if mode.Type != "live" {
			mode, err = s.play(ctx, mode)
		} else {
			mode, err = s.follow(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// errChanged ends a session whose stream can't go on over the negotiated tracks.
var errChanged = errors.New("the camera changed its way of coding: open the view again")

// mayLag says whether its pictures may come too late, and are left out then: the line may be too narrow, or the machine too
// slow to convert them.
func (s *session) mayLag() bool { return s.toll.outside.Load() || s.into != nil }

// carries says whether the session can show what comes with these parameters.
func (s *session) carries(p *media.Params) bool {
	v, takes := p.Video(), s.pics.codec
	if s.into != nil {
		takes = s.into.from
	}
	return v != nil && v.Codec == takes && (s.order.Film || !p.BFrames)
}

// send sends a frame at outUs on the session's timeline. What the network refuses is lost, as on the way.
func (s *session) send(f shot, outUs int64) {
	out := s.pics
	if !f.track.Codec.IsVideo() {
		if out = s.sound; out == nil || out.codec != f.track.Codec {
			return
		}
	}
	s.Sent(outUs)
	if out == s.pics && s.into != nil {
		s.into.take(f, outUs)
		return
	}
	s.post(f.bytes(), func() error { return out.send(f, outUs) })
}

// queue waits until so many bytes more may be on their way over the viewer's line: what is too much for it would be lost.
func (s *session) queue(ctx context.Context, bytes int) error {
	if !s.toll.outside.Load() {
		return nil
	}
	begun := time.Now()
	err := s.peer.Arrivals.Await(ctx, bytes)
	s.waits.Add(int64(time.Since(begun)))
	return err
}

// post sends what takes so many bytes when the budget has room for it.
func (s *session) post(bytes int, send func() error) {
	begun := time.Now()
	err := s.toll.ask(bytes)
	s.waits.Add(int64(time.Since(begun)))
	if err == nil {
		err = send()
	}
	if err != nil {
		s.log.Debug("send frame", "error", err)
	}
}

// stampAt is the RTP timestamp of the next picture when it is sent at outUs.
func (s *session) stampAt(outUs int64) uint32 {
	if s.into != nil {
		return s.into.stampAt(outUs)
	}
	return s.pics.stampAt(outUs)
}

// pad makes a loss at the end of the last picture seen.
func (s *session) pad() {
	if s.into != nil {
		return // that picture may be still on its way through the program
	}
	if err := s.pics.pad(); err != nil {
		s.log.Debug("send padding", "error", err)
	}
}
