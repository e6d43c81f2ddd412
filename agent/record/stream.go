package record

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/backoff"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// stream is one recorded stream: at every moment it either writes a segment or is in a gap. Errors that its
// methods return are the ledger's; a disk's end in a gap.
type stream struct {
	rec  *Recorder
	name id.Stream
	hub  *media.Hub
	log  *slog.Logger

	// Only the stream's goroutine touches these; Begin sets them before.
	still  chan struct{} // told while no frames come
	reader *media.Reader
	order  interleaver
	params *media.Params
	broken bool  // the next segment does not go on where the last one ended
	first  bool  // the segment is the first one after a break, which may have hit all streams at once
	saved  int   // parts of the segment that the hub knows of
	endUs  int64 // wall end of what is accounted for while gap is 0
	endRun int64
	gap    ledger.Gap     // in force; ID 0 while recording
	since  time.Time      // when frames without a key frame began to come; zero when they don't
	retry  *backoff.Timer // of opening a segment after the disk failed
	after  time.Time      // not before
	last   [32]byte       // digest of the last segment's statement
	gaps   []evidence.Gap // since the last segment
	sound  [2]int64       // DTS and MonoUs of the newest audio frame
	soundP *media.Params  // and whose it is

	said bool // the condition "recording" stands on the board; review's alone

	mu     sync.Mutex
	seg    *segment // written by the stream's goroutine only
	status status
}

// status is what others may know.
type status struct {
	recording bool
	reason    wire.Reason // of the gap
	text      string
	since     time.Time // of recording, or of the gap
	wrote     time.Time // the last part
	durableUs int64     // end of what the ledger calls durable, but in the segment that is being written
	refused   refusal   // of the disk
}

func newStream(r *Recorder, hub *media.Hub) *stream {
	name := hub.Stream()
	return &stream{
		rec: r, name: name, hub: hub, log: r.Log.With("camera", name.Camera, "stream", name.Kind),
		retry: backoff.New(r.cfg.Retry), first: true, still: make(chan struct{}, 1),
	}
}

// attach begins to collect the stream's frames, and returns the function that ends that.
func (s *stream) attach() (detach func()) {
	waiting := s.rec.cfg.Queue / int64(len(s.rec.streams))
	s.reader = s.hub.Batch(media.Limit{Frames: 8192, Bytes: int(max(waiting, 2<<20))})
	return s.reader.Close
}

// run records until ctx ends, then takes what still waits and closes the segment.
func (s *stream) run(ctx context.Context) error {
	stepped := s.rec.Clock.Stepped()
	lasting := context.WithoutCancel(ctx) // the account is kept to the end
	for {
		var err error
		select {
		case <-s.reader.Ready():
			err = s.drain(lasting)
		case <-s.still:
			err = s.rest(lasting)
		case <-stepped:
			stepped = s.rec.Clock.Stepped()
			err = s.step(lasting)
		case <-ctx.Done():
			if err := errors.Join(s.drain(lasting), s.stop(lasting)); err != nil {
				return err
			}
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) drain(ctx context.Context) error {
	for {
		it, ok := s.reader.Try()
		if !ok {
			s.reader.Until(s.dueMono())
			return nil
		}
		if err := s.item(ctx, it); err != nil {
			return err
		}
	}
}

// dueMono returns from when on frames have something to wait for no longer: until then they may gather.
func (s *stream) dueMono() int64 {
	if s.seg == nil {
		return 0
	}
	return s.seg.dueMono()
}

func (s *stream) item(ctx context.Context, it media.Item) error {
	if it.Break != nil {
		if err := s.pass(ctx, true); err != nil {
			return err
		}
		return s.interrupt(ctx, it.Break)
	}
	f := it.Frame
	if f.Params != s.params {
		if err := s.pass(ctx, true); err != nil {
			return err
		}
		s.order.sound = f.Params.Audio() != nil
	}
	s.order.push(f)
	return s.pass(ctx, false)
}

// pass records what the interleaver lets go of.
func (s *stream) pass(ctx context.Context, all bool) error {
	for {
		f, ok := s.order.pop(all)
		if !ok {
			return nil
		}
		if err := s.frame(ctx, f); err != nil {
			return err
		}
	}
}

func (s *stream) frame(ctx context.Context, f media.Frame) error {
	if f.Params != s.params {
		if err := s.change(ctx, f); err != nil {
			return err
		}
	}
	if f.Track != 0 {
		s.sound, s.soundP = [2]int64{f.DTS, f.MonoUs}, f.Params
		if s.seg == nil {
			return nil
		}
		return s.wrote(ctx, s.seg.audio(f))
	}
	if s.seg != nil && s.seg.hole(f) {
		s.broken = true
		if err := s.end(ctx, s.seg.heldEnd(), wire.Stalled, "The camera sent no pictures for a moment."); err != nil {
			return err
		}
	}
	switch {
	case s.seg == nil && f.Key:
		return s.begin(ctx, f)
	case s.seg == nil:
		return s.awaitKey(ctx, f)
	case f.Key && s.due(f):
		if err := s.end(ctx, f.MonoUs, "", ""); err != nil {
			return err
		}
		return s.begin(ctx, f)
	case s.seg.file.Size()+int64(s.seg.builder.Size()) > s.rec.cfg.MaxBytes || len(s.seg.parts) >= mp4.MaxParts-2:
		if err := s.end(ctx, f.MonoUs, wire.NoKeyFrame, "The camera has sent more video without a key frame than a file can hold. "+
			"Set its key frame interval to two seconds."); err != nil {
			return err
		}
		return s.awaitKey(ctx, f)
	}
	return s.wrote(ctx, s.seg.video(f))
}

// change ends the segment because what follows can't be appended to it.
func (s *stream) change(ctx context.Context, f media.Frame) error {
	old := s.params
	s.params = f.Params
	if s.seg == nil {
		return nil
	}
	s.broken = true
	key := f.Key && f.Track == 0
	switch {
	case old.Run != f.Params.Run && key:
		return s.end(ctx, s.seg.heldEnd(), "", "")
	case old.Run != f.Params.Run:
		return s.end(ctx, s.seg.heldEnd(), wire.AwaitKeyFrame, changedText)
	case key && !s.seg.hole(f):
		return s.end(ctx, f.MonoUs, "", "")
	}
	return s.end(ctx, min(s.seg.heldEnd(), f.MonoUs), wire.AwaitKeyFrame, changedText)
}

const changedText = "The camera changed its stream; recording goes on at its next key frame."

// due says whether the segment ends at the key frame f. The first segments after a break end at different ages, so
// that not all files are closed at one moment, and none of those that follow.
func (s *stream) due(f media.Frame) bool {
	age := time.Duration(f.MonoUs-s.seg.header.MonoUs) * time.Microsecond
	limit := s.rec.cfg.Segment
	if s.first {
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.name.String()))
		limit = limit/4 + limit*3/4*time.Duration(h.Sum32()%1024)/1024
	}
	return age >= limit || s.seg.file.Size() > s.rec.cfg.MaxBytes*7/8
}

