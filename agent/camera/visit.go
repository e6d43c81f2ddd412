package camera

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rtsp "github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"holdfast/shared/mp4"
)

const (
	visitTimeout = 5 * time.Second // for each answer of a device: a person waits for it
	speechPart   = 20 * time.Millisecond
	speechBytes  = 160 // of G.711 at 8 kHz in one part, which is as many samples
	speechTail   = 16  // parts that are sent after the end: what still waits is up to 240 ms, and then silence
	speechBehind = 5   // parts that are made up for when the machine was busy; more are left out
	// speechQueue is how many packets wait for a device that reads too slowly, before it counts as deaf. A power of two.
	speechQueue = 64
	maxWants    = 4 // codecs of a loudspeaker that people are told
)

// visit is one conversation with a device about its loudspeaker: over TCP alone, and never about pictures.
type visit struct {
	speaker *Speaker
	tap     *tap
	plain   bool
	say     func() error // what is done once the device has described itself; nil: nothing

	client   *rtsp.Client
	login    login
	line     atomic.Pointer[line]
	dials    int
	accepted bool
	setup    atomic.Bool

	// The RTSP client's goroutine alone touches these while a request is under way.
	override  base.Method // sent instead of what the library sends
	id        string      // as the device named the session
	questions questions

	// What the description offers.
	base  *base.URL
	media *description.Media
	kind  uint8 // RTP payload type
	codec mp4.Codec

	mu      sync.Mutex
	refusal error // why an answer of the device was not accepted
}

func newVisit(s *Speaker, t *tap, plain bool) *visit {
	v := &visit{speaker: s, tap: t, plain: plain}
	v.login = login{tap: t, pinned: func() { s.owner.remember(t) }, refusal: func(err error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.refusal = err
	}}
	return v
}

// run returns when the conversation is over; it has sent TEARDOWN then where there was anything to tear down.
func (v *visit) run(ctx context.Context, try *try) error {
	u, tcp := v.tap.source.url(), rtsp.TransportTCP
	v.client = &rtsp.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &tcp, UserAgent: "Holdfast", TLSConfig: v.tap.source.secure(v.speaker.owner.cfg.CAs),
		ReadTimeout: visitTimeout, WriteTimeout: visitTimeout, WriteQueueSize: speechQueue, RequestBackChannels: true,
		DialContext: v.connect, OnRequest: v.request, OnResponse: v.answer, OnServerRequest: func(*base.Request) { v.questions.asked(v.line.Load()) },
		OnDecodeError: func(error) {}, OnPacketsLost: func(uint64) {}, OnTransportSwitch: func(error) {},
	}
	if err := v.client.Start2(); err != nil {
		return fmt.Errorf("open RTSP client: %w", err)
	}
	stop := context.AfterFunc(ctx, v.close)
	defer stop()
	defer v.close()
	err := v.converse(u, try)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refusal != nil {
		return v.refusal
	}
	if fault := v.line.Load().cause(); fault != nil && err != nil {
		return fault
	}
	return err
}

// close ends the client and waits for it. As long as nothing is set up there is nothing to tear down, and a device that does
// not finish what it began would hold it up.
func (v *visit) close() {
	if l := v.line.Load(); l != nil && !v.setup.Load() {
		l.abort()
	}
	v.client.Close()
}

func (v *visit) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if v.dials++; v.dials > maxDials {
		return nil, errCircles
	}
	c, err := v.tap.dial.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := newLine(c, visitTimeout*3/2, true) // a device that listens has nothing to say
	v.line.Store(l)
	return l, nil
}

// request has the last word on each request before it is sent.
func (v *visit) request(req *base.Request) {
	if v.plain {
		delete(req.Header, "Require")
	}
	if v.override != "" {
		req.Method = v.override
	}
	if l := v.line.Load(); l != nil && req.Method == base.Teardown {
		l.torn.Store(true)
	}
	v.login.authorize(req)
}

// answer looks at each answer of the device before the RTSP client does.
func (v *visit) answer(res *base.Response) {
	v.login.heard(res)
	if res.StatusCode != base.StatusOK {
		return
	}
	if id, _ := tidy(res); id != "" {
		v.id = id
	}
}

func (v *visit) converse(u *base.URL, try *try) error {
	var desc *description.Session
	if err := v.login.again(func() (err error) {
		desc, _, err = v.client.Describe(u)
		return err
	}); err != nil {
		return fmt.Errorf("describe loudspeaker: %w", err)
	}
	v.accepted = true
	done := try.pass()
	go func() {
		_ = v.client.Wait() // the account counts as accepted for as long as the session lives
		done()
	}()
	if err := v.pick(desc); err != nil || v.say == nil {
		return err
	}
	return v.say()
}

