package camera

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
)

// Bounds of an access unit, beyond what any camera makes: a stream of 50 Mbit/s stays below 8 MiB.
const (
	maxUnit  = 8 << 20
	maxUnits = 512
)

// Faults of packets. They are counted, not shown.
var (
	errShort   = errors.New("packet is too short")
	errPiece   = errors.New("a piece of a unit without the pieces before it")
	errTooMuch = errors.New("access unit is too large")
	errPayload = errors.New("kind of payload that nobody sends")
	errOverrun = errors.New("units in one packet don't fit into it")
)

// shape is what of a payload differs between H.264 (RFC 6184 section 5) and H.265 (RFC 7798 section 4.4).
type shape struct {
	header int                  // bytes of a NAL unit's header
	kind   func(b []byte) piece // of a payload of at least that size
	whole  func(b []byte) []byte
}

// piece is what a packet holds.
type piece uint8

const (
	pieceUnit    piece = iota // one unit
	pieceMany                 // several, each with its size before it
	pieceOf                   // a part of one
	pieceStrange              // nothing that is understood
)

func shapeH264() shape {
	return shape{
		header: 1,
		kind: func(b []byte) piece {
			switch t := b[0] & 0x1f; t {
			case 24: // STAP-A
				return pieceMany
			case 28: // FU-A
				return pieceOf
			case 25, 26, 27, 29: // with decoding order numbers: packetization mode 2
				return pieceStrange
			}
			return pieceUnit
		},
		whole: func(b []byte) []byte { return []byte{b[0]&0xe0 | b[1]&0x1f} },
	}
}

func shapeH265() shape {
	return shape{
		header: 2,
		kind: func(b []byte) piece {
			switch t := b[0] >> 1 & 0x3f; t {
			case 48: // AP
				return pieceMany
			case 49: // FU
				return pieceOf
			case 50: // PACI
				return pieceStrange
			}
			return pieceUnit
		},
		whole: func(b []byte) []byte { return []byte{b[0]&0x81 | b[2]&0x3f<<1, b[1]} },
	}
}

// unpacker puts access units together out of packets. What it hands out is the receiver's own.
type unpacker struct {
	shape
	emit   func(units [][]byte, raw uint32)
	spares *sync.Pool // of *[]byte: most of the time no access unit is under way

	buf     *[]byte // its bytes, nil while there are none
	ends    []int   // of its units in buf
	time    uint32
	open    bool // the last unit waits for its next piece
	next    uint16
	started bool // some unit has begun since the session did
}

// push takes the next packet.
func (u *unpacker) push(p packet) error {
	if u.buf != nil && p.time != u.time {
		u.flush() // some cameras set no marker
	}
	u.time = p.time
	if u.buf == nil {
		u.buf, _ = u.spares.Get().(*[]byte)
		if u.buf == nil {
			u.buf = new([]byte)
		}
	}
	err := u.add(p)
	if len(*u.buf) > maxUnit || len(u.ends) > maxUnits {
		u.drop()
		err = errTooMuch
	}
	if p.marker {
		u.flush()
	}
	return err
}

func (u *unpacker) add(p packet) error {
	if len(p.payload) <= u.header {
		u.cut()
		return errShort
	}
	kind := u.kind(p.payload)
	if kind == pieceOf {
		return u.addPiece(p)
	}
	u.cut()
	u.started = true
	switch kind {
	case pieceUnit:
		*u.buf = append(*u.buf, p.payload...)
		u.ends = append(u.ends, len(*u.buf))
	case pieceMany:
		return u.addMany(p.payload)
	default:
		return errPayload
	}
	return nil
}

// addMany takes an aggregation apart (RFC 6184 section 5.7.1, RFC 7798 section 4.4.2).
func (u *unpacker) addMany(b []byte) error {
	b = b[u.header:]
	for len(b) >= 2 {
		size := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if size > len(b) {
			return errOverrun
		}
		if size == 0 {
			break // padding that some cameras add
		}
		*u.buf = append(*u.buf, b[:size]...)
		u.ends = append(u.ends, len(*u.buf))
		b = b[size:]
	}
	return nil
}

// addPiece takes a fragment (RFC 6184 section 5.8, RFC 7798 section 4.4.3).
func (u *unpacker) addPiece(p packet) error {
	b := p.payload
	if len(b) <= u.header+1 {
		u.cut()
		return errShort
	}
	begins, ends := b[u.header]&0x80 != 0, b[u.header]&0x40 != 0
	switch {
	case begins:
		u.cut()
		u.open, u.started = true, true
		*u.buf = append(*u.buf, u.whole(b)...)
	case !u.started:
		return nil // the session began in the middle of a unit
	case !u.open:
		return errPiece
	case p.seq != u.next:
		u.cut()
		return errPiece
	}
	u.next = p.seq + 1
	*u.buf = append(*u.buf, b[u.header+1:]...)
	if ends {
		u.open = false
		u.ends = append(u.ends, len(*u.buf))
	}
	return nil
}

// cut drops the pieces of a unit that will not be whole.
func (u *unpacker) cut() {
	if u.open {
		*u.buf, u.open = (*u.buf)[:u.done()], false
	}
}

func (u *unpacker) done() int {
	if n := len(u.ends); n > 0 {
		return u.ends[n-1]
	}
	return 0
}

// drop forgets the access unit.
func (u *unpacker) drop() {
	*u.buf, u.ends, u.open = (*u.buf)[:0], u.ends[:0], false
}

// flush hands the access unit out, if there is anything whole in it.
func (u *unpacker) flush() {
	u.cut()
	if len(u.ends) > 0 {
		u.emit(u.copy(), u.time)
	}
	u.drop()
	if cap(*u.buf) <= maxUnit/8 { // a monster is not kept
		u.spares.Put(u.buf)
	}
	u.buf = nil
}

// copy returns the units in memory of their own.
func (u *unpacker) copy() [][]byte {
	all := bytes.Clone(*u.buf)
	units := make([][]byte, 0, len(u.ends))
	from := 0
	for _, end := range u.ends {
		unit := all[from:end:end]
		from = end
		if bytes.Contains(unit, []byte(startCode)) {
			units = appendSplit(units, unit)
			continue
		}
		units = append(units, unit)
	}
	return units
}

// startCode can't occur inside a unit (emulation prevention, ITU-T H.264 section 7.4.1); some cameras send whole
// byte streams (annex B) as if they were one unit.
const startCode = "\x00\x00\x00\x01"

// appendSplit appends the units of a byte stream, in which start codes of three bytes occur too.
func appendSplit(units [][]byte, stream []byte) [][]byte {
	for unit := range bytes.SplitSeq(stream, []byte(startCode[1:])) {
		// What is before a start code of four bytes, and trailing zeros, are no part of the unit.
		if unit = bytes.TrimRight(unit, "\x00"); len(unit) > 0 {
			units = append(units, unit[:len(unit):len(unit)])
		}
	}
	return units
}
