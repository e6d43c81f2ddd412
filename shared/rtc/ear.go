package rtc

import (
	"strings"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Ear is a connection over which one person is heard. Nothing is sent over it but words.
type Ear struct {
	*Peer
	Control Control

	mu    sync.Mutex
	taken bool // there is a track that is heard, or there will be none
}

// NewEar makes the connection that belongs to an offer with one place for sound, which Answer then answers. sound is called
// with each packet as it comes, by one goroutine, and may keep it; end is told that the connection has ended. Neither must
// block. The codec is mp4.PCMU or mp4.PCMA at 8 kHz. An error is a *wire.Failure when the person should read it.
func NewEar(offer string, codec mp4.Codec, setup Setup, sound func(*rtp.Packet), end func()) (*Ear, error) {
	if err := speaks(offer, codec); err != nil {
		return nil, err
	}
	setup.Hears = codec
	p, err := newPeer(offer, setup, end)
	if err != nil {
		return nil, err
	}
	e := &Ear{Peer: p}
	e.Control.prepare(setup.Log)
	p.PC.OnDataChannel(func(dc *webrtc.DataChannel) {
		if dc.Label() == ControlLabel {
			e.Control.open(dc)
		}
	})
	p.PC.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { e.listen(track, receiver, sound) })
	return e, nil
}

// speaks checks that an offer has a place for one person's sound in a codec, and for nothing else.
func speaks(offer string, codec mp4.Codec) error {
	sdp, err := (&webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}).Unmarshal()
	if err != nil {
		return unreadableOffer(err)
	}
	places, fits := 0, false
	for _, m := range sdp.MediaDescriptions {
		switch m.MediaName.Media {
		case "application":
			continue
		case "audio":
			places++
		default:
			return wire.Fail(wire.FailedRefused, "The offer asks for %s beside a place to speak.", m.MediaName.Media)
		}
		for _, a := range m.Attributes {
			_, format, _ := strings.Cut(a.Value, " ")
			name, _, _ := strings.Cut(format, "/")
			has, known := CodecOf("audio/" + name)
			fits = fits || a.Key == "rtpmap" && known && has == codec
		}
	}
	switch {
	case places != 1:
		return wire.Fail(wire.FailedRefused, "The offer has %d places to speak, want one.", places)
	case !fits:
		return wire.Fail(wire.FailedCodec, "The browser does not offer G.711 (%s), which the camera's loudspeaker wants.", codec)
	}
	return nil
}

// listen reads what is said until the connection ends. There is one track.
func (e *Ear) listen(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver, sound func(*rtp.Packet)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken {
		return
	}
	e.taken = true
	e.listening.Go(func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return // the sender's reports are seen only by one who reads
			}
		}
	})
	e.listening.Go(func() {
		for {
			pkt, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			sound(pkt)
		}
	})
}

// Close ends the connection and waits until nothing of it is left.
func (e *Ear) Close() {
	e.mu.Lock()
	e.taken = true
	e.mu.Unlock()
	e.Peer.Close()
}
