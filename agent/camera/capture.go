package camera

import (
	"encoding/binary"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/agent/media"
	"holdfast/shared/mp4"
)

// capture tells when the frames of one track of a replay were captured, on the device's clock. It goes by the best that
// the device tells: the time in each packet's header extension, else the beginning of the range that it says it plays,
// else its sender reports; or it guesses.
type capture struct {
	rate int64
	from means
	raw  uint32 // a timestamp and its time
	us   int64
}

// means is how a time was learnt, the best first.
type means int

const (
	byExtension means = iota + 1
	byRange
	byReport
	byGuess
)

// learn takes a pair of timestamp and time, unless better is known.
func (c *capture) learn(from means, raw uint32, us int64) {
	if c.from != 0 && c.from < from || c.from == from && from != byExtension {
		return
	}
	c.from, c.raw, c.us = from, raw, us
}

// at returns the time of a frame; ok is false when nothing was learnt yet.
func (c *capture) at(raw uint32) (us int64, ok bool) {
	return c.us + scale(int64(int32(raw-c.raw)), 1e6, c.rate), c.from != 0
}

// ntpUs turns an NTP time (RFC 5905 section 6) into microseconds since 1970.
func ntpUs(b []byte) int64 {
	secs, part := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	return (int64(secs)-since1900)*1e6 + int64(uint64(part)*1e6>>32)
}

// extensionOfReplay marks the header extension of ONVIF's replay: NTP time of capture, flags, the request it answers.
const extensionOfReplay = 0xabac

func (c *capture) read(pkt *rtp.Packet) {
	if !pkt.Extension || pkt.ExtensionProfile != extensionOfReplay {
		return
	}
	if b := pkt.GetExtension(0); len(b) >= 8 {
		if c.from == byExtension && c.raw == pkt.Timestamp {
			return // the first packet of a frame counts
		}
		c.learn(byExtension, pkt.Timestamp, ntpUs(b))
	}
}

func (c *capture) report(r *rtcp.SenderReport) {
	c.learn(byReport, r.RTPTime, ntpUs(binary.BigEndian.AppendUint64(nil, r.NTPTime)))
}

// anchor learns from the answer to PLAY where the replay begins, and goes on with what came before it.
func (r *replay) anchor(res *base.Response) {
	r.guarded(func() {
		r.learnRange(res)
		r.anchored = true
		early := r.early
		r.early = nil
		for _, do := range early {
			if !r.over {
				do()
			}
		}
	})
}

func (r *replay) learnRange(res *base.Response) {
	r.begins = r.onDevice(r.fromUs).Truncate(time.Second).UnixMicro()
	var h headers.Range
	if h.Unmarshal(res.Header["Range"]) != nil {
		return
	}
	utc, ok := h.Value.(*headers.RangeUTC)
	if !ok {
		return
	}
	r.begins, r.sure = utc.Start.UnixMicro(), true
	var info headers.RTPInfo
	if info.Unmarshal(res.Header["RTP-Info"]) != nil {
		return
	}
	for i, e := range info {
		if i < len(r.times) && e.Timestamp != nil {
			r.times[i].learn(byRange, *e.Timestamp, r.begins)
		}
	}
}

// captured returns when a frame was captured by the site's clock. Where the device told nothing else, its first frame is
// taken to be the first of the range.
func (r *replay) captured(track int, raw uint32) (us int64, guessed bool) {
	t := &r.times[track]
	if t.from == 0 {
		from := byGuess
		if r.sure {
			from = byRange
		}
		t.learn(from, raw, r.begins)
	}
	us, _ = t.at(raw)
	return us - r.ahead.Microseconds(), t.from == byGuess
}

// picture takes one access unit.
func (r *replay) picture(units [][]byte, raw uint32) {
	wallUs, guessed := r.captured(0, raw)
	v := r.video
	unit := v.sort(units)
	if !unit.slice {
		return
	}
	renew := false
	if unit.key || v.track.Codec == 0 {
		renew = v.adopt(wallUs)
	}
	if v.track.Codec == 0 {
		return
	}
	if len(unit.sets) > 0 && !renew {
		unit.units = append(unit.sets, unit.units...)
	}
	pts, jump := v.time.place(raw, wallUs)
	if jump {
		v.extract = v.codec.extract()
	}
	dts, pts := v.decodeTime(&unit, pts)
	if renew || jump || r.param == nil {
		r.param = &media.Params{Tracks: []mp4.Track{v.track}}
		if r.audio != nil {
			r.param.Tracks = append(r.param.Tracks, r.audio.track)
		}
	}
	wallUs -= scale(pts-dts, 1e6, videoRate)
	if !r.expected(wallUs, guessed) {
		return
	}
	r.shown = wallUs
	r.hand(media.Frame{Params: r.param, PTS: pts, DTS: dts, Key: unit.key, Units: unit.units, Bytes: bytesOf(unit.units)}, wallUs, guessed)
}

// Bounds of what a device may send besides what it was asked for.
const (
	leadUs  = 75_000_000 // before the range: up to the key frame, or to where a file of its own begins
	aliveUs = 10_000_000 // that near to the present is live
)

// expected says whether a picture is of the time that was asked for; else it ends the replay.
func (r *replay) expected(wallUs int64, guessed bool) bool {
	first := r.shown == 0
	now := r.archive.owner.clock.Now()
	switch {
	case guessed && wallUs < r.toUs:
		return true
	case wallUs >= r.toUs && !first:
		r.finish(errDone)
	case wallUs >= r.toUs && abs(now-wallUs) < aliveUs:
		r.finish(errLive)
	case wallUs > now+aliveUs, wallUs < r.fromUs-leadUs:
		r.finish(r.archive.elsewhen(r.fromUs, wallUs))
	case wallUs >= r.toUs:
		r.finish(errDone) // it goes to what it has next
	default:
		return true
	}
	return false
}

func (r *replay) hand(f media.Frame, wallUs int64, guessed bool) {
	if err := r.take(f, wallUs, guessed); err != nil {
		r.finish(&takeError{err})
	}
}

// sound takes the audio frames of one packet.
func (r *replay) sound(frames [][]byte, raw uint32) {
	wallUs, guessed := r.captured(1, raw)
	if r.param == nil || len(r.param.Tracks) < 2 {
		return
	}
	s := r.audio
	at, _ := s.time.place(raw, wallUs)
	for _, f := range frames {
		if len(f) == 0 {
			continue
		}
		if s.first || at > s.last {
			s.first, s.last = false, at
			r.hand(media.Frame{Params: r.param, Track: 1, PTS: at, DTS: at, Key: true, Units: [][]byte{f}, Bytes: len(f)}, wallUs, guessed)
		}
		n := samples(&s.track, f)
		at += n
		wallUs += scale(n, 1e6, int64(s.track.Timescale))
	}
}
