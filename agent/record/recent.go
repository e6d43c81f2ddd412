package record

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// ErrNotRecent says that the frames asked for are not in the segment that is being written: wait for the next
// key frame.
var ErrNotRecent = errors.New("the frames are not in the open segment")

// Recent returns the frames of a stream from the newest key frame before the frame numbered before up to, not
// including, that frame, in the order of Seq: what a reader that starts in the middle of a group of pictures
// lacks. They are read back from disk. The error wraps ErrNotRecent when they can't be had.
func (r *Recorder) Recent(name id.Stream, before uint64) ([]media.Frame, error) {
	seg, index := r.snapshot(name)
	if seg == nil {
		return nil, fmt.Errorf("read recent frames of %v: %w", name, ErrNotRecent)
	}
	for from := len(index) - 1; from >= 0; from-- {
		if !index[from].key || !slices.ContainsFunc(index[from].seqs, func(n uint32) bool { return seg.seq(n) < before }) {
			continue
		}
		frames, err := r.readBack(seg, index[from:], before)
		if err != nil {
			return nil, fmt.Errorf("read recent frames of %v: %w", name, err)
		}
		if frames = fromKey(frames); len(frames) > 0 {
			return frames, nil
		}
	}
	return nil, fmt.Errorf("read recent frames of %v: %w", name, ErrNotRecent)
}

// snapshot returns the segment that a stream is writing and its parts on disk; nil when it writes none.
func (r *Recorder) snapshot(name id.Stream) (*segment, []mark) {
	s := r.byName[name]
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	seg := s.seg
	s.mu.Unlock()
	if seg == nil {
		return nil, nil
	}
	seg.mu.Lock()
	defer seg.mu.Unlock()
	return seg, slices.Clone(seg.index)
}

// readBack reads the frames of parts, those before a Seq, in the order of Seq.
func (r *Recorder) readBack(seg *segment, parts []mark, before uint64) (frames []media.Frame, err error) {
	file, size, err := r.Disk.OpenRead(seg.file.Volume(), seg.header.Segment)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// The writer fills in the base of the audio track late; reading needs no bases.
	h := mp4.Header{Segment: seg.header.Segment, Run: seg.header.Run, Tracks: seg.header.Tracks}
	for _, m := range parts {
		part, err := mp4.ReadPart(file, size, m.offset, h)
		if err != nil {
			return nil, err
		}
		samples, err := mp4.ReadSamples(file, part)
		if err != nil {
			return nil, err
		}
		for i, s := range samples {
			if i >= len(m.seqs) || seg.seq(m.seqs[i]) >= before {
				continue
			}
			rate := int64(h.Tracks[s.Track].Timescale)
			dts := m.base[s.Track] + s.DTS
			frames = append(frames, media.Frame{
				Seq: seg.seq(m.seqs[i]), Params: seg.params, Track: s.Track, DTS: dts, PTS: dts + int64(s.CTS), Key: s.Key,
				MonoUs: part.Sum.MonoUs + scale(s.DTS, 1e6, rate) - part.Sum.MediaUs, Units: s.Units, Bytes: lengthOf(s.Units),
			})
		}
	}
	slices.SortFunc(frames, func(a, b media.Frame) int { return cmp.Compare(a.Seq, b.Seq) })
	return frames, nil
}

// fromKey cuts off what lies before the newest key frame; nothing is left without one.
func fromKey(frames []media.Frame) []media.Frame {
	for i, f := range slices.Backward(frames) {
		if f.Key && f.Track == 0 {
			return frames[i:]
		}
	}
	return nil
}

func lengthOf(units [][]byte) (n int) {
	for _, u := range units {
		n += len(u)
	}
	return n
}

// Part is one part of a segment that is being written, as it lies on disk.
type Part struct {
	Offset, Size int64
	EndUs        int64 // wall time
	Key          bool  // it holds a key frame
}

// OpenParts returns where the parts of the segment lie that a stream is writing; ok is false when it writes
// none.
func (r *Recorder) OpenParts(name id.Stream) (volume string, segment uint64, parts []Part, ok bool) {
	seg, index := r.snapshot(name)
	if seg == nil {
		return "", 0, nil, false
	}
	for _, m := range index {
		parts = append(parts, Part{Offset: m.offset, Size: m.size, EndUs: m.endUs, Key: m.key})
	}
	return seg.file.Volume(), seg.header.Segment, parts, true
}
