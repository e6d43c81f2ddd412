package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// clipSample is one sample of a clip. Its time is in the track's timescale and counts from the beginning of the shown
// range, so that pre-roll is negative.
type clipSample struct {
	at       int64 // DTS
	off      int64 // in the payload
	cts      int32
	size     uint32
	duration uint32
	entry    uint8
	key      bool
}

func (s *clipSample) end() int64 { return s.at + int64(s.duration) }

// layout lays the parts of a clip on one timeline and their payload into one mdat.
type layout struct {
	w     *ClipWriter
	video lane
	audio lane
	// shift of the run of parts that join seamlessly: add it to a time on the segment's media timeline to get the
	// time on the clip's. In the video track's timescale it is kept apart, so that rounding never adds up.
	source      *clipSource // of the part before
	videoSource *clipSource // of the picture before
	shiftUs     int64
	videoShift  int64
	delay       int64 // of the first presentation behind the first decoding, the same for all segments
	inBand      bool  // the next key frame must carry its parameter sets, since they differ from those before
	replaced    []Sample
	payload     pieces
	proofs      []partProof
	gaps        []ClipGap
}

// lane is one track of the clip.
type lane struct {
	scale   uint32
	samples []clipSample
}

func (l *lane) last() *clipSample {
	if len(l.samples) == 0 {
		return nil
	}
	return &l.samples[len(l.samples)-1]
}

// partProof says where the payload of a part went.
type partProof struct {
	part  *clipPart
	video []extent
	audio extent
}

// extent is a range of a clip, counted from the beginning of the payload while it is laid out.
type extent struct{ off, n int64 }

func (w *ClipWriter) newLayout() *layout {
	l := &layout{w: w, replaced: w.replaced}
	l.video.scale = w.video[0].Timescale
	if len(w.audio) > 0 {
		l.audio.scale = w.audio[0].Timescale
	}
	for i := range w.parts {
		l.delay = max(l.delay, l.delayOf(w.parts[i].source))
	}
	return l
}

// delayOf returns how long after their decoding a source's key frames are shown. Where reordering begins or ends with a
// segment, the pictures follow one another only if decoding is as early everywhere as the deepest reordering asks for.
func (l *layout) delayOf(src *clipSource) int64 {
	if src.video < 0 {
		return 0
	}
	return rescale(src.delay, l.w.video[src.video].Timescale, l.video.scale)
}

// add lays the next part behind what is there.
func (l *layout) add(p *clipPart) {
	src := p.source
	video, audio := splitKinds(p)
	l.join(p, video)
	proof := partProof{part: p}
	if src.audio >= 0 && len(audio) > 0 {
		l.fillSilence(l.audioAt(src, &audio[0]))
	}
	if src.video >= 0 {
		l.addVideo(p, video, &proof)
	}
	if src.audio >= 0 && len(audio) > 0 {
		proof.audio = extent{l.payload.size, int64(p.Sum.AudioBytes)}
		shift := l.payload.size - audio[0].Offset
		l.payload.copy(src, audio[0].Offset, int64(p.Sum.AudioBytes))
		for i := range audio {
			l.addAudio(src, &audio[i], shift)
		}
	}
	l.addReplaced(l.w.cfg.FromUs, p.atUs+p.Sum.EndUs-p.Sum.StartUs)
	l.proofs = append(l.proofs, proof)
}

func splitKinds(p *clipPart) (video, audio []SampleInfo) {
	n := int(p.Sum.VideoSamples)
	return p.Samples[:n], p.Samples[n:]
}

// resyncUs is how far the wall time may run ahead of the media time inside one segment before it is followed.
const resyncUs = 1_000_000

