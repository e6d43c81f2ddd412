// Package mp4 is the container of Holdfast's media: segments on disk, made of parts, and clips cut out of them.
//
// It owns the byte format (agent/record/FORMAT.md describes it for strangers): fragmented MP4 that plays as it is,
// with boxes of our own for identity, times and sums, so that a ledger can be rebuilt from files alone, a torn tail
// is found and cut, and every part can be proven by the site's signature (shared/evidence).
// It promises that writing a part costs one copy and one hash of the payload and no allocation in the steady state,
// and that reading foreign or damaged bytes gives an error: no panic, and no allocation beyond what the file can fill.
// It never touches the network or a clock, never re-encodes, and opens no files: it reads io.ReaderAt and fills buffers.
package mp4

import "errors"

// Errors that callers branch on; they come wrapped.
var (
	ErrFormat   = errors.New("not a holdfast media file")              // the bytes are not ours, or are damaged
	ErrTooLarge = errors.New("media larger than the format allows")    // the part must be ended before this sample
	ErrCodec    = errors.New("codec changed inside a clip")            // cut two clips, or replace the audio
	ErrOrder    = errors.New("media out of order")                     // times run backwards
	ErrNoSeal   = errors.New("segment has no seal")                    // still open, or cut by a crash
	ErrNoVideo  = errors.New("no video in the range asked for a clip") // nothing to show between t0 and t1
)

// Limits of the format. A writer refuses to pass them, a reader refuses files that do.
const (
	MaxInit     = 1 << 20   // bytes of ftyp and moov together
	MaxMoof     = 4 << 20   // bytes of one moof
	MaxPart     = 128 << 20 // bytes of one part
	MaxSamples  = 1 << 16   // samples of one track in one part
	MaxParts    = 1 << 16   // parts of one segment
	MaxText     = 255       // bytes of an ID or other text in a header
	MaxParamSet = 1<<16 - 1 // bytes of one VPS, SPS, PPS or ASC
)
