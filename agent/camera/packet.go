package camera

import (
	"encoding/binary"
	"errors"
)

// packet is what is of use of an RTP packet (RFC 3550 section 5.1). Whoever is given one keeps nothing of its payload.
type packet struct {
	kind    uint8 // payload type
	marker  bool
	seq     uint16
	time    uint32
	payload []byte
}

var errPacket = errors.New("not an RTP packet")

// parsePacket reads a packet without copying its payload.
func parsePacket(b []byte) (packet, error) {
	const fixed = 12
	if len(b) < fixed || b[0]>>6 != 2 {
		return packet{}, errPacket
	}
	p := packet{
		kind: b[1] & 0x7f, marker: b[1]&0x80 != 0,
		seq: binary.BigEndian.Uint16(b[2:]), time: binary.BigEndian.Uint32(b[4:]),
	}
	head := fixed + 4*int(b[0]&0x0f) // contributing sources
	if b[0]&0x10 != 0 {              // header extension, section 5.3.1
		if len(b) < head+4 {
			return packet{}, errPacket
		}
		head += 4 + 4*int(binary.BigEndian.Uint16(b[head+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 { // padding
		end -= int(b[end-1])
	}
	if end < head {
		return packet{}, errPacket
	}
	p.payload = b[head:end]
	return p, nil
}
