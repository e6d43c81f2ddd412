package fakecam

import (
	"bytes"
	"math"
	"math/rand/v2"
	"time"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

const (
	reportEvery = 5 * time.Second
	tooLate     = time.Second // when the machine was asleep or too busy: skip rather than catch up
)

// player sends one stream's frames when they are due. It belongs to the stream's goroutine.
type player struct {
	s     *Stream
	out   *output
	loop  *scenes.Loop
	dice  *rand.Rand // which packets get lost; the same in every run
	start time.Time  // when tick 0 is due

	base  int64 // tick at which the present round of the loop began
	at    int   // next unit
	sound int64 // next frame of sound, counted from tick 0
	frame uint64

	quiet    bool     // no frames went out lately: go on with a key frame
	frozen   [][]byte // what a frozen camera repeats
	reported time.Time

	// Orders.
	jump, outlier time.Duration
	next          *scenes.Loop
	reboot        bool
}

// play runs the stream until done.
func (s *Stream) play(done <-chan struct{}, start time.Time) {
	p := &player{
		s: s, out: s.output(), loop: s.Loop(), start: start,
		dice: rand.New(rand.NewPCG(uint64(s.camera.cfg.Number), uint64(s.number))),
	}
	p.spread()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-s.wake:
		case <-timer.C:
		}
		for _, do := range s.takeOrders() {
			do(p)
		}
		if err := p.obey(); err != nil {
			s.camera.server.log.Error("fake camera can't go on", "camera", s.camera.cfg.Name, "stream", s.kind, "error", err)
			return
		}
		timer.Reset(p.step(time.Now()))
	}
}

// spread starts each camera at another place of its loop, so that key frames do not come all at once.
func (p *player) spread() {
	turn := math.Mod(float64(p.s.camera.cfg.Number)*0.618034+float64(p.s.number)*0.37, 1)
	into := int64(turn * p.loop.GOP.Seconds() * scenes.Timescale)
	p.base = -into
	for p.loop.Units[p.at].DTS < into {
		p.at++
	}
}

// obey does what orders ask for.
func (p *player) obey() error {
	if p.reboot {
		p.reboot, p.jump = false, 0
		if p.next == nil {
			p.next = p.loop
		}
		if err := p.s.replace(p.next); err != nil {
			return err
		}
	} else if p.next != nil {
		if p.out.fits(p.loop, p.next) {
			p.s.follow(p.next)
		} else if err := p.s.replace(p.next); err != nil {
			return err
		}
	}
	if p.next != nil {
		p.loop, p.out, p.next, p.sound = p.next, p.s.output(), nil, 0
		p.resume(p.tick(time.Now()), 0)
	}
	return nil
}

// tick is the present moment on the stream's clock, 1/90000 s.
func (p *player) tick(now time.Time) int64 {
	return int64(now.Sub(p.start).Seconds() * scenes.Timescale)
}

// due is when a tick of a clock with the given rate is due.
func (p *player) due(ticks, rate int64) time.Time {
	return p.start.Add(time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate))
}

// resume goes on at tick with the first key frame from unit on.
func (p *player) resume(tick int64, unit int) {
	for !p.loop.Units[unit%len(p.loop.Units)].Key {
		unit++
	}
	p.at = unit % len(p.loop.Units)
	p.base = tick - p.loop.Units[p.at].DTS
	p.quiet, p.frozen = false, nil
	if p.loop.Audio != nil {
		p.sound = max(p.sound, tick*int64(p.loop.Audio.SampleRate)/scenes.Timescale/p.loop.SoundTicks)
	}
}

// step sends all that is due and returns how long nothing else is.
func (p *player) step(now time.Time) time.Duration {
	k := p.s.camera.Knobs()
	k.Stall = k.Stall || p.s.stalled.Load()
	for {
		pictures := p.due(p.base+p.loop.Units[p.at].DTS, scenes.Timescale)
		next, isSound := pictures, false
		if p.out.audio.media != nil {
			if at := p.due(p.sound*p.loop.SoundTicks, int64(p.loop.Audio.SampleRate)); at.Before(pictures) {
				next, isSound = at, true
			}
		}
		if wait := next.Sub(now); wait > 0 {
			return wait
		}
		if now.Sub(next) > tooLate {
			p.s.late()
			frozen := p.frozen // a frozen camera stays so
			p.resume(p.tick(now), p.at)
			p.frozen = frozen
			continue
		}
		if isSound {
			p.sendSound(k, now)
		} else {
			p.sendPicture(k, now)
		}
	}
}

func (s *Stream) late() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Late++
}

