package relay

import (
	"encoding/binary"

	"holdfast/shared/mp4"
)

// isKey says whether an RTP payload belongs to a key frame: it carries one, a piece of one, or the parameter sets that
// stand before one; and whether it carries those, which are the beginning (RFC 6184 section 5.2, RFC 7798 section 4.4).
func isKey(codec mp4.Codec, payload []byte) (key, opens bool) {
	switch codec {
	case mp4.H264:
		return keyH264(payload)
	case mp4.H265:
		return keyH265(payload)
	default:
		return false, false
	}
}

func keyH264(p []byte) (key, opens bool) {
	const idr, sps, stapA, fuA = 5, 7, 24, 28
	is := func(kind byte) (key, opens bool) { return kind == idr || kind == sps, kind == sps }
	if len(p) < 2 {
		return false, false
	}
	switch kind := p[0] & 0x1f; kind {
	case stapA:
		return anyUnit(p[1:], func(head byte) (key, opens bool) { return is(head & 0x1f) })
	case fuA:
		return is(p[1] & 0x1f)
	default:
		return is(kind)
	}
}

func keyH265(p []byte) (key, opens bool) {
	const firstIRAP, lastIRAP, sps, aggregation, fragment = 16, 21, 33, 48, 49
	is := func(kind byte) (key, opens bool) {
		return kind >= firstIRAP && kind <= lastIRAP || kind == sps, kind == sps
	}
	if len(p) < 3 {
		return false, false
	}
	switch kind := p[0] >> 1 & 0x3f; kind {
	case aggregation:
		return anyUnit(p[2:], func(head byte) (key, opens bool) { return is(head >> 1 & 0x3f) })
	case fragment:
		return is(p[2] & 0x3f)
	default:
		return is(kind)
	}
}

// anyUnit goes through units that each come with their length before them, and puts together what is said of their first
// bytes.
func anyUnit(p []byte, is func(head byte) (key, opens bool)) (key, opens bool) {
	for len(p) > 2 {
		n := int(binary.BigEndian.Uint16(p))
		p = p[2:]
		if n == 0 || n > len(p) {
			break
		}
		k, o := is(p[0])
		key, opens = key || k, opens || o
		p = p[n:]
	}
	return key, opens
}
