package clip

import (
	"fmt"

	"github.com/thesyncim/gopus"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

const (
	opusClock  = 48000 // units per second of an Opus track (RFC 7587 section 4.1)
	opusFrames = 50    // per second: frames of 20 ms
)

// sound turns the G.711 of a clip (ITU-T G.711) into Opus (RFC 6716). Other audio stays as it is.
type sound struct {
	from, to int64 // of the clip, wall µs
	rate     int   // of the source, samples per second; 0 before the first
	runs     []run
}

// run is sound without a gap.
type run struct {
	atUs int64
	pcm  []int16
}

func newSound(o wire.ClipOrder) *sound { return &sound{from: o.StartUs, to: o.EndUs} }

func (s *sound) any() bool { return len(s.runs) > 0 }

// add takes what a segment has inside the clip's range.
func (s *sound) add(f File, size int64, h mp4.Header) error {
	track := -1
	for i, t := range h.Tracks {
		if (t.Codec == mp4.PCMU || t.Codec == mp4.PCMA) && t.Channels <= 1 && validRate(t.SampleRate) {
			track = i
		}
	}
	if track < 0 || (s.rate != 0 && s.rate != h.Tracks[track].SampleRate) {
		return nil
	}
	t := h.Tracks[track]
	s.rate = t.SampleRate
	for part, err := range mp4.Parts(f, size) {
		if err != nil {
			return fmt.Errorf("read sound: %w", err)
		}
		if part.Sum.EndUs <= s.from || part.Sum.StartUs >= s.to {
			continue
		}
		for _, info := range part.Samples {
			at := h.StartUs + info.DTS*1_000_000/int64(t.Timescale)
			if info.Track != track || at < s.from-1_000_000 || at >= s.to || info.Size > 1<<20 {
				continue
			}
			coded := make([]byte, info.Size)
			if _, err := f.ReadAt(coded, info.Offset); err != nil {
				return fmt.Errorf("read sound: %w", err)
			}
			s.append(at, coded, t.Codec == mp4.PCMU)
		}
	}
	return nil
}

// validRate reports whether Opus takes this rate without resampling.
func validRate(rate int) bool { return rate == 8000 || rate == 16000 || rate == 24000 || rate == 48000 }

// append adds decoded samples to the last run, or begins one after a gap of more than 60 ms.
func (s *sound) append(atUs int64, coded []byte, muLaw bool) {
	if n := len(s.runs); n == 0 || abs(atUs-s.runs[n-1].endUs(s.rate)) > 60_000 {
		s.runs = append(s.runs, run{atUs: atUs})
	}
	last := &s.runs[len(s.runs)-1]
	for _, b := range coded {
		if muLaw {
			last.pcm = append(last.pcm, decodeMuLaw(b))
		} else {
			last.pcm = append(last.pcm, decodeALaw(b))
		}
	}
}

func (r *run) endUs(rate int) int64 { return r.atUs + int64(len(r.pcm))*1_000_000/int64(rate) }

func abs(n int64) int64 { return max(n, -n) }

// finish encodes the runs.
func (s *sound) finish() (mp4.Track, []mp4.Sample, error) {
	track := mp4.Track{Codec: mp4.Opus, Timescale: opusClock, SampleRate: opusClock, Channels: 1}
	var samples []mp4.Sample
	for i := range s.runs {
		r := &s.runs[i]
		more, err := s.encode(r)
		if err != nil {
			return track, nil, err
		}
		if n := len(samples); n > 0 && len(more) > 0 && more[0].DTS <= samples[n-1].DTS {
			continue // it would overlap what is there already
		}
		samples = append(samples, more...)
	}
	return track, samples, nil
}

func (s *sound) encode(r *run) ([]mp4.Sample, error) {
	enc, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: s.rate, Channels: 1, Application: gopus.ApplicationAudio})
	if err != nil {
		return nil, fmt.Errorf("make Opus encoder: %w", err)
	}
	if err := enc.SetBitrate(32000); err != nil {
		return nil, fmt.Errorf("set Opus bitrate: %w", err)
	}
	frame := s.rate / opusFrames // the encoder's default
	start := (r.atUs-s.from)*opusClock/1_000_000 - int64(enc.Lookahead())*opusClock/int64(s.rate)
	var out []mp4.Sample
	buf := make([]byte, 4000)
	for i := 0; i*frame < len(r.pcm); i++ {
		pcm := r.pcm[i*frame : min((i+1)*frame, len(r.pcm))]
		if len(pcm) < frame { // the last one is filled with silence
			pcm = append(append([]int16{}, pcm...), make([]int16, frame-len(pcm))...)
		}
		n, err := enc.EncodeInt16(pcm, buf)
		if err != nil {
			return nil, fmt.Errorf("encode Opus: %w", err)
		}
		packet := append([]byte(nil), buf[:n]...)
		out = append(out, mp4.Sample{
			DTS: start + int64(i)*opusClock/opusFrames, Duration: opusClock / opusFrames, Units: [][]byte{packet},
		})
	}
	return out, nil
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
