package fakecam

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/testenv/scenes"
)

// span is what a PLAY asks for, on the camera's own clock.
type span struct {
	fromUs, toUs int64
	fast         bool // Rate-Control: no
	seq          uint8
}

// play reads the range of a PLAY. The replay itself begins once the answer is out.
func (r *replay) play(req *base.Request, k Knobs) (*base.Response, func()) {
	var h headers.Range
	var seq uint8
	if v := req.Header["CSeq"]; len(v) > 0 {
		_, _ = fmt.Sscan(v[0], &seq)
	}
	utc, ok := (*headers.RangeUTC)(nil), h.Unmarshal(req.Header["Range"]) == nil
	if ok {
		utc, ok = h.Value.(*headers.RangeUTC)
	}
	s := span{toUs: 1 << 62, seq: seq, fast: slices.Contains(req.Header["Rate-Control"], "no") && k.ArchivePace == 0}
	switch {
	case r.session == "":
		return answer(base.StatusSessionNotFound), nil
	case k.ArchiveLive:
		s.fromUs = time.Now().UnixMicro() + k.NTPOffsetMs*1000
	case !ok:
		return answer(base.StatusInvalidRange), nil
	default:
		s.fromUs = utc.Start.UnixMicro()
		if utc.End != nil {
			s.toUs = utc.End.UnixMicro()
		}
	}
	list := r.footage(s, k)
	res := answer(base.StatusOK)
	if len(list) > 0 && !k.ArchiveLive && !k.ArchiveTimeless {
		first := time.UnixMicro(list[0].atUs + k.NTPOffsetMs*1000 + k.ArchiveShiftMs*1000).UTC()
		res.Header["Range"] = base.HeaderValue{"clock=" + first.Format("20060102T150405.000000Z") + "-"}
		res.Header["RTP-Info"] = base.HeaderValue{fmt.Sprintf("url=%s/trackID=0;seq=0;rtptime=%d", req.URL, rtpOf(&list[0]))}
	}
	return res, func() { r.send(list, s, k) }
}

// footage is what the replay sends, without what knobs take out of it.
func (r *replay) footage(s span, k Knobs) []kept {
	offUs := k.NTPOffsetMs * 1000
	list := r.stream.card.from(s.fromUs - offUs)
	for i := range list {
		if list[i].atUs+offUs >= s.toUs && list[i].key {
			list = list[:i+1] // with the key frame behind the end, as many devices do
			break
		}
	}
	if hole := k.ArchiveHoleMs * 1000; hole > 0 {
		begun := s.fromUs - offUs
		whole := false
		list = slices.DeleteFunc(list, func(f kept) bool {
			in := (f.atUs-begun)%20_000_000 >= 10_000_000 && (f.atUs-begun)%20_000_000 < 10_000_000+hole
			if f.key {
				whole = !in
			}
			return in || !whole && !f.sound
		})
	}
	return list
}

// send plays frames at their pace, or as fast as the client takes them, then says goodbye.
func (r *replay) send(list []kept, s span, k Knobs) {
	r.out.video.packets, r.out.audio.packets = 0, 0
	begun := time.Now()
	pace := k.ArchivePace
	if pace == 0 {
		pace = 1
	}
	for i := range list {
		f := &list[i]
		if k.ArchiveEndMs > 0 && f.atUs-list[0].atUs >= k.ArchiveEndMs*1000 {
			_ = r.nc.Close()
			return
		}
		if !s.fast {
			due := begun.Add(time.Duration(float64(f.atUs-list[0].atUs)/pace) * time.Microsecond)
			if !r.wait(time.Until(due)) {
				return
			}
		}
		last := i+1 == len(list)
		if r.frame(f, s, k, last) != nil {
			return
		}
	}
	for n, t := range []*track{&r.out.video, &r.out.audio} {
		if r.chans[n] >= 0 {
			bye, err := (&rtcp.Goodbye{Sources: []uint32{t.ssrc}}).Marshal()
			if err != nil || r.packet(r.chans[n]+1, bye) != nil {
				return
			}
		}
	}
}

func (r *replay) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.over:
		return false
	}
}

// rtpOf is a frame's RTP timestamp: its capture in the clock of its track.
func rtpOf(f *kept) uint32 {
	rate := int64(scenes.Timescale)
	if f.sound {
		rate = int64(f.loop.Audio.SampleRate)
	}
	return uint32(f.atUs/1e6*rate + f.atUs%1e6*rate/1e6)
}

// frame sends the packets of one frame.
func (r *replay) frame(f *kept, s span, k Knobs, last bool) error {
	t, channel := &r.out.video, r.chans[0]
	if f.sound {
		t, channel = &r.out.audio, r.chans[1]
	}
	if channel < 0 {
		return nil
	}
	packets, err := t.encode(f.units)
	if err != nil {
		return fmt.Errorf("packetise frame: %w", err)
	}
	for _, p := range packets {
		p.Timestamp += rtpOf(f)
		t.ssrc = p.SSRC
		if !k.ArchivePlain {
			if err := extend(p, f, s, k, last); err != nil {
				return err
			}
		}
		b, err := p.Marshal()
		if err != nil {
			return fmt.Errorf("write packet: %w", err)
		}
		if err := r.packet(channel, b); err != nil {
			return err
		}
	}
	return nil
}

// extend adds the header extension of a replay: the time of capture, whether decoding can begin here, whether this is
// the last one, and the request that it belongs to.
func extend(p *rtp.Packet, f *kept, s span, k Knobs, last bool) error {
	const since1900 = 2208988800
	us := f.atUs + k.NTPOffsetMs*1000 + k.ArchiveShiftMs*1000
	b := binary.BigEndian.AppendUint32(nil, uint32(us/1e6+since1900))
	b = binary.BigEndian.AppendUint32(b, uint32(us%1e6<<32/1e6))
	flags := byte(0)
	if f.key {
		flags |= 0x80
	}
	if last {
		flags |= 0x40
	}
	b = append(b, flags, s.seq, 0, 0)
	p.Extension, p.ExtensionProfile = true, 0xabac
	if err := p.SetExtension(0, b); err != nil {
		return fmt.Errorf("extend packet: %w", err)
	}
	return nil
}

// packet writes one interleaved packet; it waits for a client that is slower.
func (r *replay) packet(channel int, b []byte) error {
	r.write.Lock()
	defer r.write.Unlock()
	if n := len(b) + 4; n > len(r.buf) {
		r.buf = make([]byte, 2*n)
	}
	return r.c.WriteInterleavedFrame(&base.InterleavedFrame{Channel: channel, Payload: b}, r.buf)
}
