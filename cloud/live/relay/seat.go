package relay

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// seat is the place of one stream on a link.
type seat struct {
	link    *link
	index   int
	video   *webrtc.RTPTransceiver
	audio   *webrtc.RTPTransceiver
	control *webrtc.DataChannel
	pull    atomic.Pointer[pull]
	ssrc    atomic.Uint32 // of the video; 0 before any came

	taken bool      // under Relay.mu
	freed time.Time // likewise
}

// seatRest is how long a seat is left alone after a stream: what is still on its way must not be taken for the next one's.
const seatRest = 3 * time.Second

// codecs are those that a track may carry, by payload type.
func codecs(receiver *webrtc.RTPReceiver) map[uint8]mp4.Codec {
	out := map[uint8]mp4.Codec{}
	for _, c := range receiver.GetParameters().Codecs {
		if codec, ok := rtc.CodecOf(c.MimeType); ok {
			out[uint8(c.PayloadType)] = codec
		}
	}
	return out
}

func (s *seat) read(track *webrtc.TrackRemote, types map[uint8]mp4.Codec, marks map[string]uint8) {
	o := newOrder()
	for {
		pkt, _, err := track.ReadRTP()
		if err != nil {
			return // the connection is closed
		}
		due, torn := o.put(pkt, time.Now())
		p := s.pull.Load()
		for _, d := range due {
			if codec, ok := types[d.PayloadType]; ok && p != nil && len(d.Payload) > 0 {
				p.put(d, codec, torn, marks)
				torn = false
			}
		}
	}
}

// say says something to the agent about what comes on this seat.
func (s *seat) say(o rtc.Op) {
	text, err := json.Marshal(o)
	if err == nil && s.control.ReadyState() == webrtc.DataChannelStateOpen {
		err = s.control.SendText(string(text))
	}
	if err != nil {
		s.link.log.Debug("talk to the site", "error", err)
	}
}

// beg asks the agent to begin the picture anew (RFC 4585 section 6.3.1).
func (s *seat) beg() {
	if ssrc := s.ssrc.Load(); ssrc != 0 {
		if err := s.link.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}); err != nil {
			s.link.log.Debug("ask for a picture", "error", err)
		}
	}
}

// free ends what an agent shows on the seat, and gives it back.
func (s *seat) free(p *pull, session id.Session) {
	s.pull.CompareAndSwap(p, nil)
	select {
	case <-s.link.over:
	default:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.link.relay.deps.Ask(ctx, s.link.agent, wire.CmdLiveClose, wire.LiveClose{Session: session}, nil); err != nil {
			s.link.log.Debug("end a stream of the relay at the site", "error", err)
		}
	}
	s.link.relay.mu.Lock()
	defer s.link.relay.mu.Unlock()
	s.taken, s.freed = false, time.Now()
}
