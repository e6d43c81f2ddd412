package mp4

import (
	"encoding/binary"
	"fmt"
	"io"

	"holdfast/shared/evidence"
)

// Seal closes a segment: the signed statement, and all parts in order, from which the leaves and the seek index are
// made.
type Seal struct {
	Signed   evidence.Signed
	InitSize int64     // bytes before the first part
	Video    int       // index of the video track in the header, -1 when there is none (Header.VideoTrack)
	Parts    []PartSum // of the whole segment
}

const (
	sealVersion = 1
	mfroSize    = 16
	maxSeal     = 64 << 20
)

// AppendSeal appends the closing boxes of a segment to dst: our seal box, then mfra with the index of key frames.
func AppendSeal(dst []byte, s Seal) []byte {
	w := writer{b: dst}
	box := w.openUUID(uuidSeal)
	w.u32(sealVersion << 24)
	w.block(s.Signed.Statement)
	w.bytes(s.Signed.Signature[:])
	w.u32(uint32(len(s.Parts)))
	for i := range s.Parts {
		leaf := s.Parts[i].Leaf()
		w.bytes(leaf[:])
	}
	w.u32(uint32(len(w.b)-box) + 8) // the size once more, for those who come from the end
	binary.BigEndian.PutUint32(w.b[box:], uint32(len(w.b)-box)+4)
	w.checksum(box)
	w.mfra(&s)
	return w.b
}

// mfra is ISO/IEC 14496-12 section 8.8.9: where playing can begin.
func (w *writer) mfra(s *Seal) {
	mfra := w.open("mfra")
	if s.Video >= 0 {
		tfra := w.openFull("tfra", 1, 0)
		w.u32(uint32(s.Video + 1))
		w.u32(3) // sizes: traf and trun one byte, sample four bytes
		count := len(w.b)
		w.u32(0)
		n, off := uint32(0), s.InitSize
		for i := range s.Parts {
			p := &s.Parts[i]
			if p.KeySample >= 0 {
				w.i64(p.KeyTime)
				w.i64(off + partBoxSize)
				w.u8(1)
				w.u8(1)
				w.u32(uint32(p.KeySample) + 1)
				n++
			}
			off += p.Bytes
		}
		binary.BigEndian.PutUint32(w.b[count:], n)
		w.close(tfra)
	}
	mfro := w.openFull("mfro", 0, 0)
	w.u32(uint32(len(w.b)-mfra) + 4)
	w.close(mfro)
	w.close(mfra)
}

// ReadSeal finds the closing boxes of a segment of size bytes and returns the signed statement, unverified, the leaves
// it was made over, and the offset where the seal begins. The error wraps ErrNoSeal when the segment was never closed.
func ReadSeal(r io.ReaderAt, size int64) (signed evidence.Signed, leaves [][32]byte, offset int64, err error) {
	fail := func(err error) (evidence.Signed, [][32]byte, int64, error) {
		return evidence.Signed{}, nil, 0, fmt.Errorf("read seal: %w", err)
	}
	if size < mfroSize {
		return fail(ErrNoSeal)
	}
	tail, err := readAt(r, size, size-mfroSize, mfroSize)
	if err != nil {
		return fail(err)
	}
	if string(tail[4:8]) != "mfro" {
		return fail(ErrNoSeal)
	}
	end := size - int64(binary.BigEndian.Uint32(tail[12:])) // where mfra begins and the seal ends
	if end < 8 {
		return fail(fmt.Errorf("index longer than the file: %w", ErrFormat))
	}
	if tail, err = readAt(r, size, end-8, 8); err != nil {
		return fail(err)
	}
	n := int64(binary.BigEndian.Uint32(tail))
	if n > maxSeal || n > end {
		return fail(fmt.Errorf("seal of %d bytes: %w", n, ErrFormat))
	}
	box, err := readAt(r, size, end-n, int(n))
	if err != nil {
		return fail(err)
	}
	if signed, leaves, err = parseSeal(box); err != nil {
		return fail(err)
	}
	return signed, leaves, end - n, nil
}

// parseSeal reads one whole seal box.
func parseSeal(box []byte) (signed evidence.Signed, leaves [][32]byte, err error) {
	r := reader{b: box}
	typ, body := r.box()
	if typ != cc("uuid") || r.short || len(r.b) > 0 || len(body) < 24 || string(body[:16]) != uuidSeal {
		return signed, nil, fmt.Errorf("no seal box: %w", ErrFormat)
	}
	if checksum(box[:len(box)-4]) != binary.BigEndian.Uint32(box[len(box)-4:]) {
		return signed, nil, fmt.Errorf("checksum of the seal does not hold: %w", ErrFormat)
	}
	r = reader{b: body[16 : len(body)-8]}
	if v := r.u32(); v != sealVersion<<24 {
		return signed, nil, fmt.Errorf("seal of version and flags %#x, this program knows version 1: %w", v, ErrFormat)
	}
	signed.Statement = r.block()
	copy(signed.Signature[:], r.take(len(signed.Signature)))
	leaves = make([][32]byte, r.count(32))
	for i := range leaves {
		leaves[i] = r.sum32()
	}
	if r.short || len(r.b) > 0 {
		return evidence.Signed{}, nil, fmt.Errorf("seal of a wrong length: %w", ErrFormat)
	}
	return signed, leaves, nil
}
