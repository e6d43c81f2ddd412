package mp4

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"holdfast/shared/evidence"
)

// ClipReport is the outcome of VerifyClip. OK is the verdict, Problems say in words what is wrong when it is not.
type ClipReport struct {
	OK           bool
	Signed       bool // every segment in it has a signature that holds under one of the keys
	Sealed       bool // every segment in it has a signature, by whomever
	Intact       bool // all but the signatures holds: nothing has changed since somebody signed it
	FromUs, ToUs int64
	PreRollUs    int64
	Gaps         []ClipGap
	Statements   []evidence.Statement // of the segments it was cut from, in order; proven only if OK
	Parts        int                  // parts whose signature and sums hold
	Audio        string               // AudioOriginal, AudioReplaced or AudioNone
	ShiftUs      int64                // the clip's time minus the signed wall time, at the first sample
	Damage       []Damage             // parts that are damaged or altered
	Problems     []string
}

// clipVerifier is the state of one VerifyClip.
type clipVerifier struct {
	ClipReport
	r       io.ReaderAt
	size    int64
	sums    checker
	proof   clipProof
	video   []provenSample
	audio   []provenSample
	sources []Header
	end     int64 // of the payload ranges claimed so far
	faults  int   // problems that are not about a signature
	least   int64 // shifts seen
	most    int64
}

// provenSample is one sample of a carried part, where the evidence says it lies in the clip.
type provenSample struct {
	SampleInfo
	source int
	part   uint32
	wallUs int64 // signed wall time of its DTS
}

// VerifyClip proves a clip by itself, without the segments it was cut from: signatures, Merkle paths, payload sums, and
// that its tables show exactly the signed samples, in their signed order and timing, and declare the gaps between them.
// The error is for files that are no clips at all; a clip that was altered gets a report that is not OK.
func VerifyClip(r io.ReaderAt, size int64, keys ...ed25519.PublicKey) (ClipReport, error) {
	v := clipVerifier{r: r, size: size, sums: checker{r: r}}
	moov, _, box, err := findClipBoxes(r, size)
	if err != nil {
		return v.ClipReport, fmt.Errorf("verify clip: %w", err)
	}
	video, audio, err := parseClipTracks(moov)
	if err == nil && video == nil {
		err = fmt.Errorf("no video track: %w", ErrFormat)
	}
	if err != nil {
		return v.ClipReport, fmt.Errorf("verify clip: %w", err)
	}
	if v.proof, err = parseProof(box); err != nil {
		v.problem("%v", err)
		return v.ClipReport, nil
	}
	v.Signed, v.Sealed = true, true
	v.FromUs, v.ToUs, v.PreRollUs, v.Gaps, v.Audio = v.proof.fromUs, v.proof.toUs, v.proof.preRollUs, v.proof.gaps, v.proof.audio
	for i := range v.proof.sources {
		if err := v.checkSource(i, keys); err != nil {
			return v.ClipReport, fmt.Errorf("verify clip: %w", err)
		}
	}
	if err := v.checkTracks(video, audio); err != nil {
		return v.ClipReport, fmt.Errorf("verify clip: %w", err)
	}
	v.Intact = v.faults == 0
	v.OK = v.Intact && v.Signed
	return v.ClipReport, nil
}

func (v *clipVerifier) problem(format string, args ...any) {
	v.faults++
	v.unproven(format, args...)
}

// unproven notes a problem with a signature.
func (v *clipVerifier) unproven(format string, args ...any) {
	v.Problems = appendProblem(v.Problems, format, args...)
}

// checkSource checks what the clip carries of one segment. The error is that of a disk, damage is a problem.
func (v *clipVerifier) checkSource(i int, keys []ed25519.PublicKey) error {
	src := &v.proof.sources[i]
	h, err := parseInit(src.init)
	v.sources = append(v.sources, h)
	if err != nil {
		v.problem("segment %d of the clip: %v", i+1, err)
		return nil
	}
	statement, signed := v.checkSignature(src, &h, keys)
	v.Statements = append(v.Statements, statement)
	next, endUs := uint32(0), h.StartUs
	for j := range src.parts {
		p := &src.parts[j]
		sum, err := parsePartBox(p.box)
		if err == nil {
			err = v.checkPart(i, p, &sum, &statement)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			return err
		}
		switch {
		case err != nil:
			v.problem("segment %d, part %d: %v", h.Segment, sum.Seq, err)
			v.Damage = append(v.Damage, Damage{
				Segment: h.Segment, First: sum.Seq, Last: sum.Seq, FromUs: max(sum.StartUs, endUs), ToUs: max(sum.EndUs, endUs),
			})
		case next != 0 && sum.Seq != next:
			v.problem("segment %d: part %d follows part %d", h.Segment, sum.Seq, next-1)
		case signed:
			v.Parts++
		}
		next, endUs = sum.Seq+1, max(sum.EndUs, endUs)
	}
	return nil
}

