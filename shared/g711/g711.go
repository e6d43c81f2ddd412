// Package g711 turns G.711 (ITU-T G.711), which no player takes in MP4, into Opus (RFC 6716).
//
// It owns the choice of the encoder and how much each frame holds. It keeps less than one frame of sound, and promises that the
// frames are the same whatever pieces the sound comes in. It knows nothing of time: who calls it says when a frame begins.
package g711

import (
	"fmt"

	"github.com/thesyncim/gopus"
)

const (
	// Clock is the units per second of an Opus track (RFC 7587 section 4.1).
	Clock = 48000
	// PerSecond is how many frames an Encoder makes of a second: each is 20 ms long.
	PerSecond = 50
	// FrameTicks is how long a frame is, in units of Clock.
	FrameTicks = Clock / PerSecond

	bitrate  = 32000
	mostOpus = 1275 // bytes of a frame, RFC 6716 section 3.2.1
)

// Law is how G.711 codes a sample.
type Law uint8

// The two laws of G.711.
const (
	Mu Law = iota // table 2
	A             // table 1
)

// Sample expands one coded byte to 16 bits.
func (l Law) Sample(b byte) int16 {
	if l == A {
		return aLaw(b)
	}
	return muLaw(b)
}

func muLaw(b byte) int16 {
	b = ^b
	magnitude := (int16(b&0x0f)<<3 + 0x84) << (b >> 4 & 7)
	if b&0x80 != 0 {
		return 0x84 - magnitude
	}
	return magnitude - 0x84
}

func aLaw(b byte) int16 {
	b ^= 0x55
	value := int16(b&0x0f)<<4 + 8
	if exponent := b >> 4 & 7; exponent > 0 {
		value = (value + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		return -value
	}
	return value
}

// Takes reports whether Opus takes sound of this rate, in Hz, without resampling.
func Takes(rate int) bool { return rate == 8000 || rate == 16000 || rate == 24000 || rate == 48000 }

// Encoder makes Opus of one run of sound, with one channel. Not safe for concurrent use.
type Encoder struct {
	enc  *gopus.Encoder
	rate int
	pcm  []int16 // not enough for a frame yet
	buf  [mostOpus]byte
}

// NewEncoder returns an Encoder of sound of a rate in Hz that Takes allows.
func NewEncoder(rate int) (*Encoder, error) {
	enc, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: rate, Channels: 1, Application: gopus.ApplicationAudio})
	if err == nil {
		err = enc.SetBitrate(bitrate)
	}
	if err != nil {
		return nil, fmt.Errorf("make Opus encoder of %d Hz: %w", rate, err)
	}
	return &Encoder{enc: enc, rate: rate, pcm: make([]int16, 0, 2*rate/PerSecond)}, nil
}

// Lookahead is how much later sound comes out of a decoder than it went in, in units of Clock.
func (e *Encoder) Lookahead() int64 { return int64(e.enc.Lookahead()) * Clock / int64(e.rate) }

// Waiting is how many samples are in no frame yet.
func (e *Encoder) Waiting() int { return len(e.pcm) }

// Add appends coded sound and returns the frames that are whole with it.
func (e *Encoder) Add(coded []byte, law Law) (frames [][]byte, err error) {
	for _, b := range coded {
		e.pcm = append(e.pcm, law.Sample(b))
	}
	frame, done := e.rate/PerSecond, 0
	for ; len(e.pcm)-done >= frame && err == nil; done += frame {
		frames, err = e.encode(frames, e.pcm[done:done+frame])
	}
	e.pcm = e.pcm[:copy(e.pcm, e.pcm[done:])]
	return frames, err
}

// Flush returns the last frame, filled with silence; nothing, if no sound waits.
func (e *Encoder) Flush() (frames [][]byte, err error) {
	if len(e.pcm) == 0 {
		return nil, nil
	}
	frames, err = e.encode(nil, append(e.pcm, make([]int16, e.rate/PerSecond-len(e.pcm))...))
	e.pcm = e.pcm[:0]
	return frames, err
}

func (e *Encoder) encode(frames [][]byte, pcm []int16) ([][]byte, error) {
	n, err := e.enc.EncodeInt16(pcm, e.buf[:])
	if err != nil {
		return frames, fmt.Errorf("encode Opus: %w", err)
	}
	return append(frames, append([]byte(nil), e.buf[:n]...)), nil
}
