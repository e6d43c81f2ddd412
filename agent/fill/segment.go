package fill

import (
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/evidence"
	"holdfast/shared/mp4"
)

// Sizes of segments and parts are those of recorded ones.
const (
	segmentUs    = 60_000_000
	partUs       = 1_001_000 // and what rounding adds
	segmentBytes = 256 << 20 * 7 / 8
)

// segment is the file of fetched footage that is being written. The pictures before the range that its first ones need
// to be decoded lie in parts of their own, one tick of the clock each, right before the range: what a part holds before
// the beginning of the segment's row is not shown.
type segment struct {
	t       *intake
	file    *disk.File
	header  mp4.Header
	init    []byte
	params  *media.Params
	builder *mp4.PartBuilder
	buf     []byte
	parts   []mp4.PartSum

	startUs int64 // of the row
	base    int64 // the source's DTS of media time 0
	rate    int64
	held    media.Frame // the newest picture: its duration is known when the next one comes
	partAt  int64       // media time of the part's first picture
	queue   []shot      // sound that waits for its place between the pictures
	soundAt int64       // end of the sound so far, in its track's timescale
}

// create begins a segment at a picture that is shown from startUs on, behind those that it needs.
func (t *intake) create(first shot, startUs int64, lead []shot) (*segment, error) {
	rate := int64(first.Params.Tracks[first.Track].Timescale)
	before := int64(len(lead))
	run := t.Clock.Run()
	h := mp4.Header{
		Segment: t.Ledger.NextSegment(), Site: string(t.cfg.Site), Camera: string(t.stream.Camera), Stream: string(t.stream.Kind),
		Origin: t.origin, Run: run, StartUs: startUs - scale(before, 1e6, rate), Discontinuity: t.got == 0 || startUs != t.atUs,
		Tracks: first.Params.Tracks, Base: make([]int64, len(first.Params.Tracks)),
	}
	h.MonoUs = h.StartUs - t.Clock.WallIn(run, 0)
	h.Base[first.Track] = first.DTS - before
	s := &segment{t: t, header: h, params: first.Params, startUs: startUs, base: first.DTS - before, rate: rate, held: first.Frame}
	var err error
	if s.init, err = mp4.AppendInit(nil, h); err != nil {
		return nil, err
	}
	if s.builder, err = mp4.NewPartBuilder(h); err != nil {
		return nil, err
	}
	if s.file, err = t.Disk.Create(h.Segment); err != nil {
		return nil, err
	}
	if _, err = s.file.Write(s.init); err == nil {
		err = s.lead(lead)
	}
	if err != nil {
		return nil, errors.Join(err, t.discard(s))
	}
	return s, nil
}

// lead writes the pictures from before the range.
func (s *segment) lead(lead []shot) error {
	for i := range lead {
		if err := s.add(mp4.Sample{DTS: int64(i), Duration: 1, Key: lead[i].Key, Units: lead[i].Units}); err != nil {
			return err
		}
	}
	return s.writePart()
}

// wallOf returns where a picture of the source belongs.
func (s *segment) wallOf(dts int64) int64 { return s.header.StartUs + scale(dts-s.base, 1e6, s.rate) }

// heldUs is when the newest picture begins.
func (s *segment) heldUs() int64 { return s.wallOf(s.held.DTS) }

// due says whether the segment is to end at a key frame.
func (s *segment) due(wallUs int64) bool {
	return wallUs-s.startUs >= segmentUs || s.file.Size() > segmentBytes || len(s.parts) >= mp4.MaxParts-2
}

// video takes the next picture.
func (s *segment) video(x shot) error {
	err := s.put(x.DTS - s.held.DTS)
	s.held = x.Frame
	return err
}

// put adds the held picture, which lasts for so long, and the sound before its end.
func (s *segment) put(duration int64) error {
	at := s.held.DTS - s.base
	if !s.builder.Empty() && scale(at+duration-s.partAt, 1e6, s.rate) > partUs {
		if err := s.writePart(); err != nil {
			return err
		}
	}
	if s.builder.Empty() {
		s.partAt = at
	}
	err := s.add(mp4.Sample{
		Track: s.held.Track, DTS: at, CTS: int32(s.held.PTS - s.held.DTS), Duration: uint32(max(duration, 1)), Key: s.held.Key, Units: s.held.Units,
	})
	if err != nil {
		return err
	}
	endUs := s.wallOf(s.held.DTS + duration)
	for len(s.queue) > 0 && s.queue[0].wallUs < endUs {
		if err := s.putSound(s.queue[0]); err != nil {
			return err
		}
		s.queue = s.queue[1:]
	}
	return nil
}

