package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// lookAhead is how far the first look into the ledger reaches; further ones reach four times as far each.
const lookAhead = int64(10 * time.Minute / time.Microsecond)

// pinFor bounds how long retention waits for a player that reads a segment.
const pinFor = 10 * time.Minute

// errEnd says that there is no later video at the site for now.
var errEnd = errors.New("no later video at the site")

// player reads recorded frames of one stream in decoding order, from segment to segment, over gaps.
type player struct {
	footage Footage
	stream  id.Stream
	log     *slog.Logger

	ahead  []ledger.Segment
	seg    ledger.Segment
	file   File
	header mp4.Header
	offset int64 // of the part to read next
	params *media.Params
	offUs  *int64 // the error of the site's clock in the segment, as in rtc.Note; nil: not known
	queue  []shot
	lastUs int64 // wall time up to which was read
	lateUs int64 // frames before this are late
	ptsUs  int64 // presentation time of the video frame read last
	torn   bool  // pictures are missing: the next one is a key frame
	last   *shot // the picture read last
	unpin  func()
}

func newPlayer(footage Footage, stream id.Stream, log *slog.Logger) *player {
	return &player{footage: footage, stream: stream, log: log}
}

func (p *player) close() {
	if p.file != nil {
		if err := p.file.Close(); err != nil {
			p.log.Warn("close segment", "error", err)
		}
		p.file = nil
		p.unpin()
	}
}

// seek moves to the key frame at or before atUs; frames before atUs are marked late, to be shown in a burst.
// Where nothing is recorded at atUs it moves to the next video after it. The error is a *wire.Failure when there
// is none.
func (p *player) seek(ctx context.Context, atUs int64) error {
	p.close()
	*p = player{footage: p.footage, stream: p.stream, log: p.log, lastUs: atUs, lateUs: atUs}
	err := p.nextSegment(ctx)
	if err == nil {
		err = p.fill(ctx)
	}
	if errors.Is(err, errEnd) {
		text := "There is no video at the site from this moment on."
		if why := p.footage.Gap(ctx, p.stream, atUs); why != "" {
			text += " " + why
		}
		return &wire.Failure{Code: wire.FailedNoVideo, Text: text}
	}
	if err != nil {
		return err
	}
	p.trim(atUs)
	return nil
}

// enter moves to a picture that is known: those before it, from its key frame on, are late, and so are all before lateUs.
func (p *player) enter(ctx context.Context, at place, lateUs int64) error {
	p.close()
	*p = player{footage: p.footage, stream: p.stream, log: p.log, lastUs: at.atUs, lateUs: lateUs}
	err := p.open(at.seg)
	if err == nil {
		err = p.fill(ctx)
	}
	if err != nil {
		return err
	}
	p.trim(at.atUs)
	return nil
}

// trim leaves the last key frame up to atUs of those in the part that was just read, and what comes behind it: no other is
// needed.
func (p *player) trim(atUs int64) {
	from := 0
	for i, s := range p.queue {
		if s.key && s.atUs <= atUs {
			from = i
		}
	}
	p.queue = p.queue[from:]
}

// unread puts back what next returned last.
func (p *player) unread(s shot) { p.queue = append([]shot{s}, p.queue...) }

// keep renews the pin of the segment that is open.
func (p *player) keep() {
	if p.file != nil {
		before := p.unpin
		p.unpin = p.footage.Pin(p.stream, p.seg.StartUs, p.seg.EndUs, pinFor)
		before()
	}
}

// toKey moves to the last part of the segment with a key frame at or before atUs, or to the segment's beginning.
func (p *player) toKey(atUs int64) error {
	video := p.header.VideoTrack()
	if video < 0 {
		return nil
	}
	scale := int64(p.header.Tracks[video].Timescale)
	for part, err := range mp4.Parts(p.file, p.seg.Bytes) {
		if err != nil {
			return fmt.Errorf("read segment %d: %w", p.seg.ID, err)
		}
		// A part may begin with sound that is a little later than its first picture.
		if part.Sum.StartUs > atUs+nearUs {
			break
		}
		if part.Sum.KeySample >= 0 && part.Sum.StartUs-part.Sum.MediaUs+part.Sum.KeyTime*1_000_000/scale <= atUs {
			p.offset = part.Offset
		}
	}
	return nil
}

