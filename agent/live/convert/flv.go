package convert

import (
	"encoding/binary"
	"fmt"
	"io"

	"holdfast/shared/mp4"
)

// Adobe Flash Video File Format Specification, version 10.1, annex E.
const (
	flvHead     = 9 + 4 // signature, version, flags, length; size of the tag before
	tagHead     = 11    // kind, size, time, stream
	tagVideo    = 9     // kind
	tagMost     = 8 << 20
	videoHead   = 5 // kind of frame and codec, kind of packet, composition time
	videoKey    = 1
	videoAVC    = 7
	packetSetup = 0 // AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1)
	packetUnits = 1 // NAL units with their lengths
)

// read takes the pictures of an FLV stream apart until it ends; io.EOF says that it ended between two of them.
func read(r io.Reader, got func(Picture)) error {
	head := make([]byte, max(flvHead, tagHead))
	if _, err := io.ReadFull(r, head[:flvHead]); err != nil {
		return err
	}
	if string(head[:3]) != "FLV" {
		return fmt.Errorf("it begins with %q, not as FLV does", head[:3])
	}
	var track *mp4.Track
	for {
		if _, err := io.ReadFull(r, head[:tagHead]); err != nil {
			return err
		}
		size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
		atMs := int64(head[7])<<24 | int64(head[4])<<16 | int64(head[5])<<8 | int64(head[6])
		if size > tagMost {
			return fmt.Errorf("a tag of %d bytes", size)
		}
		body := make([]byte, size+4) // and its size once more; the units stay with the Picture
		if _, err := io.ReadFull(r, body); err != nil {
			return fmt.Errorf("a tag of %d bytes is cut off: %w", size, err)
		}
		body = body[:size]
		if head[0] != tagVideo || len(body) < videoHead || body[0]&0x0f != videoAVC {
			continue
		}
		var err error
		switch body[1] {
		case packetSetup:
			track, err = parameters(body[videoHead:])
		case packetUnits:
			p := Picture{AtMs: atMs, Key: body[0]>>4 == videoKey, Track: track}
			if p.Units, err = split(body[videoHead:]); err == nil && track != nil && len(p.Units) > 0 {
				got(p)
			}
		}
		if err != nil {
			return err
		}
	}
}

// parameters reads the parameter sets, one of each kind.
func parameters(b []byte) (*mp4.Track, error) {
	t := &mp4.Track{Codec: mp4.H264, Timescale: timescale}
	if len(b) < 6 || b[4]&3 != 3 {
		return nil, fmt.Errorf("a decoder configuration of %d bytes can't be read", len(b))
	}
	b = b[5:]
	for _, set := range []*[]byte{&t.SPS, &t.PPS} {
		if len(b) < 3 || b[0]&0x1f != 1 {
			return nil, fmt.Errorf("a decoder configuration without exactly one of each parameter set")
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < 3+n || n == 0 {
			return nil, fmt.Errorf("a parameter set of %d bytes is cut off", n)
		}
		*set, b = b[3:3+n], b[3+n:]
	}
	return t, nil
}

// split takes the NAL units of a picture apart. What only comments on it is left out.
func split(b []byte) (units [][]byte, err error) {
	const sei, delimiter = 6, 9 // Rec. ITU-T H.264 table 7-1
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("a NAL unit's length is cut off")
		}
		n := int(binary.BigEndian.Uint32(b))
		b = b[4:]
		if n > len(b) {
			return nil, fmt.Errorf("a NAL unit of %d bytes is cut off", n)
		}
		if n > 0 && b[0]&0x1f != sei && b[0]&0x1f != delimiter {
			units = append(units, b[:n])
		}
		b = b[n:]
	}
	return units, nil
}
