package mp4

import (
	"encoding/binary"
	"fmt"
	"io"

	"holdfast/shared/evidence"
)

// How the audio of a clip relates to what was signed.
const (
	AudioNone     = "none"     // the clip has no sound
	AudioOriginal = "original" // as recorded; silence in gaps
	AudioReplaced = "replaced" // re-encoded, not covered by the signature
)

const (
	proofVersion  = 1
	proofOriginal = 1 // flags: the audio is as recorded
	proofReplaced = 2 // the audio was put in by the maker of the clip
	maxProof      = 512 << 20
	maxPieces     = 16 // extents of one part's video
)

// clipProof is the evidence box of a clip: all that its verification needs beside the tables and the payload.
type clipProof struct {
	fromUs, toUs, preRollUs int64
	audio                   string
	gaps                    []ClipGap
	sources                 []sourceProof
}

// sourceProof is what a clip carries of one segment.
type sourceProof struct {
	init   []byte          // the segment's opening boxes
	signed evidence.Signed // no statement when the segment has no seal
	parts  []carriedPart
}

// carriedPart is a part in a clip.
type carriedPart struct {
	box   []byte // part header box, as in the segment
	moof  []byte // as in the segment
	path  [][32]byte
	video []extent // where its video lies in the clip, in order
	audio extent   // where its audio lies; empty when left out
}

// evidence returns the evidence box of a clip whose payload begins at begin.
func (l *layout) evidence(begin int64, c *Clip) ([]byte, error) {
	proof := clipProof{fromUs: c.FromUs, toUs: c.ToUs, preRollUs: c.PreRollUs, gaps: c.Gaps, audio: AudioNone}
	if len(l.audio.samples) > 0 {
		proof.audio = AudioOriginal
		if l.w.replaced != nil {
			proof.audio = AudioReplaced
		}
	}
	for i := 0; i < len(l.proofs); {
		src := l.proofs[i].part.source
		s := sourceProof{init: src.init, signed: src.signed}
		for ; i < len(l.proofs) && l.proofs[i].part.source == src; i++ {
			p, err := l.proofs[i].carry(begin)
			if err != nil {
				return nil, err
			}
			s.parts = append(s.parts, p)
		}
		proof.sources = append(proof.sources, s)
	}
	return proof.append(nil)
}

// carry reads a part's table again and moves its extents to where they lie in the file.
func (p *partProof) carry(begin int64) (carriedPart, error) {
	boxes := make([]byte, partBoxSize+p.part.Sum.moofSize())
	if err := readFull(p.part.source.r, p.part.Offset, boxes); err != nil {
		return carriedPart{}, fmt.Errorf("read part %d of segment %d: %w", p.part.Sum.Seq, p.part.Sum.Segment, err)
	}
	out := carriedPart{box: boxes[:partBoxSize], moof: boxes[partBoxSize:], audio: p.audio}
	if p.part.source.leaves != nil {
		out.path = evidence.Proof(p.part.source.leaves, int(p.part.Sum.Seq)-1)
	}
	for _, e := range p.video {
		out.video = append(out.video, extent{e.off + begin, e.n})
	}
	if out.audio.n > 0 {
		out.audio.off += begin
	}
	return out, nil
}

func (p *clipProof) append(dst []byte) ([]byte, error) {
	w := writer{b: dst}
	box := w.openUUID(uuidClip)
	flags := map[string]uint32{AudioOriginal: proofOriginal, AudioReplaced: proofReplaced}[p.audio]
	w.u32(proofVersion<<24 | flags)
	w.i64(p.fromUs)
	w.i64(p.toUs)
	w.i64(p.preRollUs)
	w.u32(uint32(len(p.gaps)))
	for _, g := range p.gaps {
		w.i64(g.FromUs)
		w.i64(g.ToUs)
	}
	w.u32(uint32(len(p.sources)))
	for i := range p.sources {
		s := &p.sources[i]
		w.block(s.init)
		w.block(s.signed.Statement)
		w.bytes(s.signed.Signature[:])
		w.u32(uint32(len(s.parts)))
		for j := range s.parts {
			w.carried(&s.parts[j])
		}
	}
	if len(w.b)-box > maxProof {
		return dst, fmt.Errorf("evidence of %d bytes: %w", len(w.b)-box, ErrTooLarge)
	}
	binary.BigEndian.PutUint32(w.b[box:], uint32(len(w.b)-box)+4)
	w.checksum(box)
	return w.b, nil
}

func (w *writer) carried(p *carriedPart) {
	w.bytes(p.box)
	w.block(p.moof)
	w.u8(byte(len(p.path)))
	for i := range p.path {
		w.bytes(p.path[i][:])
	}
	w.u8(byte(len(p.video)))
	for _, e := range p.video {
		w.i64(e.off)
		w.i64(e.n)
	}
	w.i64(p.audio.off)
	w.i64(p.audio.n)
}

