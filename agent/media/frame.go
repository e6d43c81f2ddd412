// Package media is the floor on which video travels inside the agent: the Frame, the Hub that fans frames
// of one stream out, and the Clock of a run.
//
// It owns the order and numbering of frames and the bounds of what waits in memory. It promises that
// Hub.Write never blocks: a reader that falls behind loses whole groups of pictures, which are counted and
// said to it in place. It never touches disk or network.
package media

import (
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Params are the codec parameters of a stream, video track first. A new *Params means that what follows
// can't be appended to what went before: other parameters, or another timeline after a jump.
type Params struct {
	Tracks  []mp4.Track
	BFrames bool  // frames arrive in decoding order that is not display order
	Run     int64 // on whose timeline the MonoUs of its frames are; 0 is the present run
}

// Video returns the video track's parameters, or nil when the stream has no video.
func (p *Params) Video() *mp4.Track {
	if p == nil || len(p.Tracks) == 0 || !p.Tracks[0].Codec.IsVideo() {
		return nil
	}
	return &p.Tracks[0]
}

// Audio returns the audio track's parameters, or nil.
func (p *Params) Audio() *mp4.Track {
	if p == nil {
		return nil
	}
	for i := range p.Tracks {
		if !p.Tracks[i].Codec.IsVideo() {
			return &p.Tracks[i]
		}
	}
	return nil
}

// Frame is one access unit of video or one audio frame. Nobody changes a Frame after Hub.Write.
type Frame struct {
	Seq    uint64   // given by the Hub, rising by one over all tracks of the stream
	Params *Params  // in force for this frame; compare by pointer
	Track  int      // index into Params.Tracks
	PTS    int64    // in the track's timescale, on a timeline that never jumps while Params stays
	DTS    int64    // likewise; equal to PTS without B-frames
	MonoUs int64    // of DTS, on the run's timeline: an estimate of capture that never runs backwards while Params stays
	Key    bool     // video only: decodable without earlier frames
	Units  [][]byte // NAL units without start codes and without the parameter sets of Params, or one audio frame
	Bytes  int      // sum of len(Units)
}

// Break says that no frames come for now, and why: the source is down, or this reader was too slow.
type Break struct {
	Reason wire.Reason
	Text   string // for a person: what is wrong and what to do; may be empty
	MonoUs int64  // from when on
}

// Item is what a Reader yields: a Frame, or, when Break is set, the word that there is none for now.
type Item struct {
	Frame Frame
	Break *Break
}