// checkSignature checks what was signed of a segment against the keys and against its opening.
func (v *clipVerifier) checkSignature(src *sourceProof, h *Header, keys []ed25519.PublicKey) (s evidence.Statement, signed bool) {
	if len(src.signed.Statement) == 0 {
		v.Signed, v.Sealed = false, false
		v.unproven("segment %d was not yet sealed when the clip was cut", h.Segment)
		return s, false
	}
	s, err := evidence.Verify(src.signed, keys...)
	switch {
	case err == nil:
		signed = true
	case errors.Is(err, evidence.ErrSignature):
		v.unproven("segment %d: %v", h.Segment, err)
	default:
		v.problem("segment %d: %v", h.Segment, err)
	}
	v.Signed = v.Signed && signed
	for _, text := range compareHeader(h, src.init, &s) {
		v.problem("segment %d: %s", h.Segment, text)
	}
	return s, signed
}

// checkPart checks one carried part and notes its samples.
func (v *clipVerifier) checkPart(source int, p *carriedPart, sum *PartSum, s *evidence.Statement) error {
	h := &v.sources[source]
	if sum.Segment != h.Segment || sum.Run != h.Run {
		return fmt.Errorf("it belongs to segment %d: %w", sum.Segment, ErrFormat)
	}
	if len(v.proof.sources[source].signed.Statement) > 0 &&
		!evidence.VerifyProof(s.Root, int(s.Parts), int(sum.Seq)-1, sum.Leaf(), p.path) {
		return fmt.Errorf("it is not among the signed parts: %w", ErrFormat)
	}
	samples, err := parseMoof(p.moof, sum, h, 0)
	if err != nil {
		return err
	}
	if err := v.checkPayload(p.video, int64(sum.VideoBytes), sum.Video); err != nil {
		return fmt.Errorf("video: %w", err)
	}
	var audio []extent
	if p.audio.n > 0 {
		audio = []extent{p.audio}
		if err := v.checkPayload(audio, int64(sum.AudioBytes), sum.Audio); err != nil {
			return fmt.Errorf("audio: %w", err)
		}
	}
	videoAt := int64(len(p.moof)) + boxHead
	for i, info := range samples {
		list, extents, from := &v.video, p.video, videoAt
		if i >= int(sum.VideoSamples) {
			list, extents, from = &v.audio, audio, videoAt+int64(sum.VideoBytes)
			if audio == nil {
				break
			}
		}
		s := provenSample{SampleInfo: info, source: source, part: sum.Seq}
		s.wallUs = sum.StartUs + toUs(info.DTS, h.Tracks[info.Track].Timescale) - sum.MediaUs
		if s.Offset = locate(extents, info.Offset-from, int64(info.Size)); s.Offset < 0 {
			return fmt.Errorf("sample %d is torn: %w", i, ErrFormat)
		}
		*list = append(*list, s)
	}
	return nil
}

// checkPayload hashes the extents of one part and kind. They must follow those seen before: no byte counts twice.
func (v *clipVerifier) checkPayload(extents []extent, total int64, want [32]byte) error {
	h := sha256.New()
	for _, e := range extents {
		if err := e.check(v.size); err != nil {
			return err
		}
		if e.off < v.end {
			return fmt.Errorf("bytes at %d claimed twice: %w", e.off, ErrFormat)
		}
		v.end = e.off + e.n
		total -= e.n
		if _, err := io.Copy(h, io.NewSectionReader(v.r, e.off, e.n)); err != nil {
			return fmt.Errorf("read %d bytes at %d: %w", e.n, e.off, err)
		}
	}
	if total != 0 || !bytes.Equal(h.Sum(nil), want[:]) {
		return fmt.Errorf("sum of the payload does not hold: %w", ErrFormat)
	}
	return nil
}

// locate returns where n bytes at off of a payload lie, by its extents, or -1 when they lie in no single one.
func locate(extents []extent, off, n int64) int64 {
	for _, e := range extents {
		if off < e.n {
			if off+n > e.n {
				return -1
			}
			return e.off + off
		}
		off -= e.n
	}
	return -1
}