// parseProof reads a whole evidence box.
func parseProof(box []byte) (clipProof, error) {
	var p clipProof
	fail := func(what string) (clipProof, error) {
		return clipProof{}, fmt.Errorf("evidence: %s: %w", what, ErrFormat)
	}
	if len(box) < uuidHead+8 || string(box[4:uuidHead]) != "uuid"+uuidClip {
		return fail("no such box")
	}
	if checksum(box[:len(box)-4]) != binary.BigEndian.Uint32(box[len(box)-4:]) {
		return fail("its checksum does not hold")
	}
	r := reader{b: box[uuidHead : len(box)-4]}
	switch r.u32() {
	case proofVersion << 24:
		p.audio = AudioNone
	case proofVersion<<24 | proofOriginal:
		p.audio = AudioOriginal
	case proofVersion<<24 | proofReplaced:
		p.audio = AudioReplaced
	default:
		return fail("version or flags not known")
	}
	p.fromUs, p.toUs, p.preRollUs = r.i64(), r.i64(), r.i64()
	for n := r.count(16); n > 0; n-- {
		p.gaps = append(p.gaps, ClipGap{r.i64(), r.i64()})
	}
	for n := r.count(76); n > 0 && !r.short; n-- {
		s := sourceProof{init: r.block()}
		s.signed.Statement = r.block()
		copy(s.signed.Signature[:], r.take(len(s.signed.Signature)))
		for k := r.count(partBoxSize + 22); k > 0 && !r.short; k-- {
			s.parts = append(s.parts, r.carried())
		}
		p.sources = append(p.sources, s)
	}
	if r.short || len(r.b) > 0 {
		return fail("wrong length")
	}
	if p.toUs <= p.fromUs || p.fromUs < -maxMedia*1000 || p.toUs > maxMedia*1000 {
		return fail("impossible range")
	}
	return p, nil
}

func (r *reader) carried() carriedPart {
	p := carriedPart{box: r.take(partBoxSize), moof: r.block()}
	for n := r.u8(); n > 0 && !r.short; n-- {
		p.path = append(p.path, r.sum32())
	}
	n := r.u8()
	if n > maxPieces {
		r.b, r.short = nil, true
	}
	for ; n > 0 && !r.short; n-- {
		p.video = append(p.video, extent{r.i64(), r.i64()})
	}
	p.audio = extent{r.i64(), r.i64()}
	return p
}

// check sees that an extent lies inside a file of size bytes.
func (e extent) check(size int64) error {
	if e.off < 0 || e.n < 0 || e.off > size || e.n > size-e.off {
		return fmt.Errorf("bytes [%d, +%d) of %d: %w", e.off, e.n, size, ErrFormat)
	}
	return nil
}

// findClipBoxes walks the boxes of a clip and returns its moov body, the range of its mdat's payload and its evidence box.
func findClipBoxes(r io.ReaderAt, size int64) (moov []byte, mdat extent, proof []byte, err error) {
	const most = 64 // boxes; a clip of ours has four
	off := int64(0)
	for n := 0; off < size && n < most; n++ {
		head, err := readAt(r, size, off, boxHead)
		if err != nil {
			return nil, mdat, nil, err
		}
		length, typ, skip := int64(binary.BigEndian.Uint32(head)), fourcc(binary.BigEndian.Uint32(head[4:])), int64(boxHead)
		if length == 1 {
			if head, err = readAt(r, size, off+boxHead, 8); err != nil {
				return nil, mdat, nil, err
			}
			length, skip = int64(binary.BigEndian.Uint64(head)), boxHead+8
		}
		if length < skip || length > size-off {
			return nil, mdat, nil, fmt.Errorf("box %q of %d bytes at %d: %w", typ, length, off, ErrFormat)
		}
		switch {
		case typ == cc("mdat") && mdat.n == 0:
			mdat = extent{off + skip, length - skip}
		case typ == cc("moov") && moov == nil && length <= maxProof:
			if moov, err = readAt(r, size, off+skip, int(length-skip)); err != nil {
				return nil, mdat, nil, err
			}
		case typ == cc("uuid") && proof == nil && skip == boxHead && length > uuidHead && length <= maxProof:
			b, err := readAt(r, size, off, uuidHead)
			if err != nil {
				return nil, mdat, nil, err
			}
			if string(b[boxHead:]) != uuidClip {
				break
			}
			if proof, err = readAt(r, size, off, int(length)); err != nil {
				return nil, mdat, nil, err
			}
		}
		off += length
	}
	if moov == nil || mdat.n == 0 {
		return nil, mdat, nil, fmt.Errorf("no moov or no mdat: %w", ErrFormat)
	}
	return moov, mdat, proof, nil
}
