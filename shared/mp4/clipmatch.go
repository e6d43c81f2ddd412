package mp4

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// checkTracks compares what the clip's tables show with what the evidence proves.
func (v *clipVerifier) checkTracks(video, audio *clipTrack) error {
	length := v.ToUs - v.FromUs
	if err := video.shift(length, false); err != nil {
		v.problem("video: %v", err)
		return nil
	}
	first := v.matchFirst(video)
	if first < 0 {
		v.problem("video: the first sample shown is not a signed key frame")
		return nil
	}
	if len(v.video)-first < len(video.samples) {
		v.problem("video: %d samples are shown, %d are signed", len(video.samples), len(v.video)-first)
		return nil
	}
	if err := v.checkVideo(video, v.video[first:first+len(video.samples)]); err != nil {
		return err
	}
	v.checkBorders(video, first)
	v.checkGaps(video, v.video[first:first+len(video.samples)])
	return v.checkAudio(audio, length)
}

// matchFirst returns the index of the signed sample that the clip's first one is, if decoding can begin there, or -1.
func (v *clipVerifier) matchFirst(video *clipTrack) int {
	s := &video.samples[0]
	i := slices.IndexFunc(v.video, func(p provenSample) bool {
		return p.Offset+int64(p.Size) == s.off+int64(s.size) && p.Key
	})
	return i
}

// timeOf returns when a sample is decoded, on the clip's timeline.
func (v *clipVerifier) timeOf(t *clipTrack, s *clipSample) int64 {
	return v.FromUs + toUs(s.at, t.scale)
}

// checkVideo compares the samples shown with the signed ones, one to one.
func (v *clipVerifier) checkVideo(t *clipTrack, proven []provenSample) error {
	early := int64(0) // how much earlier than recorded the pictures of a segment are decoded, see layout.delayOf
	for i := range t.samples {
		s, p := &t.samples[i], &proven[i]
		track := &v.sources[p.source].Tracks[p.Track]
		cts := rescale(int64(p.CTS), track.Timescale, t.scale)
		if i == 0 || p.source != proven[i-1].source {
			early = max(0, int64(s.cts)-cts)
		}
		off := s.off
		if sets := inBandSets(track); int64(s.size) == int64(p.Size)+int64(len(sets)) {
			if err := v.compareBytes(off, sets); err != nil {
				return err
			}
			off += int64(len(sets))
		}
		near := func(a, b int64) bool { return abs(a-b) <= 1 && (a == b || track.Timescale != t.scale) }
		switch {
		case off != p.Offset || off+int64(p.Size) != s.off+int64(s.size) || s.key != p.Key:
			v.problem("video: sample %d is not the signed one", i+1)
		case !near(int64(s.cts)-early, cts):
			v.problem("video: sample %d is shown at another time than signed", i+1)
		case i > 0 && proven[i-1].source == p.source && proven[i-1].part == p.part &&
			!near(s.at-t.samples[i-1].at, rescale(p.DTS-proven[i-1].DTS, track.Timescale, t.scale)):
			v.problem("video: sample %d comes at another time than signed", i+1)
		}
		if i == 0 || s.entry != t.samples[i-1].entry || p.source != proven[i-1].source {
			if entry := t.entries[s.entry]; !sameCodec(&entry, track) {
				v.problem("video: sample %d has other codec parameters than signed", i+1)
			}
		}
		shift := v.FromUs + toUs(s.at+int64(s.cts), t.scale) - p.wallUs - toUs(int64(p.CTS), track.Timescale)
		if i == 0 {
			v.ShiftUs, v.least, v.most = shift, shift, shift
		}
		v.least, v.most = min(v.least, shift), max(v.most, shift)
	}
	if v.most-v.least > MaxOverlapUs+2*JoinToleranceUs {
		v.problem("video: the clip's time and the signed time drift apart by %d µs", v.most-v.least)
	}
	return nil
}

// sameCodec compares what a clip's sample entry can tell.
func sameCodec(entry, t *Track) bool {
	e := *entry
	e.Timescale = t.Timescale
	if !t.Codec.IsVideo() {
		e.SampleRate, e.Channels = t.SampleRate, t.Channels
	}
	return e.Equal(t)
}

func (v *clipVerifier) compareBytes(off int64, want []byte) error {
	got, err := readAt(v.r, v.size, off, len(want))
	if err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	if err != nil || !bytes.Equal(got, want) {
		v.problem("bytes at %d are not the signed codec parameters", off)
	}
	return nil
}

