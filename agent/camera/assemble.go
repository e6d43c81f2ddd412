package camera

import (
	"math"
	"sync"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"holdfast/agent/media"
	"holdfast/shared/mp4"
)

// assembler makes frames of one session: it owns the stream's Params and the times of both tracks. Safe for
// concurrent use, since over UDP each track arrives in a goroutine of its own.
type assembler struct {
	clock *media.Clock
	emit  func(media.Frame)

	mu      sync.Mutex
	run     int64
	floorUs int64 // where the session before ended: nothing is placed before it
	video   *video
	paces   [2]pace // video, audio
	audio   *audio  // nil without
	params  *media.Params
	opening []arrival // not yet given a time
	open    bool      // the first frames have been given their times
	noted   bool      // something changed that calls for new Params at the next key frame
}

// audio is the state of the sound track.
type audio struct {
	track mp4.Track
	time  timeline
	first bool
	last  int64
}

type arrival struct {
	frame media.Frame
	us    int64
}

func newAssembler(clock *media.Clock, v *video, floorUs int64, emit func(media.Frame)) *assembler {
	a := &assembler{clock: clock, run: clock.Run(), video: v, floorUs: floorUs, emit: emit}
	a.paces[0].rate = videoRate
	return a
}

// addAudio adds the sound track, before any frame is pushed.
func (a *assembler) addAudio(t mp4.Track) {
	rate := int64(t.Timescale)
	a.audio = &audio{track: t, time: timeline{rate: rate}, first: true}
	a.paces[1].rate = rate
}

// pushVideo takes one access unit with its RTP timestamp.
func (a *assembler) pushVideo(units [][]byte, raw uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	nowUs := a.clock.MonoIn(a.run)
	unit := a.video.sort(units)
	if !unit.slice {
		return
	}
	renew := false
	if unit.key || a.video.track.Codec == 0 {
		renew = a.video.adopt(nowUs) || a.noted
	}
	if a.video.track.Codec == 0 {
		return
	}
	if len(unit.sets) > 0 && !renew {
		unit.units = append(unit.sets, unit.units...)
	}
	pts, jump := a.video.time.place(raw, nowUs)
	if jump {
		a.video.extract = a.video.codec.extract()
	}
	dts, pts := a.video.decodeTime(&unit, pts)
	if unit.key && a.clock.Run() != a.run {
		a.nextRun(dts)
		renew = true
	}
	if renew || a.params == nil {
		a.renew()
		a.noted = false
	}
	a.noted = a.noted || jump || a.video.bframes != a.params.BFrames
	a.pass(media.Frame{Params: a.params, PTS: pts, DTS: dts, Key: unit.key, Units: unit.units, Bytes: bytesOf(unit.units)})
}

// pushAudio takes the audio frames of one packet with its RTP timestamp. Whatever is wrong with them stays
// with them.
func (a *assembler) pushAudio(frames [][]byte, raw uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.params == nil {
		return
	}
	nowUs := a.clock.MonoIn(a.run)
	s := a.audio
	at, _ := s.time.place(raw, nowUs)
	for _, f := range frames {
		if len(f) == 0 {
			continue
		}
		if s.first || at > s.last {
			s.first, s.last = false, at
			a.pass(media.Frame{Params: a.params, Track: 1, PTS: at, DTS: at, Key: true, Units: [][]byte{f}, Bytes: len(f)})
		}
		at += samples(&s.track, f)
	}
}

// samples returns the duration of an audio frame in its track's timescale.
func samples(t *mp4.Track, frame []byte) int64 {
	switch t.Codec {
	case mp4.AAC:
		return 1024
	case mp4.Opus:
		return opus.PacketDuration2(frame)
	default:
		return int64(len(frame) / max(t.Channels, 1))
	}
}

// renew makes new Params of what is known now.
func (a *assembler) renew() {
	a.params = &media.Params{Tracks: []mp4.Track{a.video.track}, BFrames: a.video.bframes, Run: a.run}
	if a.audio != nil {
		a.params.Tracks = append(a.params.Tracks, a.audio.track)
	}
}

// nextRun moves to the clock's present run, after a step of the clock.
func (a *assembler) nextRun(dts int64) {
	a.run = a.clock.Run()
	nowUs := a.clock.Mono()
	a.paces[0].begin(dts, nowUs)
	a.floorUs = 0
	if a.audio != nil && a.paces[1].started {
		a.paces[1].begin(a.audio.last, nowUs)
	}
}

// pass gives a frame its time and hands it on. The first frames wait until it is clear whether they are a
// burst of older ones.
func (a *assembler) pass(f media.Frame) {
	nowUs := a.clock.MonoIn(a.run)
	if !a.open {
		a.opening = append(a.opening, arrival{f, nowUs})
		if nowUs-a.opening[0].us < settle.Microseconds() {
			return
		}
		a.settle()
		return
	}
	a.stamp(f, nowUs)
}

// settle anchors both tracks at the earliest capture time that their first frames allow: none was captured
// after it arrived.
func (a *assembler) settle() {
	a.open = true
	a.mendFirst()
	anchors := [2]int64{math.MaxInt64, math.MaxInt64}
	for i := range a.opening {
		f := &a.opening[i].frame
		anchors[f.Track] = min(anchors[f.Track], a.opening[i].us-scale(f.DTS, 1e6, a.paces[f.Track].rate))
	}
	// What would lie a little before the last session only looks so by the jitter of the network.
	if early := a.floorUs - anchors[0] - scale(a.opening[0].frame.DTS, 1e6, videoRate); early > 0 && early < 500_000 {
		anchors[0] += early
	}
	for track, anchor := range anchors {
		if anchor != math.MaxInt64 {
			a.paces[track].begin(0, anchor)
		}
	}
	waiting := a.opening
	a.opening = nil
	for _, w := range waiting {
		p := &a.paces[w.frame.Track]
		if us := p.nominal(w.frame.DTS); us >= a.floorUs {
			w.frame.MonoUs = us
			p.last, p.lastUs = w.frame.DTS, us
			a.emit(w.frame)
		}
	}
}

// mendFirst gives the first picture the decoding time that the extractor could only guess.
func (a *assembler) mendFirst() {
	first := &a.opening[0].frame
	for _, w := range a.opening[1:] {
		if w.frame.Track == 0 {
			if !a.video.bframes && first.PTS < w.frame.DTS {
				first.DTS = first.PTS
			}
			return
		}
	}
}

func (a *assembler) stamp(f media.Frame, nowUs int64) {
	p := &a.paces[f.Track]
	if !p.started {
		p.begin(f.DTS, max(nowUs, a.floorUs))
	}
	us := p.at(f.DTS, nowUs)
	if us < a.floorUs {
		return
	}
	f.MonoUs = us
	a.emit(f)
}

func bytesOf(units [][]byte) (n int) {
	for _, u := range units {
		n += len(u)
	}
	return n
}