// next returns the next frame in decoding order, errEnd when there is none now.
func (p *player) next(ctx context.Context) (shot, error) {
	for len(p.queue) == 0 {
		if err := p.fill(ctx); err != nil {
			return shot{}, err
		}
	}
	s := p.queue[0]
	p.queue = p.queue[1:]
	return s, nil
}

// fill reads the next part into the queue, going on to the next segment where one ends.
func (p *player) fill(ctx context.Context) error {
	for {
		if p.file != nil {
			part, err := mp4.ReadPart(p.file, p.seg.Bytes, p.offset, p.header)
			if err == nil {
				p.offset = part.Offset + part.Size
				if err = p.enqueue(part); !errors.Is(err, mp4.ErrFormat) {
					return err
				}
				p.log.Debug("pass over a part", "error", err)
				p.torn = true
				continue
			}
			if grown, err := p.reopen(ctx); err != nil || grown {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := p.nextSegment(ctx); err != nil {
			return err
		}
	}
}

// reopen looks whether the segment that was read to its end has grown since.
func (p *player) reopen(ctx context.Context) (bool, error) {
	segs, err := p.footage.Segments(ctx, p.stream, p.lastUs-1, p.lastUs+lookAhead)
	if err != nil {
		return false, fmt.Errorf("look for more video: %w", err)
	}
	for _, s := range segs {
		if s.ID == p.seg.ID && s.Bytes > p.seg.Bytes && p.offset < s.Bytes {
			if _, err := mp4.ReadPart(p.file, s.Bytes, p.offset, p.header); err != nil {
				return false, nil // what was added is the seal
			}
			p.seg = s
			return true, nil
		}
	}
	return false, nil
}

// nextSegment opens the segment that goes on where reading has come to, or the first one after that.
func (p *player) nextSegment(ctx context.Context) error {
	for {
		next, err := p.pick(ctx)
		if err != nil {
			return err
		}
		err = p.open(next)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, mp4.ErrFormat) {
			return err
		}
		// Retention was faster, or the file is damaged: go on behind it.
		p.log.Debug("pass over a segment", "error", err)
		p.lastUs = max(p.lastUs, next.EndUs)
	}
}

// pick takes the next segment from those that are known. The ranges of two runs may overlap after a step of the
// clock: then the run that is being played goes on.
func (p *player) pick(ctx context.Context) (ledger.Segment, error) {
	later := func(s ledger.Segment) bool { return s.EndUs > p.lastUs && s.ID != p.seg.ID }
	i := slices.IndexFunc(p.ahead, later)
	if i < 0 {
		if err := p.look(ctx, later); err != nil {
			return ledger.Segment{}, err
		}
		i = slices.IndexFunc(p.ahead, later)
	}
	same := func(s ledger.Segment) bool {
		return later(s) && s.Run == p.seg.Run && s.StartUs <= p.lastUs+mp4.JoinToleranceUs
	}
	if j := slices.IndexFunc(p.ahead, same); j >= 0 {
		i = j
	}
	return p.ahead[i], nil
}

// look asks the ledger for segments after what was read: first nearby, then further and further away.
func (p *player) look(ctx context.Context, later func(ledger.Segment) bool) error {
	from, reach, now := p.lastUs, lookAhead, time.Now().UnixMicro()
	for {
		segs, err := p.footage.Segments(ctx, p.stream, from, from+reach)
		if err != nil {
			return fmt.Errorf("look for video: %w", err)
		}
		if i := slices.IndexFunc(segs, later); i >= 0 {
			p.ahead = slices.Clone(segs[i:min(i+32, len(segs))])
			return nil
		}
		if from += reach; from > now {
			return errEnd
		}
		reach *= 4
	}
}

func (p *player) open(next ledger.Segment) error {
	p.close()
	file, size, err := p.footage.Open(next.Volume, next.ID)
	if err != nil {
		return fmt.Errorf("open segment %d: %w", next.ID, err)
	}
	// The file may hold bytes that are not durable yet; the ledger says what counts.
	if next.Bytes <= 0 || next.Bytes > size {
		next.Bytes = size
	}
	header, start, err := mp4.ReadHeader(file, size)
	if err != nil {
		return errors.Join(fmt.Errorf("read segment %d: %w", next.ID, err), file.Close())
	}
	p.file, p.seg, p.header, p.offset = file, next, header, start
	p.unpin = p.footage.Pin(p.stream, next.StartUs, next.EndUs, pinFor)
	p.params, p.ptsUs, p.torn = &media.Params{Tracks: header.Tracks, Run: header.Run}, 0, false
	p.offUs = p.clockError(size)
	if next.StartUs < p.lastUs-gapUs {
		p.lateUs = max(p.lateUs, p.lastUs) // it reaches back before what has been shown
	}
	if err := p.toKey(p.lastUs); err != nil {
		return err
	}
	return p.afterLead()
}

// clockError is what is to be added to the open segment's times: as measured when it was closed, and while it is open as it
// is now.
func (p *player) clockError(size int64) *int64 {
	signed, _, _, err := mp4.ReadSeal(p.file, size)
	if errors.Is(err, mp4.ErrNoSeal) && p.footage.Offset != nil {
		if us, known := p.footage.Offset(); known {
			return &us
		}
	}
	if err != nil {
		return nil
	}
	st, err := evidence.ParseStatement(signed.Statement)
	if err != nil || !st.OffsetKnown {
		return nil
	}
	return &st.WallOffsetUs
}

// afterLead passes over the pictures for decoding alone that a fetched segment begins with, when the last of them is the
// picture that was read last: decoding goes on from there.
func (p *player) afterLead() error {
	last, offset := p.last, p.offset
	if last == nil {
		return nil
	}
	var lead mp4.Part
	for {
		part, err := mp4.ReadPart(p.file, p.seg.Bytes, offset, p.header)
		if err != nil || !part.Lead(&p.header) {
			break
		}
		lead, offset = part, part.Offset+part.Size
	}
	if offset == p.offset {
		return nil
	}
	samples, err := mp4.ReadSamples(p.file, lead)
	if err != nil {
		return fmt.Errorf("read a part of segment %d: %w", p.seg.ID, err)
	}
	s := samples[len(samples)-1]
	t := &p.header.Tracks[s.Track]
	if last.track.Equal(t) && mp4.SamePicture(t.Codec, last.units, s.Units) {
		p.offset = offset
	}
	return nil
}

func (p *player) enqueue(part mp4.Part) error {
	samples, err := mp4.ReadSamples(p.file, part)
	if err != nil {
		return fmt.Errorf("read a part of segment %d: %w", p.seg.ID, err)
	}
	zeroUs := part.Sum.StartUs - part.Sum.MediaUs // wall time of media time 0, by the clock at this part
	lead := part.Lead(&p.header)
	for _, s := range samples {
		t := &p.header.Tracks[s.Track]
		dtsUs := s.DTS * 1_000_000 / int64(t.Timescale)
		ptsUs := (s.DTS + int64(s.CTS)) * 1_000_000 / int64(t.Timescale)
		f := shot{track: t, key: s.Key && t.Codec.IsVideo(), units: s.Units, mediaUs: dtsUs, laterUs: ptsUs - dtsUs, atUs: zeroUs + ptsUs}
		f.late = lead || f.atUs < p.lateUs
		if t.Codec.IsVideo() {
			if p.torn && !f.key {
				continue
			}
			p.torn = false
			p.params.BFrames = p.params.BFrames || ptsUs < p.ptsUs
			p.ptsUs = ptsUs
			p.last = &f
		}
		p.queue = append(p.queue, f)
	}
	sortShots(p.queue)
	p.lastUs = max(p.lastUs, part.Sum.EndUs)
	return nil
}
