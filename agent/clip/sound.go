package clip

import (
	"fmt"

	"holdfast/shared/g711"
	"holdfast/shared/mp4"
)

const opusUs = 1_000_000 / g711.PerSecond

// apartUs is how far two frames of sound may be apart, either way, and still follow one another: cameras' clocks
// differ from the site's.
const apartUs = 60_000

// sound turns the G.711 of a clip into Opus. It keeps no more than one frame undone.
type sound struct {
	from, to int64 // of the clip, wall µs
	rate     int   // of the source, samples per second; 0 before the first
	err      error // the first

	// The present run: sound without a gap.
	enc  *g711.Encoder // nil outside a run
	dts  int64         // of the next frame, counted from the clip's beginning
	atUs int64         // wall time of its first sample

	runs    int
	endUs   int64 // of all runs before: nothing begins earlier
	samples []mp4.Sample
}

func newSound(fromUs, toUs int64) *sound {
	return &sound{from: fromUs, to: toUs}
}

// converted returns the index of the track that has to be converted, -1 when there is none.
func converted(h *mp4.Header) int {
	for i, t := range h.Tracks {
		if (t.Codec == mp4.PCMU || t.Codec == mp4.PCMA) && t.Channels <= 1 && g711.Takes(t.SampleRate) {
			return i
		}
	}
	return -1
}

// add takes what a segment has inside the clip's range.
func (s *sound) add(f File, size int64, h mp4.Header) {
	track := converted(&h)
	if track < 0 || s.err != nil || (s.rate != 0 && s.rate != h.Tracks[track].SampleRate) {
		return
	}
	t := h.Tracks[track]
	s.rate = t.SampleRate
	law := g711.A
	if t.Codec == mp4.PCMU {
		law = g711.Mu
	}
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
			s.append(at, coded, law)
		}
	}
}

// append adds coded samples to the present run, or begins one when they are too far from its end. Samples for a time
// that has its sound already are left out.
func (s *sound) append(atUs int64, coded []byte, law g711.Law) {
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
	if s.err == nil {
		s.take(s.enc.Add(coded, law))
	}
}

// reachUs is the wall time at which the present run ends.
func (s *sound) reachUs() int64 { return s.atUs + int64(s.enc.Waiting())*1_000_000/int64(s.rate) }

func abs(n int64) int64 { return max(n, -n) }

// begin starts a run.
func (s *sound) begin(atUs int64) {
	if s.enc, s.err = g711.NewEncoder(s.rate); s.err != nil {
		return
	}
	s.atUs = atUs
	s.dts = (atUs-s.from)*g711.Clock/1_000_000 - s.enc.Lookahead()
	s.runs++
}

// flush ends the run: what is less than a frame is filled with silence.
func (s *sound) flush() {
	if s.enc == nil {
		return
	}
	if s.err == nil {
		s.take(s.enc.Flush())
	}
	s.endUs, s.enc = s.atUs, nil
}

// take takes Opus frames that follow one another.
func (s *sound) take(frames [][]byte, err error) {
	for _, f := range frames {
		s.samples = append(s.samples, mp4.Sample{DTS: s.dts, Duration: g711.FrameTicks, Units: [][]byte{f}})
		s.dts += g711.FrameTicks
		s.atUs += opusUs
	}
	s.err = err
}

// finish returns the track; it has no samples when there was no sound.
func (s *sound) finish() (mp4.Track, []mp4.Sample, error) {
	s.flush()
	track := mp4.Track{Codec: mp4.Opus, Timescale: g711.Clock, SampleRate: g711.Clock, Channels: 1}
	return track, s.samples, s.err
}
