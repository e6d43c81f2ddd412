package mp4

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"holdfast/shared/evidence"
)

// PartSum is the description of one part, as its part header box keeps it; its Leaf is what the site signs.
type PartSum struct {
	Segment uint64
	Run     int64
	Seq     uint32 // number of the part in its segment, from 1
	StartUs int64  // wall time of the part's first DTS, microseconds since 1970
	EndUs   int64  // wall time at the end of its last sample
	MonoUs  int64  // StartUs on the run's timeline
	MediaUs int64  // StartUs on the segment's media timeline, in microseconds

	Key       bool  // its first video sample is a key frame
	KeySample int32 // index of its first key frame among the video samples, -1 when it has none
	KeyTime   int64 // presentation time of that key frame, in the video track's timescale

	VideoSamples, AudioSamples uint32
	VideoBytes, AudioBytes     uint32
	Bytes                      int64 // of the whole part: part header box, moof and mdat

	Moof  [32]byte // SHA-256 of the moof box: the sample table
	Video [32]byte // SHA-256 of the video payload as it lies in the file; of nothing when there is none
	Audio [32]byte // the same of the audio payload
}

const (
	partVersion  = 1
	partBoxSize  = uuidHead + partBodySize + 4
	partBodySize = 184 // from the version up to the checksum: what the leaf covers
	leafTag      = "holdfast part\n"
)

// appendBox appends the part header box.
func (p *PartSum) appendBox(dst []byte) []byte {
	w := writer{b: dst}
	box := w.openUUID(uuidPart)
	p.appendBody(&w)
	binary.BigEndian.PutUint32(w.b[box:], partBoxSize)
	w.checksum(box)
	return w.b
}

func (p *PartSum) appendBody(w *writer) {
	flags := uint32(0)
	if p.Key {
		flags = 1
	}
	w.u32(partVersion<<24 | flags)
	w.u32(p.Seq)
	w.u64(p.Segment)
	for _, v := range [...]int64{p.Run, p.StartUs, p.EndUs, p.MonoUs, p.MediaUs, p.KeyTime} {
		w.i64(v)
	}
	w.u32(uint32(p.KeySample))
	for _, v := range [...]uint32{p.VideoSamples, p.AudioSamples, p.VideoBytes, p.AudioBytes} {
		w.u32(v)
	}
	w.u32(uint32(p.Bytes))
	w.bytes(p.Moof[:])
	w.bytes(p.Video[:])
	w.bytes(p.Audio[:])
}

// parsePartBox reads a part header box of partBoxSize bytes.
func parsePartBox(b []byte) (PartSum, error) {
	var p PartSum
	if len(b) != partBoxSize || binary.BigEndian.Uint32(b) != partBoxSize || string(b[4:uuidHead]) != "uuid"+uuidPart {
		return p, fmt.Errorf("no part header: %w", ErrFormat)
	}
	if checksum(b[:partBoxSize-4]) != binary.BigEndian.Uint32(b[partBoxSize-4:]) {
		return p, fmt.Errorf("checksum of a part header does not hold: %w", ErrFormat)
	}
	r := reader{b: b[uuidHead:]}
	version := r.u32()
	if version&^1 != partVersion<<24 {
		return p, fmt.Errorf("part header of version and flags %#x, this program knows version 1: %w", version, ErrFormat)
	}
	p.Key = version&1 != 0
	p.Seq, p.Segment = r.u32(), r.u64()
	for _, v := range []*int64{&p.Run, &p.StartUs, &p.EndUs, &p.MonoUs, &p.MediaUs, &p.KeyTime} {
		*v = r.i64()
	}
	p.KeySample = int32(r.u32())
	for _, v := range []*uint32{&p.VideoSamples, &p.AudioSamples, &p.VideoBytes, &p.AudioBytes} {
		*v = r.u32()
	}
	p.Bytes = int64(r.u32())
	p.Moof, p.Video, p.Audio = r.sum32(), r.sum32(), r.sum32()
	least := int64(partBoxSize) + boxHead + int64(p.VideoBytes) + int64(p.AudioBytes)
	if p.Bytes > MaxPart || p.Bytes < least || p.Bytes-least > MaxMoof ||
		p.VideoSamples > MaxSamples || p.AudioSamples > MaxSamples ||
		p.KeySample < -1 || int64(p.KeySample) >= int64(p.VideoSamples) {
		return p, fmt.Errorf("part header with impossible sizes: %w", ErrFormat)
	}
	return p, nil
}

// moofSize returns the bytes of the moof box: what is left of the part.
func (p *PartSum) moofSize() int {
	return int(p.Bytes - partBoxSize - boxHead - int64(p.VideoBytes) - int64(p.AudioBytes))
}

// Leaf returns the part's leaf in its segment's Merkle tree. It covers every field.
func (p *PartSum) Leaf() [32]byte {
	var room [len(leafTag) + partBodySize]byte
	w := writer{b: append(room[:0], leafTag...)}
	p.appendBody(&w)
	return evidence.Leaf(w.b)
}

// NewStatement fills in what a segment's own parts say about it: identity, times, leaf count and Merkle root. init is
// the file's opening as AppendInit gave it. Offset, gaps and Previous are the caller's to add before evidence.Sign.
func NewStatement(h Header, init []byte, parts []PartSum) evidence.Statement {
	s := evidence.Statement{
		Segment: h.Segment, Site: h.Site, Camera: h.Camera, Stream: h.Stream, Origin: h.Origin, Run: h.Run,
		StartUs: h.StartUs, EndUs: h.StartUs, MonoUs: h.MonoUs,
		Parts: uint32(len(parts)), Init: sha256.Sum256(init), Root: evidence.Root(leavesOf(parts)),
	}
	if len(parts) > 0 {
		s.StartUs, s.MonoUs, s.EndUs = parts[0].StartUs, parts[0].MonoUs, parts[len(parts)-1].EndUs
	}
	return s
}

func leavesOf(parts []PartSum) [][32]byte {
	leaves := make([][32]byte, len(parts))
	for i := range parts {
		leaves[i] = parts[i].Leaf()
	}
	return leaves
}