// begin opens a segment at the key frame f and closes the gap. When the disk refuses, the gap goes on.
func (s *stream) begin(ctx context.Context, f media.Frame) error {
	if time.Now().Before(s.after) {
		return nil
	}
	s.since = time.Time{}
	startUs := s.rec.Clock.WallIn(s.params.Run, f.MonoUs)
	seg, err := s.rec.create(s.header(f, startUs), f)
	if err != nil {
		return s.diskFailed(ctx, err)
	}
	var closes *int64
	if s.gap.ID != 0 {
		closes = &s.gap.ID
	}
	s.rec.opened(seg)
	err = s.rec.Ledger.BeginSegment(ctx, ledger.OpenSegment{
		ID: seg.header.Segment, Volume: seg.file.Volume(), Stream: s.name, Run: seg.header.Run, MonoUs: f.MonoUs, StartUs: startUs,
	}, closes)
	if err != nil {
		return errors.Join(err, seg.file.Close())
	}
	if s.gap.ID != 0 {
		s.gaps = append(s.gaps, evidence.Gap{FromUs: s.gap.StartUs, ToUs: max(startUs, s.gap.StartUs), Reason: string(s.gap.Reason)})
		s.resumed(startUs, f.Params)
	}
	s.first = s.first || s.broken || s.gap.ID != 0
	s.gap = ledger.Gap{}
	s.broken = false
	s.saved = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seg = seg
	now := time.Now()
	if !s.status.recording {
		s.status.recording, s.status.since = true, now
	}
	s.status.reason, s.status.text, s.status.wrote = "", "", now
	return nil
}

// resumed logs the end of a gap, unless the disk is in doubt: that is said once it is over.
func (s *stream) resumed(startUs int64, p *media.Params) {
	s.mu.Lock()
	doubted := s.status.refused.lasts()
	s.mu.Unlock()
	if doubted {
		return
	}
	s.log.Info("recording", "gap", s.gap.Reason, "seconds", float64(startUs-s.gap.StartUs)/1e6, "codecs", codecName(p.Tracks))
}