func (s *segment) audio(x shot) { s.queue = append(s.queue, x) }

func (s *segment) putSound(x shot) error {
	rate := int64(s.header.Tracks[x.Track].Timescale)
	at := scale(x.wallUs-s.header.StartUs, rate, 1e6)
	if s.soundAt > 0 && abs(at-s.soundAt) < rate/10 {
		at = s.soundAt // clocks jitter, sound does not
	}
	if at < 0 || at < s.soundAt {
		return nil
	}
	duration := frameLength(&s.header.Tracks[x.Track], x.Frame)
	s.soundAt = at + duration
	return s.add(mp4.Sample{Track: x.Track, DTS: at, Duration: uint32(max(duration, 1)), Key: true, Units: x.Units})
}

// add takes a sample into the part, or into the next one when it is full.
func (s *segment) add(x mp4.Sample) error {
	reset := func() {
		if s.builder.Empty() {
			us := scale(x.DTS, 1e6, int64(s.header.Tracks[x.Track].Timescale))
			s.builder.Reset(uint32(len(s.parts)+1), s.header.StartUs+us, s.header.MonoUs+us)
		}
	}
	reset()
	err := s.builder.Add(x)
	if errors.Is(err, mp4.ErrTooLarge) && !s.builder.Empty() {
		if err := s.writePart(); err != nil {
			return err
		}
		reset()
		err = s.builder.Add(x)
	}
	if err != nil {
		s.t.Log.Debug("a frame of an archive could not be taken", "stream", s.t.stream, "error", err) // the others can
	}
	return nil
}

// writePart writes what was collected as one part, once the disk keeps up with recording.
func (s *segment) writePart() error {
	if s.builder.Empty() {
		return nil
	}
	s.t.yield()
	var sum mp4.PartSum
	s.buf, sum = s.builder.AppendTo(s.buf[:0])
	if _, err := s.file.Write(s.buf); err != nil {
		return err
	}
	s.parts = append(s.parts, sum)
	s.builder.Reset(uint32(len(s.parts)+1), 0, 0)
	return nil
}

// slowRound is how long a flush round may take before gap-fill leaves the disk to recording for a moment.
const slowRound = time.Second

// yield waits while the disk is slow, for some seconds at most.
func (t *intake) yield() {
	slow := func() bool {
		for _, v := range t.Disk.Volumes() {
			if v.Round > slowRound {
				return true
			}
		}
		return false
	}
	if !slow() {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for range 12 {
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return
		}
		if !slow() {
			return
		}
	}
}

// finish ends the segment at endUs, seals it, makes it durable, and returns its row.
func (s *segment) finish(endUs int64) (ledger.Segment, error) {
	if err := s.put(max(scale(endUs-s.heldUs(), s.rate, 1e6), 1)); err != nil {
		return ledger.Segment{}, err
	}
	if err := s.writePart(); err != nil {
		return ledger.Segment{}, err
	}
	st := mp4.NewStatement(s.header, s.init, s.parts)
	st.Gaps = []evidence.Gap{s.t.gap} // what it fills
	st.WallOffsetUs, st.OffsetKnown = s.t.cfg.Offset()
	signed, err := evidence.Sign(st, s.t.cfg.Key)
	if err != nil {
		return ledger.Segment{}, fmt.Errorf("seal segment %d: %w", s.header.Segment, err)
	}
	if _, err := s.file.Write(mp4.AppendSeal(nil, mp4.Seal{
		Signed: signed, InitSize: int64(len(s.init)), Video: s.header.VideoTrack(), Parts: s.parts,
	})); err != nil {
		return ledger.Segment{}, err
	}
	if err := s.file.Flush(); err != nil {
		return ledger.Segment{}, err
	}
	return ledger.Segment{
		ID: s.header.Segment, Volume: s.file.Volume(), Stream: s.t.stream, Run: s.header.Run, MonoUs: s.header.MonoUs,
		StartUs: s.startUs, EndUs: endUs, Bytes: s.file.Size(), Parts: len(s.parts), Root: st.Root, Origin: s.header.Origin,
	}, s.file.Close()
}

// frameLength returns the duration of an audio frame in its track's timescale.
func frameLength(t *mp4.Track, f media.Frame) int64 {
	switch t.Codec {
	case mp4.AAC:
		return 1024
	case mp4.Opus:
		return opus.PacketDuration2(f.Units[0])
	default:
		return int64(f.Bytes / max(t.Channels, 1))
	}
}