// checkBorders sees that nothing was left out at the beginning or at the end that the range should show.
func (v *clipVerifier) checkBorders(t *clipTrack, first int) {
	begin := &t.samples[0]
	if own := max(0, -toUs(begin.at+int64(begin.cts), t.scale)); abs(own-v.PreRollUs) > 1000 {
		v.problem("the evidence says %d µs of pre-roll, there are %d", v.PreRollUs, own)
	}
	if begin.at+int64(begin.cts) > 0 && slices.ContainsFunc(v.video[:first], func(p provenSample) bool { return p.Key }) {
		v.problem("video: signed key frames before the first sample are left out")
	}
	for i := first + len(t.samples); i < len(v.video); i++ {
		p := &v.video[i]
		scale := v.sources[p.source].Tracks[p.Track].Timescale
		shown := p.wallUs + toUs(int64(p.CTS), scale) + v.most
		if shown < v.ToUs-JoinToleranceUs {
			v.problem("video: signed samples at the end are left out")
			return
		}
	}
}

// checkGaps sees that every stretch without pictures is declared.
func (v *clipVerifier) checkGaps(t *clipTrack, proven []provenSample) {
	check := func(from, to int64) {
		from, to = max(from, v.FromUs), min(to, v.ToUs)
		if to-from <= JoinToleranceUs+1000 {
			return
		}
		declared := slices.ContainsFunc(v.Gaps, func(g ClipGap) bool { return g.FromUs <= from+1000 && g.ToUs >= to-1000 })
		if !declared {
			v.problem("video: undeclared gap of %d µs at %d", to-from, from)
		}
	}
	delay := toUs(int64(t.samples[0].cts), t.scale)
	check(v.FromUs, v.timeOf(t, &t.samples[0])+delay)
	for i := range t.samples {
		p := &proven[i]
		end := v.timeOf(t, &t.samples[i]) + delay + toUs(int64(p.Duration), v.sources[p.source].Tracks[p.Track].Timescale)
		next := v.ToUs
		if i+1 < len(t.samples) {
			next = v.timeOf(t, &t.samples[i+1]) + delay
		}
		check(end, next)
	}
}

// checkAudio sees that sound called original is: signed samples in order and in time, and silence between them.
func (v *clipVerifier) checkAudio(t *clipTrack, length int64) error {
	if (t == nil) != (v.Audio == AudioNone) {
		v.problem("audio: the evidence says %q", v.Audio)
		return nil
	}
	if v.Audio != AudioOriginal {
		return nil
	}
	if err := t.shift(length, true); err != nil {
		v.problem("audio: %v", err)
		return nil
	}
	proven := v.audio
	for i := range t.samples {
		s := &t.samples[i]
		for len(proven) > 0 && proven[0].Offset < s.off {
			proven = proven[1:]
		}
		if len(proven) == 0 || proven[0].Offset != s.off || proven[0].Size != s.size {
			if err := v.checkSilence(t, s, i); err != nil {
				return err
			}
			continue
		}
		p := &proven[0]
		shift := v.timeOf(t, s) - p.wallUs
		if shift < v.least-JoinToleranceUs || shift > v.most+JoinToleranceUs {
			v.problem("audio: sample %d comes at another time than signed", i+1)
		}
		if entry := t.entries[s.entry]; !sameCodec(&entry, &v.sources[p.source].Tracks[p.Track]) {
			v.problem("audio: sample %d has other codec parameters than signed", i+1)
		}
	}
	return nil
}

// checkSilence sees that a sample of sound that is not signed is one of silence.
func (v *clipVerifier) checkSilence(t *clipTrack, s *clipSample, i int) error {
	for k := range v.sources {
		a := v.sources[k].AudioTrack()
		if a < 0 {
			continue
		}
		track := v.sources[k].Tracks[a]
		track.Timescale = t.scale
		if frame := silence(&track, s.duration); frame != nil && len(frame) == int(s.size) {
			got, err := readAt(v.r, v.size, s.off, len(frame))
			if err != nil && !errors.Is(err, ErrFormat) {
				return fmt.Errorf("audio sample %d: %w", i+1, err)
			}
			if err == nil && bytes.Equal(got, frame) {
				return nil
			}
		}
	}
	v.problem("audio: sample %d is neither signed nor silence", i+1)
	return nil
}