func (s *stream) header(f media.Frame, startUs int64) mp4.Header {
	h := mp4.Header{
		Segment: s.rec.Ledger.NextSegment(), Site: string(s.rec.cfg.Site), Camera: string(s.name.Camera), Stream: string(s.name.Kind),
		Run: s.runOf(f.Params), StartUs: startUs, MonoUs: f.MonoUs, Discontinuity: s.broken || s.gap.ID != 0,
		Tracks: f.Params.Tracks, Base: make([]int64, len(f.Params.Tracks)),
	}
	h.Base[0] = f.DTS
	if len(h.Tracks) > 1 {
		// Audio has no key frames: where it stands follows from the audio frame nearest to the beginning.
		near := s.order.nextAudio()
		if near == nil && s.soundP == f.Params {
			near = &media.Frame{DTS: s.sound[0], MonoUs: s.sound[1]}
		}
		if near != nil {
			h.Base[1] = near.DTS + scale(f.MonoUs-near.MonoUs, int64(h.Tracks[1].Timescale), 1e6)
		}
	}
	return h
}

// runOf returns the run on whose timeline the frames of p are.
func (s *stream) runOf(p *media.Params) int64 {
	if p.Run != 0 {
		return p.Run
	}
	return s.rec.Clock.Run()
}

// end closes the segment at endMono; with a reason a gap begins there.
func (s *stream) end(ctx context.Context, endMono int64, reason wire.Reason, text string) error {
	seg := s.seg
	defer s.rec.closed(seg)
	endUs := max(seg.wall(endMono), seg.header.StartUs+1)
	digest, err := seg.finish(endMono, s.sign)
	s.leave(reason == "")
	if err != nil {
		return s.abandon(ctx, seg, err, reason, text)
	}
	if seg.lost > 0 {
		s.log.Warn("frames could not be recorded: the format can't hold them", "frames", seg.lost, "segment", seg.header.Segment)
	}
	s.first, s.last, s.gaps = false, digest, nil
	s.endUs, s.endRun = endUs, seg.header.Run
	row := ledger.Segment{
		ID: seg.header.Segment, Volume: seg.file.Volume(), Stream: s.name, Run: seg.header.Run, MonoUs: seg.header.MonoUs,
		StartUs: seg.header.StartUs, EndUs: endUs, Bytes: seg.file.Size(), Parts: len(seg.parts), Root: root(seg.header, seg.parts),
	}
	var gap *ledger.Gap
	if reason != "" || s.rec.Clock.Run() != seg.header.Run {
		g := s.gapAfter(reason, text)
		gap = &g
	}
	gapID, err := s.rec.Ledger.CloseSegment(ctx, row, gap)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.status.durableUs = endUs
	s.mu.Unlock()
	if gap != nil {
		gap.ID = gapID
		s.entered(*gap)
	}
	return nil
}

// leave lets go of the segment.
func (s *stream) leave(recording bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if us := s.seg.noted.Load(); us > 0 {
		s.status.durableUs = us
	}
	s.seg, s.status.recording = nil, recording
}

// wrote goes on after something was added to the segment; err is the disk's.
func (s *stream) wrote(ctx context.Context, err error) error {
	if err != nil {
		seg := s.seg
		defer s.rec.closed(seg)
		s.leave(false)
		return s.abandon(ctx, seg, err, "", "")
	}
	s.release()
	return nil
}

// release tells the hub which frames can be read from disk now.
func (s *stream) release() {
	if s.seg == nil || len(s.seg.parts) == s.saved {
		return
	}
	s.saved = len(s.seg.parts)
	s.hub.Release(s.order.oldest(s.seg.unsaved()) - 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.status.wrote = now
	if s.status.refused.over(s.log, now, s.status.since) {
		s.retry.Reset()
	}
}

// rest takes what waits although it is not much, and writes a part that has waited for too long: the stream
// stands still.
func (s *stream) rest(ctx context.Context) error {
	if err := s.drain(ctx); err != nil {
		return err
	}
	if s.seg != nil && s.seg.stale() {
		return s.wrote(ctx, s.seg.writePart())
	}
	return nil
}

// stop closes the segment at the end of the run.
func (s *stream) stop(ctx context.Context) error {
	if err := s.pass(ctx, true); err != nil {
		return err
	}
	reason := s.rec.cfg.EndedBy()
	if s.seg != nil {
		return s.end(ctx, s.seg.heldEnd(), reason, "")
	}
	return s.regap(ctx, reason, "")
}

// sign fills in what only the recorder knows and signs a segment's statement.
func (s *stream) sign(st evidence.Statement) (evidence.Signed, error) {
	st.Previous, st.Gaps = s.last, s.gaps
	if len(st.Gaps) > evidence.MaxGaps {
		st.Gaps = st.Gaps[len(st.Gaps)-evidence.MaxGaps:]
	}
	st.WallOffsetUs, st.OffsetKnown = s.rec.cfg.Offset()
	return evidence.Sign(st, s.rec.cfg.Key)
}

// root returns the Merkle root over the parts of a segment.
func root(h mp4.Header, parts []mp4.PartSum) [32]byte { return mp4.NewStatement(h, nil, parts).Root }
