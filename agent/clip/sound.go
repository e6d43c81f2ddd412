package clip

import (
	"fmt"

	"github.com/thesyncim/gopus"

	"holdfast/shared/mp4"
)

const (
	opusClock  = 48000 // units per second of an Opus track (RFC 7587 section 4.1)
	opusFrames = 50    // per second: frames of 20 ms
	opusUs     = 1_000_000 / opusFrames
)

// apartUs is how far two frames of sound may be apart, either way, and still follow one another: cameras' clocks
// differ from the site's.
const apartUs = 60_000

// sound turns the G.711 of a clip (ITU-T G.711) into Opus (RFC 6716). It keeps no more than one frame undone.
type sound struct {
	from, to int64 // of the clip, wall µs
	rate     int   // of the source, samples per second; 0 before the first
	err      error // the first

	// The present run: sound without a gap.
	enc  *gopus.Encoder // nil outside a run
	dts  int64          // of the next frame, counted from the clip's beginning
	atUs int64          // wall time of pcm's first sample
	pcm  []int16        // not enough for a frame yet
	buf  []byte

	runs    int
	endUs   int64 // of all runs before: nothing begins earlier
	samples []mp4.Sample
}

func newSound(fromUs, toUs int64) *sound {
	return &sound{from: fromUs, to: toUs, buf: make([]byte, 4000)}
}

// g711 returns the index of the track that has to be converted, -1 when there is none.
func g711(h *mp4.Header) int {
	for i, t := range h.Tracks {
		if (t.Codec == mp4.PCMU || t.Codec == mp4.PCMA) && t.Channels <= 1 && validRate(t.SampleRate) {
			return i
		}
	}
	return -1
}

// validRate reports whether Opus takes this rate without resampling.
func validRate(rate int) bool { return rate == 8000 || rate == 16000 || rate == 24000 || rate == 48000 }

// add takes what a segment has inside the clip's range.
func (s *sound) add(f File, size int64, h mp4.Header) {
	track := g711(&h)
	if track < 0 || s.err != nil || (s.rate != 0 && s.rate != h.Tracks[track].SampleRate) {
		return
	}
	t := h.Tracks[track]
	s.rate = t.SampleRate
	for part, err := range mp4.Parts(f, size) {
		if err != nil {
			s.err = fmt.Errorf("read sound: %w", err)
			return
		}
		if part.Sum.EndUs <= s.from || part.Sum.StartUs >= s.to {
			continue
		}
		zeroUs := part.Sum.StartUs - part.Sum.MediaUs
		for _, info := range part.Samples {
			at := zeroUs + info.DTS*1_000_000/int64(t.Timescale)
			if info.Track != track || at < s.from-1_000_000 || at >= s.to || info.Size > 1<<20 {
				continue
			}
			coded := make([]byte, info.Size)
			if _, err := f.ReadAt(coded, info.Offset); err != nil {
				s.err = fmt.Errorf("read sound: %w", err)
				return
			}
			s.append(at, coded, t.Codec == mp4.PCMU)
		}
	}
}

// append adds coded samples to the present run, or begins one when they are too far from its end. Samples for a time
// that has its sound already are left out.
func (s *sound) append(atUs int64, coded []byte, muLaw bool) {
	if s.err != nil {
		return
	}
	if s.enc == nil || abs(atUs-s.reachUs()) > apartUs {
		s.flush()
		if atUs < s.endUs {
			double := (s.endUs-atUs)*int64(s.rate)/1_000_000 + 1
			if double >= int64(len(coded)) {
				return
			}
			coded, atUs = coded[double:], s.endUs
		}
		s.begin(atUs)
	}
	for _, b := range coded {
		if muLaw {
			s.pcm = append(s.pcm, decodeMuLaw(b))
		} else {
			s.pcm = append(s.pcm, decodeALaw(b))
		}
	}
	frame := s.rate / opusFrames
	done := 0
	for ; len(s.pcm)-done >= frame && s.err == nil; done += frame {
		s.encode(s.pcm[done : done+frame])
	}
	s.pcm = s.pcm[:copy(s.pcm, s.pcm[done:])]
}

// reachUs is the wall time at which the present run ends.
func (s *sound) reachUs() int64 { return s.atUs + int64(len(s.pcm))*1_000_000/int64(s.rate) }

func abs(n int64) int64 { return max(n, -n) }

// begin starts a run.
func (s *sound) begin(atUs int64) {
	enc, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: s.rate, Channels: 1, Application: gopus.ApplicationAudio})
	if err == nil {
		err = enc.SetBitrate(32000)
	}
	if err != nil {
		s.err = fmt.Errorf("make Opus encoder: %w", err)
		return
	}
	s.enc, s.atUs = enc, atUs
	s.dts = (atUs-s.from)*opusClock/1_000_000 - int64(enc.Lookahead())*opusClock/int64(s.rate)
	s.runs++
}

// flush ends the run: what is less than a frame is filled with silence.
func (s *sound) flush() {
	if s.enc != nil && len(s.pcm) > 0 && s.err == nil {
		s.encode(append(s.pcm, make([]int16, s.rate/opusFrames-len(s.pcm))...))
	}
	if s.enc != nil {
		s.endUs = s.atUs
	}
	s.enc, s.pcm = nil, s.pcm[:0]
}

// encode makes one Opus frame.
func (s *sound) encode(pcm []int16) {
	n, err := s.enc.EncodeInt16(pcm, s.buf)
	if err != nil {
		s.err = fmt.Errorf("encode Opus: %w", err)
		return
	}
	const length = opusClock / opusFrames
	s.samples = append(s.samples, mp4.Sample{DTS: s.dts, Duration: length, Units: [][]byte{append([]byte(nil), s.buf[:n]...)}})
	s.dts += length
	s.atUs += opusUs
}

// finish returns the track; it has no samples when there was no sound.
func (s *sound) finish() (mp4.Track, []mp4.Sample, error) {
	s.flush()
	track := mp4.Track{Codec: mp4.Opus, Timescale: opusClock, SampleRate: opusClock, Channels: 1}
	return track, s.samples, s.err
}

// decodeMuLaw expands one µ-law byte (ITU-T G.711 table 2).
func decodeMuLaw(b byte) int16 {
	b = ^b
	magnitude := (int16(b&0x0f)<<3 + 0x84) << (b >> 4 & 7)
	if b&0x80 != 0 {
		return 0x84 - magnitude
	}
	return magnitude - 0x84
}

// decodeALaw expands one A-law byte (ITU-T G.711 table 1).
func decodeALaw(b byte) int16 {
	b ^= 0x55
	value := int16(b&0x0f)<<4 + 8
	if exponent := b >> 4 & 7; exponent > 0 {
		value = (value + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		return -value
	}
	return value
}