// sendPicture sends the next unit, or what the knobs make of it.
func (p *player) sendPicture(k Knobs, now time.Time) {
	if k.NoKey {
		k.Freeze = false // there is no key frame to repeat
	}
	if !k.mute() && (p.quiet || !k.Freeze && p.frozen != nil || k.Freeze && p.frozen == nil) {
		p.resume(p.base+p.loop.Units[p.at].DTS, p.at)
	}
	u := &p.loop.Units[p.at]
	ticks := p.base + u.PTS
	dts := p.base + u.DTS
	if p.at++; p.at == len(p.loop.Units) {
		p.at, p.base = 0, p.base+p.loop.Ticks
	}
	if k.mute() {
		p.quiet = true
		return
	}
	if k.NoKey && u.Key {
		return
	}
	e := Sent{AtUs: now.UnixMicro(), Key: u.Key}
	var au [][]byte
	if p.frozen != nil {
		au, ticks, e.Key, e.Frozen = p.frozen, dts+p.delay(), true, true
	} else {
		p.frame++
		au = p.unit(u, e.AtUs)
		if k.Bloat > 1 {
			au = append(au, padding(u.NALUs, k.Bloat-1, p.loop.Video.Codec == mp4.H265))
		}
		if k.Freeze {
			p.frozen = au
		}
	}
	e.Frame = p.frame
	for _, n := range au {
		e.Bytes += len(n)
	}
	filmed := p.due(ticks-p.delay(), scenes.Timescale)
	ticks += ticksOf(p.jump+p.outlier, scenes.Timescale)
	p.outlier = 0
	e.RTP = p.out.video.base + uint32(ticks)
	if !e.Frozen {
		p.s.card.put(kept{units: au, atUs: filmed.UnixMicro(), key: e.Key, loop: p.loop})
	}
	if k.Unplugged {
		e.Unsent = true
		p.s.note(e)
		return
	}
	packets, harmed, err := p.out.pack(&p.out.video, au, ticks, func() fate { return p.luck(k) })
	e.Damaged = harmed > 0
	p.s.note(e) // first, so that whoever has got a frame finds it counted
	if err == nil {
		err = p.out.send(&p.out.video, packets, now)
	}
	if err != nil {
		p.s.camera.server.log.Debug("frame not written", "camera", p.s.camera.cfg.Name, "error", err)
	}
	p.reports(k, now)
}

// luck decides about a packet of pictures.
func (p *player) luck(k Knobs) fate {
	switch {
	case k.LossPercent > 0 && p.dice.Float64()*100 < k.LossPercent:
		return leftOut
	case k.Garble > 0 && p.dice.Float64()*100 < k.Garble:
		return garbled
	}
	return sent
}

// unit is the access unit with its stamp, and with parameter sets when it is a key frame.
func (p *player) unit(u *scenes.Unit, atUs int64) [][]byte {
	v := &p.loop.Video
	var au [][]byte
	if u.Key && !p.s.camera.cfg.OutOfBand {
		if v.VPS != nil {
			au = append(au, v.VPS)
		}
		au = append(au, v.SPS, v.PPS)
	}
	stamp := Stamp{Camera: p.s.camera.cfg.Number, Stream: p.s.number, Frame: p.frame, SentUs: atUs}
	return append(append(au, stamp.NAL(v.Codec == mp4.H265)), u.NALUs...)
}

// padding is a SEI message (user_data_unregistered, as in Stamp) that is so many times as long as the slices.
func padding(slices [][]byte, times float64, h265 bool) []byte {
	n := 0
	for _, s := range slices {
		n += len(s)
	}
	n = int(float64(n) * times)
	out := append(make([]byte, 0, n+n/255+8), h264SEI, seiUnregister)
	if h265 {
		out = append(append(out[:0], h265PrefixSEI<<1, 1), seiUnregister)
	}
	for ; n >= 255; n -= 255 {
		out = append(out, 0xff)
	}
	out = append(out, byte(n))
	out = append(out, bytes.Repeat([]byte{0x55}, cap(out)-len(out)-1)...)
	return append(out, 0x80)
}

// delay is by how much a frame is shown after it is sent, in ticks: more than 0 with B-frames.
func (p *player) delay() int64 {
	u := &p.loop.Units[0]
	return u.PTS - u.DTS
}

func (p *player) sendSound(k Knobs, now time.Time) {
	n := p.sound
	p.sound++
	if k.mute() {
		return
	}
	frame := p.loop.Sound[n%int64(len(p.loop.Sound))]
	filmed := p.due(n*p.loop.SoundTicks, int64(p.loop.Audio.SampleRate))
	p.s.card.put(kept{units: [][]byte{frame}, atUs: filmed.UnixMicro(), sound: true, loop: p.loop})
	if k.Unplugged {
		return
	}
	ticks := n*p.loop.SoundTicks + ticksOf(p.jump, int64(p.loop.Audio.SampleRate))
	if j := k.SoundJitter; j > 0 {
		ticks += ticksOf(time.Duration(p.dice.Int64N(2*j+1)-j)*time.Millisecond, int64(p.loop.Audio.SampleRate))
	}
	packets, _, err := p.out.pack(&p.out.audio, [][]byte{frame}, ticks, func() fate { return sent })
	if err != nil {
		return
	}
	p.s.mu.Lock()
	p.s.count.Sound++
	p.s.mu.Unlock()
	if err := p.out.send(&p.out.audio, packets, now); err != nil {
		p.s.camera.server.log.Debug("sound not written", "camera", p.s.camera.cfg.Name, "error", err)
	}
}

// reports sends RTCP sender reports every five seconds, and at once when a client has come.
func (p *player) reports(k Knobs, now time.Time) {
	if !p.s.report.Swap(false) && now.Sub(p.reported) < reportEvery {
		return
	}
	p.reported = now
	wall := now.Add(time.Duration(k.NTPOffsetMs) * time.Millisecond)
	late := k.InsideMs * scenes.Timescale / 1000
	err := p.out.report(&p.out.video, wall, p.tick(now)+late+p.delay()+ticksOf(p.jump, scenes.Timescale))
	if err == nil && p.out.audio.media != nil {
		rate := int64(p.loop.Audio.SampleRate)
		err = p.out.report(&p.out.audio, wall, (p.tick(now)+late)*rate/scenes.Timescale+ticksOf(p.jump, rate))
	}
	if err != nil {
		p.s.camera.server.log.Debug("report not written", "camera", p.s.camera.cfg.Name, "error", err)
	}
}

// ticksOf is d in units of a clock of the given rate.
func ticksOf(d time.Duration, rate int64) int64 {
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}
