package mp4

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// fourcc is a box type (ISO/IEC 14496-12 section 4.2).
type fourcc uint32

func cc(s string) fourcc { return fourcc(binary.BigEndian.Uint32([]byte(s))) }

func (f fourcc) String() string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(f)))
}

// Our own boxes are 'uuid' boxes. Their UUIDs (version 8, RFC 9562) differ in the first four bytes only.
const uuidTail = "\x55\x79\x8e\x37\xb8\x8b\x4c\x62\x68\xa3\x64\x33"

const (
	uuidHeader = "hfhd" + uuidTail // in moov: who, when, which run
	uuidPart   = "hfpt" + uuidTail // before each moof: times and sums of the part
	uuidSeal   = "hfsl" + uuidTail // after the last part: the signed statement
	uuidClip   = "hfcl" + uuidTail // at the end of a clip: the evidence
)

const (
	boxHead  = 8            // size and type
	uuidHead = boxHead + 16 // and the UUID
)

// writer appends boxes to b. Every open is closed in reverse order.
type writer struct{ b []byte }

func (w *writer) open(typ string) int {
	at := len(w.b)
	w.u32(0)
	w.b = append(w.b, typ...)
	return at
}

func (w *writer) openFull(typ string, version byte, flags uint32) int {
	at := w.open(typ)
	w.u32(uint32(version)<<24 | flags)
	return at
}

func (w *writer) openUUID(uuid string) int {
	at := w.open("uuid")
	w.b = append(w.b, uuid...)
	return at
}

func (w *writer) close(at int) { binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at)) }

// put32 sets the four bytes at an earlier place.
func (w *writer) put32(at int, v uint32) { binary.BigEndian.PutUint32(w.b[at:], v) }

func (w *writer) u8(v byte)         { w.b = append(w.b, v) }
func (w *writer) u16(v uint16)      { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32)      { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64)      { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *writer) i64(v int64)       { w.u64(uint64(v)) }
func (w *writer) bytes(p []byte)    { w.b = append(w.b, p...) }
func (w *writer) zeros(n int)       { w.b = append(w.b, make([]byte, n)...) }
func (w *writer) text(s string)     { w.b = append(append(w.b, byte(len(s))), s...) }
func (w *writer) block(p []byte)    { w.u32(uint32(len(p))); w.bytes(p) }
func (w *writer) checksum(from int) { w.u32(checksum(w.b[from:])) }

// checksum is CRC-32C (Castagnoli): it finds damage, and says nothing about intent.
func checksum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// reader takes big-endian values off the front of b; past the end it gives zeros and sets short.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.short = nil, true
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) uint(n int) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) u8() byte      { return byte(r.uint(1)) }
func (r *reader) u16() uint16   { return uint16(r.uint(2)) }
func (r *reader) u32() uint32   { return uint32(r.uint(4)) }
func (r *reader) u64() uint64   { return r.uint(8) }
func (r *reader) i64() int64    { return int64(r.uint(8)) }
func (r *reader) text() string  { return string(r.take(int(r.u8()))) }
func (r *reader) block() []byte { return r.take(int(r.u32())) }

// sum32 reads 32 bytes.
func (r *reader) sum32() (sum [32]byte) {
	copy(sum[:], r.take(len(sum)))
	return sum
}

// count reads a 32-bit count of items that take at least size bytes each, and refuses more than the rest can hold.
func (r *reader) count(size int) int {
	n := int(r.u32())
	if n > len(r.b)/size {
		r.b, r.short = nil, true
		return 0
	}
	return n
}

// box takes one box off the front and returns its type and body (without size and type).
func (r *reader) box() (fourcc, []byte) {
	size, typ := int(r.u32()), fourcc(r.u32())
	if r.short || size < boxHead {
		r.b, r.short = nil, true
		return 0, nil
	}
	return typ, r.take(size - boxHead)
}

// children calls f for each box in body, in order.
func children(body []byte, f func(typ fourcc, body []byte) error) error {
	r := reader{b: body}
	for len(r.b) > 0 {
		typ, inner := r.box()
		if r.short {
			return fmt.Errorf("box with a wrong size: %w", ErrFormat)
		}
		if err := f(typ, inner); err != nil {
			return fmt.Errorf("box %q: %w", typ, err)
		}
	}
	return nil
}

// readAt reads exactly n bytes at off of a file of size bytes; past its end the error wraps ErrFormat.
func readAt(r io.ReaderAt, size, off int64, n int) ([]byte, error) {
	if n < 0 || off < 0 || off > size || int64(n) > size-off {
		return nil, fmt.Errorf("read %d bytes at %d of %d: past the end: %w", n, off, size, ErrFormat)
	}
	b := make([]byte, n)
	return b, readFull(r, off, b)
}

func readFull(r io.ReaderAt, off int64, b []byte) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		// The file is shorter than its size said: it was cut while we read.
		return fmt.Errorf("read %d bytes at %d: only %d there: %w", len(b), off, n, ErrFormat)
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), off, err)
}

// toUs turns media time in units of 1/timescale s into microseconds, rounding down.
func toUs(t int64, timescale uint32) int64 {
	ts := int64(timescale)
	whole, rest := t/ts, t%ts
	if rest < 0 {
		whole, rest = whole-1, rest+ts
	}
	return whole*1e6 + rest*1e6/ts
}

// fromUs turns microseconds into media time, to the nearest unit.
func fromUs(us int64, timescale uint32) int64 {
	ts := int64(timescale)
	whole, rest := us/1e6, us%1e6
	if rest < 0 {
		whole, rest = whole-1, rest+1e6
	}
	return whole*ts + (rest*ts+500_000)/1e6
}