// pick chooses the first loudspeaker that takes what browsers send.
func (v *visit) pick(desc *description.Session) error {
	var wants []string
	for _, m := range desc.Medias {
		if !m.IsBackChannel || m.Type != description.MediaTypeAudio || checkControl(desc, m) != nil {
			continue
		}
		for _, f := range m.Formats {
			g, ok := f.(*format.G711)
			if !ok || g.SampleRate != 8000 || g.ChannelCount != 1 {
				if name := soundName(f); len(wants) < maxWants && !slices.Contains(wants, name) {
					wants = append(wants, name)
				}
				continue
			}
			v.base, v.media, v.kind, v.codec = desc.BaseURL, m, g.PayloadTyp, mp4.PCMA
			if g.MULaw {
				v.codec = mp4.PCMU
			}
			return nil
		}
	}
	if len(wants) == 0 {
		return errNoSpeaker
	}
	return &told{failure{text: fmt.Sprintf("This camera's loudspeaker wants %s, which browsers don't send. Set its audio input, or two-way audio, to G.711.",
		strings.Join(wants, " or "))}, errOtherSpeaker}
}

// soundName is how people call a codec of sound.
func soundName(f format.Format) string {
	switch f := f.(type) {
	case *format.G711:
		return fmt.Sprintf("G.711 at %d kHz with %d channels", f.SampleRate/1000, f.ChannelCount)
	case *format.MPEG4Audio, *format.MPEG4AudioLATM:
		return "AAC"
	case *format.G726:
		return "G.726"
	case *format.G722:
		return "G.722"
	}
	if name, _, _ := strings.Cut(f.RTPMap(), "/"); name != "" {
		return brief(name)
	}
	return f.Codec()
}

// begin opens the device's back channel.
func (v *visit) begin(slot *slot) error {
	v.setup.Store(true)
	if err := v.login.again(v.take); err != nil {
		return fmt.Errorf("set up loudspeaker: %w", err)
	}
	slot.grant()
	v.line.Load().playing.Store(true) // behind the answer to PLAY nothing more need come
	if err := v.login.again(func() error {
		_, err := v.client.Play(nil)
		return err
	}); err != nil {
		return fmt.Errorf("play loudspeaker: %w", err)
	}
	return nil
}

// take sets the loudspeaker up. When the device has made a session and the library can't use it, it is torn down here: the
// library would forget it.
func (v *visit) take() error {
	had := v.id
	_, err := v.client.Setup(v.base, v.media, 0, 0)
	var status liberrors.ErrClientBadStatusCode
	if err == nil || v.id == "" || had != "" || errors.As(err, &status) {
		return err
	}
	v.override = base.Teardown
	_, gone := v.client.Options(v.base)
	v.override = ""
	return errors.Join(err, gone)
}

// utter sends a part of the voice every 20 ms until ctx ends, and some more; the end of life cuts it off.
func (v *visit) utter(ctx, life context.Context, voice func() []byte) error {
	hungUp := make(chan error, 1)
	go func() { hungUp <- v.client.Wait() }()
	tick := time.NewTicker(speechPart)
	defer tick.Stop()
	pkt := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: v.kind, SequenceNumber: uint16(rand.Uint32()), Marker: true}}
	zero, begun, tail, over := rand.Uint32(), time.Now(), 0, ctx.Done()
	for sent := 0; tail < speechTail; {
		select {
		case <-tick.C:
		case <-over:
			over, tail = nil, 1
			continue
		case err := <-hungUp:
			return fmt.Errorf("%w: %w", errHungUp, err)
		case <-life.Done():
			return context.Cause(life)
		}
		due := int(time.Since(begun)/speechPart) - sent
		sent += max(due-speechBehind, 0)
		for range min(due, speechBehind) {
			pkt.Timestamp, pkt.Payload = zero+uint32(sent*speechBytes), voice()
			if err := v.client.WritePacketRTP(v.media, pkt); err != nil {
				return errors.Join(errDeafSpeaker, err)
			}
			pkt.SequenceNumber++
			pkt.Marker = false // of the begin of speech only (RFC 3551 section 4.1)
			sent++
			if tail > 0 {
				tail++
			}
		}
	}
	return nil
}
