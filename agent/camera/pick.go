package camera

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/sdp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/agent/media"
	"holdfast/shared/mp4"
)

// choice is what of a description is received: one video and at most one sound track. All else (metadata,
// back channels, codecs that nobody knows) is left alone.
type choice struct {
	codec codec
	sets  sets
	video *description.Media
	vform format.Format
	vsent *base.Response // to the SETUP of the video

	sound *description.Media // nil without
	sform format.Format
	ssent *base.Response
	track mp4.Track // of the sound
}

// pick chooses the first usable video and sound.
func (p *session) pick(desc *description.Session) (choice, error) {
	var c choice
	for _, m := range desc.Medias {
		if m.IsBackChannel || checkControl(desc, m) != nil {
			continue
		}
		for _, f := range m.Formats {
			if c.video == nil && c.pickVideo(f) {
				c.video, c.vform = m, f
			}
			if c.sound == nil && p.stream.sound && c.pickSound(f) {
				c.sound, c.sform = m, f
			}
		}
	}
	if c.video == nil {
		return c, errNoVideo
	}
	return c, nil
}

func (c *choice) pickVideo(f format.Format) bool {
	switch f := f.(type) {
	case *format.H264:
		c.codec, c.sets = codecH264(), sets{sps: f.SPS, pps: f.PPS}
	case *format.H265:
		c.codec, c.sets = codecH265(), sets{vps: f.VPS, sps: f.SPS, pps: f.PPS}
	default:
		return false
	}
	return true
}

func (c *choice) pickSound(f format.Format) bool {
	rate := f.ClockRate()
	t := mp4.Track{Timescale: uint32(max(rate, 0)), SampleRate: rate}
	switch f := f.(type) {
	case *format.G711:
		t.Codec, t.Channels = mp4.PCMA, f.ChannelCount
		if f.MULaw {
			t.Codec = mp4.PCMU
		}
	case *format.Opus:
		t.Codec, t.Channels = mp4.Opus, f.ChannelCount
	case *format.MPEG4Audio:
		asc, err := f.Config.Marshal()
		if err != nil {
			return false
		}
		t.Codec, t.ASC, t.SampleRate, t.Channels = mp4.AAC, asc, f.Config.SampleRate, max(int(f.Config.ChannelConfig), 1)
		if t.Channels == 7 {
			t.Channels = 8
		}
	default:
		return false
	}
	if t.Validate() != nil {
		return false
	}
	c.track = t
	return true
}

// receive joins the RTP packets of the chosen tracks to an assembler.
func (p *session) receive(c choice) error {
	s := p.stream
	known := c.sets
	if known.sps == nil || known.pps == nil {
		known = p.tap.known // some cameras send them in the first session only
	}
	v := newVideo(c.codec, known, p.tap.bframes)
	a := newAssembler(s.owner.clock, v, s.floor(), func(f media.Frame) {
		if f.Key && f.Track == 0 {
			p.tap.known, p.tap.bframes = v.now, v.bframes
		}
		s.frame(p, f)
	})
	if c.sound != nil {
		if sound, err := decodeSound(c.sform, p.bounded(a.pushAudio)); err == nil {
			a.addAudio(c.track)
			p.on(c.sound, c.sform, c.ssent, sound)
		}
	}
	inside := &p.inside
	picture, err := decodeVideo(c.vform, &s.owner.spares, p.bounded(func(units [][]byte, raw uint32) {
		now := time.Since(p.began)
		if p.heard.Swap(int64(now)) == 0 {
			p.settled = now + 2*settle
		}
		inside.picture(raw, time.Now())
		a.pushVideo(units, raw)
	}))
	if err != nil {
		return errors.Join(errNoVideo, err)
	}
	p.on(c.video, c.vform, c.vsent, picture)
	p.client.OnPacketRTCP(c.video, func(pkt rtcp.Packet) {
		if r, ok := pkt.(*rtcp.SenderReport); ok {
			now := time.Now()
			inside.report(r.NTPTime, r.RTPTime, now)
			s.clockOf(r.NTPTime, now)
		}
	})
	return nil
}

// on receives one track, whose SETUP was answered with res.
func (p *session) on(m *description.Media, f format.Format, res *base.Response, decode decoder) {
	take := func(pkt packet) {
		defer p.guard()
		if err := decode(pkt); err != nil {
			p.count.bad.Add(1)
			return
		}
		p.count.packets.Add(1)
	}
	if number, ok := channelOf(res); ok && p.wire != nil {
		p.wire.take(number, f.PayloadType(), take)
	}
	p.client.OnPacketRTP(m, f, func(pkt *rtp.Packet) {
		take(packet{kind: pkt.PayloadType, marker: pkt.Marker, seq: pkt.SequenceNumber, time: pkt.Timestamp, payload: pkt.Payload})
	})
}

// bounded ends the session of a device that sends more access units or frames of sound than any camera does.
func (p *session) bounded(push emit) emit {
	return func(units [][]byte, raw uint32) {
		if p.count.frames.Add(1) > maxFrames {
			p.end(errFlood)
			return
		}
		push(units, raw)
	}
}

// maxFrames is how many access units and frames of sound a device may send a second.
const maxFrames = 2000

// permits says whether a host, given as an IP address, lies in the allowed networks.
func (d *dialer) permits(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, `"`))
	return err != nil || d.allowed(a)
}

// Bounds of a description that is worth a repair, which reads it once for each track.
const (
	maxTracks = 32
	maxSDP    = 32 << 10
)

// repairSDP takes out of a description what keeps it from being read: lines that nobody needs for receiving,
// and tracks that can't be parsed. It returns the text as it was when it is sound.
func repairSDP(text []byte) []byte {
	if readable(text) == nil || bytes.Count(text, []byte("m=")) > maxTracks || len(text) > maxSDP {
		return text
	}
	var head, out strings.Builder
	var tracks []*strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "m="):
			tracks = append(tracks, &strings.Builder{})
		case len(line) > 1 && line[1] == '=' && strings.IndexByte("cbiuepkrz", line[0]) >= 0:
			continue
		}
		if len(tracks) == 0 {
			head.WriteString(line)
		} else {
			tracks[len(tracks)-1].WriteString(line)
		}
	}
	out.WriteString(head.String())
	for _, t := range tracks {
		if readable([]byte(head.String()+t.String())) == nil {
			out.WriteString(t.String())
		}
	}
	return []byte(out.String())
}

func readable(text []byte) error {
	var s sdp.SessionDescription
	if err := s.Unmarshal(text); err != nil {
		return errors.Join(errNoVideo, err)
	}
	return (&description.Session{}).Unmarshal(&s)
}
