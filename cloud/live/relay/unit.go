package relay

import (
	"encoding/binary"

	"holdfast/shared/mp4"
)

// units puts the NAL units of one picture together again from its packets (RFC 6184 section 5.6 to 5.8, RFC 7798 section 4.4),
// without the ways of packing that no agent uses.
type units struct {
	all   [][]byte
	open  []byte // a unit of which only the beginning has come
	bytes int
}

// unitMost bounds a picture.
const unitMost = 16 << 20

func (u *units) reset() { *u = units{} }

// put takes the payload of the next packet. It reports false when that can't belong there: then the picture is spoilt.
func (u *units) put(codec mp4.Codec, payload []byte) bool {
	if u.bytes += len(payload); u.bytes > unitMost {
		return false
	}
	const stapA, fuA, aggregation, fragment = 24, 28, 48, 49
	if codec == mp4.H264 {
		switch {
		case len(payload) < 2:
			return false
		case payload[0]&0x1f == stapA:
			return u.split(payload[1:])
		case payload[0]&0x1f == fuA:
			return u.piece(payload[1], []byte{payload[0]&0xe0 | payload[1]&0x1f}, payload[2:])
		}
	} else {
		switch {
		case len(payload) < 3:
			return false
		case payload[0]>>1&0x3f == aggregation:
			return u.split(payload[2:])
		case payload[0]>>1&0x3f == fragment:
			return u.piece(payload[2], []byte{payload[0]&0x81 | payload[2]&0x3f<<1, payload[1]}, payload[3:])
		}
	}
	return u.whole(payload)
}

func (u *units) whole(unit []byte) bool {
	if u.open != nil {
		return false
	}
	u.all = append(u.all, unit)
	return true
}

// split takes units that each come with their length before them.
func (u *units) split(p []byte) bool {
	for len(p) > 2 {
		n := int(binary.BigEndian.Uint16(p))
		p = p[2:]
		if n == 0 || n > len(p) || !u.whole(p[:n:n]) {
			return false
		}
		p = p[n:]
	}
	return len(p) == 0
}

// piece takes a piece of a unit: mark says whether it is the first one or the last.
func (u *units) piece(mark byte, head, body []byte) bool {
	const first, last = 0x80, 0x40
	if (mark&first != 0) != (u.open == nil) {
		return false
	}
	if mark&first != 0 {
		u.open = head
	}
	u.open = append(u.open, body...)
	if mark&last != 0 {
		u.all, u.open = append(u.all, u.open), nil
	}
	return true
}

// done returns the units of a picture of which all packets have come; false when one of them is not whole.
func (u *units) done() ([][]byte, bool) { return u.all, u.open == nil && len(u.all) > 0 }

// sounds puts AAC frames together again from their packets (RFC 3640 section 3.2, mode AAC-hbr).
type sounds struct {
	open []byte // a frame of which only the beginning has come
	want int    // its bytes
}

// put takes the payload of the next packet and returns the frames that are whole with it.
func (s *sounds) put(p []byte) (frames [][]byte) {
	if len(p) < 4 {
		*s = sounds{}
		return nil
	}
	heads := int(binary.BigEndian.Uint16(p)) / 16
	if heads == 0 || len(p) < 2+2*heads {
		*s = sounds{}
		return nil
	}
	sizes, data := p[2:2+2*heads], p[2+2*heads:]
	if size := int(binary.BigEndian.Uint16(sizes) >> 3); heads == 1 && size > len(data) {
		return s.piece(size, data)
	}
	*s = sounds{}
	for ; len(sizes) > 0; sizes = sizes[2:] {
		size := int(binary.BigEndian.Uint16(sizes) >> 3)
		if size == 0 || size > len(data) {
			return frames
		}
		frames = append(frames, data[:size:size])
		data = data[size:]
	}
	return frames
}

func (s *sounds) piece(size int, data []byte) [][]byte {
	if s.want != size {
		*s = sounds{want: size}
	}
	s.open = append(s.open, data...)
	switch n := len(s.open); {
	case n < size:
		return nil
	case n > size:
		*s = sounds{}
		return nil
	}
	whole := s.open
	*s = sounds{}
	return [][]byte{whole}
}
