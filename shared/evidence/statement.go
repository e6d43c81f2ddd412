// Package evidence signs what a site recorded, and checks it years later with the site's public key alone.
//
// It owns the Merkle tree over the parts of a segment (RFC 6962), the Statement about a segment, its one canonical
// encoding, and the Ed25519 signature over that encoding. It promises that equal statements have equal bytes, that an
// unknown or damaged encoding is an error and never a guess, and that parsing foreign bytes neither panics nor
// allocates more than the input could fill.
// It never reads files, never keeps keys, and knows no containers or codecs (shared/mp4 does).
package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of a Statement; Sign and ParseStatement refuse what lies beyond them.
const (
	MaxText = 255     // bytes in one text field
	MaxGaps = 4096    // gaps in one statement
	maxSize = 1 << 20 // bytes of one encoded statement
)

const (
	magic   = "holdfast statement\n"
	version = 1
)

// ErrFormat is returned (wrapped) for bytes that are not the canonical encoding of a statement.
var ErrFormat = errors.New("not a holdfast statement")

// Gap is a range of wall time, in microseconds since 1970, without video, and why.
type Gap struct {
	FromUs, ToUs int64
	Reason       string // one word of the closed list of reasons
}

// Statement is what a site says about one closed segment. Times in microseconds; wall times since 1970.
type Statement struct {
	Segment  uint64
	Site     string
	Camera   string
	Stream   string
	Run      int64    // the agent's run that recorded it
	StartUs  int64    // wall time of the first part
	EndUs    int64    // wall time at the end of the last part
	MonoUs   int64    // StartUs on the run's own timeline
	Parts    uint32   // number of leaves under Root
	Root     [32]byte // Merkle root over the leaves of the parts
	Init     [32]byte // SHA-256 of the file's opening boxes: codec parameters and header
	Previous [32]byte // Digest of the statement before it in the same stream; zero when there is none
	// WallOffsetUs is the measured error of the site's clock against the cloud's when the segment was closed
	// (add it to a wall time to correct it); OffsetKnown says whether it was ever measured.
	WallOffsetUs int64
	OffsetKnown  bool
	Recovered    bool   // sealed after a crash, by cutting to the last whole part
	Origin       string // where the video came from: empty for the camera itself, else e.g. "nvr"
	Gaps         []Gap  // gaps since the segment before and inside this one, in order of FromUs
	KeyID        KeyID  // which key signs; Sign fills it in
}

const (
	flagOffsetKnown = 1 << iota
	flagRecovered
	flagsKnown = flagOffsetKnown | flagRecovered
)

// AppendBinary appends the one canonical encoding of s to dst: big-endian integers, texts with a one-byte length.
func (s *Statement) AppendBinary(dst []byte) ([]byte, error) {
	for _, text := range []string{s.Site, s.Camera, s.Stream, s.Origin} {
		if len(text) > MaxText {
			return dst, fmt.Errorf("encode statement: text of %d bytes, at most %d allowed", len(text), MaxText)
		}
	}
	if len(s.Gaps) > MaxGaps {
		return dst, fmt.Errorf("encode statement: %d gaps, at most %d allowed", len(s.Gaps), MaxGaps)
	}
	var flags byte
	if s.OffsetKnown {
		flags |= flagOffsetKnown
	}
	if s.Recovered {
		flags |= flagRecovered
	}
	be := binary.BigEndian
	dst = append(dst, magic...)
	dst = append(dst, version, flags)
	dst = append(dst, s.KeyID[:]...)
	dst = be.AppendUint64(dst, s.Segment)
	for _, v := range []int64{s.Run, s.StartUs, s.EndUs, s.MonoUs, s.WallOffsetUs} {
		dst = be.AppendUint64(dst, uint64(v))
	}
	dst = be.AppendUint32(dst, s.Parts)
	dst = append(dst, s.Root[:]...)
	dst = append(dst, s.Init[:]...)
	dst = append(dst, s.Previous[:]...)
	for _, text := range []string{s.Site, s.Camera, s.Stream, s.Origin} {
		dst = append(dst, byte(len(text)))
		dst = append(dst, text...)
	}
	dst = be.AppendUint16(dst, uint16(len(s.Gaps)))
	for _, g := range s.Gaps {
		if len(g.Reason) > MaxText {
			return dst, fmt.Errorf("encode statement: reason of %d bytes, at most %d allowed", len(g.Reason), MaxText)
		}
		dst = be.AppendUint64(dst, uint64(g.FromUs))
		dst = be.AppendUint64(dst, uint64(g.ToUs))
		dst = append(dst, byte(len(g.Reason)))
		dst = append(dst, g.Reason...)
	}
	return dst, nil
}

// ParseStatement reads the canonical encoding of a statement; every byte must be accounted for. It checks no signature.
func ParseStatement(b []byte) (Statement, error) {
	var s Statement
	if len(b) > maxSize {
		return s, fmt.Errorf("parse statement of %d bytes: %w", len(b), ErrFormat)
	}
	r := reader{b: b}
	if string(r.take(len(magic))) != magic {
		return s, fmt.Errorf("parse statement: wrong first bytes: %w", ErrFormat)
	}
	if v := r.u8(); v != version {
		return s, fmt.Errorf("parse statement: version %d, this program knows %d: %w", v, version, ErrFormat)
	}
	flags := r.u8()
	if flags&^byte(flagsKnown) != 0 {
		return s, fmt.Errorf("parse statement: unknown flags %#x: %w", flags, ErrFormat)
	}
	s.OffsetKnown, s.Recovered = flags&flagOffsetKnown != 0, flags&flagRecovered != 0
	copy(s.KeyID[:], r.take(len(s.KeyID)))
	s.Segment = r.u64()
	for _, p := range []*int64{&s.Run, &s.StartUs, &s.EndUs, &s.MonoUs, &s.WallOffsetUs} {
		*p = int64(r.u64())
	}
	s.Parts = uint32(r.uint(4))
	for _, p := range []*[32]byte{&s.Root, &s.Init, &s.Previous} {
		copy(p[:], r.take(32))
	}
	for _, p := range []*string{&s.Site, &s.Camera, &s.Stream, &s.Origin} {
		*p = r.text()
	}
	for n := r.uint(2); n > 0 && !r.short; n-- {
		s.Gaps = append(s.Gaps, Gap{FromUs: int64(r.u64()), ToUs: int64(r.u64()), Reason: r.text()})
	}
	if r.short || len(r.b) != 0 || len(s.Gaps) > MaxGaps {
		return Statement{}, fmt.Errorf("parse statement: wrong length: %w", ErrFormat)
	}
	return s, nil
}

// reader takes big-endian values off the front of b; after the end it returns zeros and sets short.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.short = nil, true
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) uint(n int) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) u64() uint64 { return r.uint(8) }

func (r *reader) u8() byte { return byte(r.uint(1)) }

func (r *reader) text() string { return string(r.take(int(r.u8()))) }