// join decides whether p goes on where the part before it ended, or begins at its own place, and sets the shifts.
func (l *layout) join(p *clipPart, video []SampleInfo) {
	ownShiftUs := p.atUs - l.w.cfg.FromUs - p.Sum.MediaUs
	fresh := l.source != p.source
	l.source = p.source
	if fresh {
		l.shiftUs = ownShiftUs
	}
	if len(video) == 0 {
		return
	}
	scale := p.source.header.Tracks[video[0].Track].Timescale
	first := rescale(video[0].DTS, scale, l.video.scale)
	early := l.delay - l.delayOf(p.source)
	// Where the first picture belongs by the part's own clock, and where seamless joining would put it.
	own := fromUs(ownShiftUs+toUs(video[0].DTS, scale), l.video.scale) - early
	at, slack, last := own, int64(0), l.video.last()
	switch {
	case last == nil:
	case l.videoSource == p.source:
		at, slack = first+l.videoShift, resyncUs
	default:
		at, slack = last.end(), JoinToleranceUs
	}
	if toUs(own-at, l.video.scale) > slack { // behind is but clocks that disagree: pictures never run backwards
		at = own
	}
	if last != nil && at <= last.at {
		at = last.at + 1
	}
	if last != nil && last.entry != uint8(p.source.video) {
		l.inBand = true
	}
	if l.videoSource != p.source || l.videoShift != at-first {
		l.videoSource, l.videoShift = p.source, at-first
		l.shiftUs = toUs(at+early, l.video.scale) - toUs(video[0].DTS, scale)
	}
	if last != nil {
		l.gap(toUs(last.end()+l.delay, l.video.scale), toUs(at+l.delay, l.video.scale))
	}
}

// gap declares the range without pictures if it is one and lies inside the clip. Times count from its beginning.
func (l *layout) gap(from, to int64) {
	from, to = max(from, 0), min(to, l.w.cfg.ToUs-l.w.cfg.FromUs)
	if to-from > JoinToleranceUs {
		l.gaps = append(l.gaps, ClipGap{l.w.cfg.FromUs + from, l.w.cfg.FromUs + to})
	}
}

func (l *layout) addVideo(p *clipPart, video []SampleInfo, proof *partProof) {
	if len(video) == 0 {
		return
	}
	track := &p.source.header.Tracks[video[0].Track]
	begin, end := video[0].Offset, video[0].Offset+int64(p.Sum.VideoBytes)
	put := func(until int64) {
		if until > begin {
			proof.video = append(proof.video, extent{l.payload.size, until - begin})
			l.payload.copy(p.source, begin, until-begin)
			begin = until
		}
	}
	shift, early := l.payload.size-begin, l.delay-l.delayOf(p.source)
	for i := range video {
		v := &video[i]
		s := clipSample{
			at: rescale(v.DTS, track.Timescale, l.video.scale) + l.videoShift, off: v.Offset + shift,
			cts: int32(rescale(int64(v.CTS), track.Timescale, l.video.scale) + early), size: v.Size,
			duration: clamp32(rescale(int64(v.Duration), track.Timescale, l.video.scale)),
			entry:    uint8(p.source.video), key: v.Key,
		}
		if l.inBand && v.Key {
			// Few players take new parameter sets from the table alone in the middle of a file.
			put(v.Offset)
			sets := inBandSets(track)
			s.off = l.payload.size
			l.payload.memory(sets)
			s.size += uint32(len(sets))
			shift += int64(len(sets))
			l.inBand = false
		}
		l.video.samples = append(l.video.samples, s)
	}
	put(end)
}

// inBandSets returns the parameter sets of a track as NAL units at the front of a sample.
func inBandSets(t *Track) (b []byte) {
	for _, set := range [][]byte{t.VPS, t.SPS, t.PPS} {
		if len(set) > 0 {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(set))), set...)
		}
	}
	return b
}

// audioAt returns where an audio sample lies in the clip.
func (l *layout) audioAt(src *clipSource, s *SampleInfo) int64 {
	scale := src.header.Tracks[s.Track].Timescale
	return fromUs(l.shiftUs, l.audio.scale) + rescale(s.DTS, scale, l.audio.scale)
}

func (l *layout) addAudio(src *clipSource, s *SampleInfo, shift int64) {
	scale := src.header.Tracks[s.Track].Timescale
	at := l.audioAt(src, s)
	if last := l.audio.last(); last != nil {
		if at < last.at+int64(last.duration)/2 {
			return // two segments hold the same moment
		}
		if slack := at - last.end(); slack < 0 || slack <= int64(last.duration) {
			last.duration = clamp32(at - last.at)
		}
	}
	l.audio.samples = append(l.audio.samples, clipSample{
		at: at, off: s.Offset + shift, size: s.Size, entry: uint8(src.audio), key: true,
		duration: clamp32(rescale(int64(s.Duration), scale, l.audio.scale)),
	})
}

// minFill is the shortest frame of silence, in microseconds: it bounds how many there can be in a clip.
const minFill = 10_000

// fillSilence bridges a hole in the sound before the next sample, at until. Players play sound samples one after the
// other whatever their times say, and would lose the picture's pace.
func (l *layout) fillSilence(until int64) {
	last := l.audio.last()
	if last == nil || last.duration == 0 {
		return
	}
	frame := silence(&l.w.audio[last.entry], last.duration)
	length := int64(last.duration)
	// Nothing is shown before or behind the clip, whatever the times in the file say.
	at := max(last.end(), 0)
	hole := min(until, fromUs(l.w.cfg.ToUs-l.w.cfg.FromUs, l.audio.scale)) - at
	if frame == nil || hole < 2*length || toUs(length, l.audio.scale) < minFill {
		return
	}
	entry := last.entry
	count := int(hole / length)
	for i := range count {
		l.audio.samples = append(l.audio.samples, clipSample{
			at: at + int64(i)*length, off: l.payload.size + int64(i*len(frame)),
			size: uint32(len(frame)), duration: uint32(length), entry: entry, key: true,
		})
	}
	l.payload.repeat(frame, count)
}

// addReplaced puts the caller's own audio up to a time on the clip's timeline.
func (l *layout) addReplaced(fromUs, untilUs int64) {
	for len(l.replaced) > 0 && toUs(l.replaced[0].DTS, l.audio.scale) < untilUs-fromUs {
		s := &l.replaced[0]
		l.fillSilence(s.DTS)
		out := clipSample{at: s.DTS, off: l.payload.size, duration: s.Duration, key: true}
		for _, unit := range s.Units {
			l.payload.memory(unit)
		}
		out.size = uint32(l.payload.size - out.off)
		if out.size > 0 {
			l.audio.samples = append(l.audio.samples, out)
		}
		l.replaced = l.replaced[1:]
	}
}

// trim leaves what the range needs: from the key frame that decoding begins at, to the last sample shown.
func (l *layout) trim() error {
	total := l.w.cfg.ToUs - l.w.cfg.FromUs
	video := l.video.samples
	begin, end := -1, 0
	for i := range video {
		shown := video[i].at + int64(video[i].cts)
		if video[i].key && (begin < 0 || shown <= 0) {
			begin = i
		}
		if toUs(shown, l.video.scale) < total {
			end = i + 1
		}
	}
	if begin < 0 || begin >= end || video[begin].at+int64(video[begin].cts) >= fromUs(total, l.video.scale) {
		return fmt.Errorf("clip of [%d, %d) µs: %w", l.w.cfg.FromUs, l.w.cfg.ToUs, ErrNoVideo)
	}
	l.video.samples = video[begin:end]

	// Decoders of sound need some milliseconds before the first they give out.
	audio := l.audio.samples
	warm := fromUs(-100_000, max(l.audio.scale, 1))
	begin, end = 0, 0
	for i := range audio {
		if audio[i].end() <= warm {
			begin = i + 1
		}
		if toUs(audio[i].at, l.audio.scale) < total {
			end = i + 1
		}
	}
	l.audio.samples = audio[min(begin, end):end]
	return errors.Join(l.video.settle(total, true), l.audio.settle(total, false))
}

// settle makes each duration the distance to the next sample. The last sample ends with the clip, at the latest, and
// when it is to hold until then, exactly.
func (l *lane) settle(totalUs int64, hold bool) error {
	for i := range l.samples {
		next := fromUs(totalUs, l.scale)
		if i+1 < len(l.samples) {
			next = l.samples[i+1].at
		} else if !hold {
			next = min(next, l.samples[i].end())
		}
		d := max(1, next-l.samples[i].at)
		if d > math.MaxUint32 {
			return fmt.Errorf("gap of %d s in a clip: %w", d/int64(l.scale), ErrTooLarge)
		}
		l.samples[i].duration = uint32(d)
	}
	return nil
}

// firstShown returns the presentation time of the first sample, counted from the beginning of the range.
func (l *lane) firstShown() int64 { return l.samples[0].at + int64(l.samples[0].cts) }

// rescale turns a time from one timescale into another, to the nearest unit.
func rescale(t int64, from, to uint32) int64 {
	if from == to {
		return t
	}
	f, o := int64(from), int64(to)
	whole, rest := t/f, t%f
	if rest < 0 {
		whole, rest = whole-1, rest+f
	}
	return whole*o + (rest*o+f/2)/f
}

func clamp32(v int64) uint32 { return uint32(min(max(v, 0), math.MaxUint32)) }

func abs(v int64) int64 { return max(v, -v) }
