package camera

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	rtsp "github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
)

// session is one RTSP session of a stream, from connecting to TEARDOWN.
type session struct {
	stream *stream
	ask    bool // only the description is wanted
	setup  bool // SETUP or PLAY has been sent

	client   *rtsp.Client
	wire     *interleaved  // nil where the packets come through the client: by UDP, or encrypted
	refusal  error         // why an answer of the device was not accepted
	broken   atomic.Uint64 // packets lost or unreadable
	began    time.Time
	heard    atomic.Int64  // when the last access unit came, ns since began; 0 before the first
	settled  time.Duration // since began, when the first frames have told the stream's time; the reader's alone
	panicked chan error
}

func newSession(s *stream) *session {
	return &session{stream: s, began: time.Now(), panicked: make(chan error, 1)}
}

// run returns when the session has ended, with the reason; it has sent TEARDOWN then where there was anything
// to tear down.
func (p *session) run(ctx context.Context) error {
	s := p.stream
	u := s.source.url()
	transport := rtsp.TransportTCP
	if s.source.udp {
		transport = rtsp.TransportUDP
	}
	p.client = &rtsp.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &transport, UserAgent: "Holdfast",
		ReadTimeout: s.owner.cfg.Stall, WriteTimeout: 5 * time.Second,
		DialContext:       p.dial,
		OnResponse:        p.answer,
		OnDecodeError:     func(error) { p.broken.Add(1) },
		OnPacketsLost:     func(lost uint64) { p.broken.Add(lost) },
		OnTransportSwitch: func(error) {},
	}
	if err := p.client.Start2(); err != nil {
		return fmt.Errorf("open RTSP client: %w", err)
	}
	// Close ends whatever request is under way, sends TEARDOWN and waits.
	stop := context.AfterFunc(ctx, p.client.Close)
	defer stop()
	defer p.client.Close()
	defer s.owner.gate.leave(s.source.account())
	err := p.play(u)
	if err == nil && !p.ask {
		err = p.watch(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if p.refusal != nil {
		return p.refusal
	}
	return err
}

// dial connects to the device.
func (p *session) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.stream.dial.dial(ctx, network, address)
	if err != nil || p.stream.source.udp || p.stream.source.address.Scheme != "rtsp" {
		return conn, err
	}
	p.wire = newInterleaved(newPatient(conn, p.calm), func(packets int) { p.broken.Add(uint64(packets)) })
	return p.wire, nil
}

// calm says whether packets may wait for a moment: frames come, and nobody watches them.
func (p *session) calm() bool {
	return p.heard.Load() != 0 && time.Since(p.began) > p.settled && !p.stream.hub.Watched()
}

// play brings the session to the point where frames come.
func (p *session) play(u *base.URL) error {
	s := p.stream
	desc, _, err := p.client.Describe(u)
	if err != nil {
		return fmt.Errorf("describe stream: %w", err)
	}
	done := s.owner.gate.pass(s.source.account())
	if p.ask {
		done()
		return p.learn(desc)
	}
	// The account counts as accepted for as long as the session lives.
	go func() {
		_ = p.client.Wait()
		done()
	}()
	picked, err := p.pick(desc)
	if err != nil {
		return err
	}
	p.setup = true
	if picked.vsent, err = p.client.Setup(desc.BaseURL, picked.video, 0, 0); err != nil {
		return fmt.Errorf("set up video: %w", err)
	}
	if picked.sound != nil {
		if picked.ssent, err = p.client.Setup(desc.BaseURL, picked.sound, 0, 0); err != nil {
			s.log.Info("the camera refuses sound: recording goes on without", "error", err)
			picked.sound = nil
		}
	}
	if err := p.receive(picked); err != nil {
		return err
	}
	if _, err := p.client.Play(nil); err != nil {
		return fmt.Errorf("play stream: %w", err)
	}
	return nil
}

// watch waits for the session's end and ends it itself when no video comes.
func (p *session) watch(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- p.client.Wait() }()
	stall := p.stream.owner.cfg.Stall
	tick := time.NewTicker(min(time.Second, stall/4))
	defer tick.Stop()
	began := time.Since(p.began)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("receive stream: %w", err)
		case err := <-p.panicked:
			return err
		case <-tick.C:
			now, last := time.Since(p.began), max(began, time.Duration(p.heard.Load()))
			switch {
			case now-last <= stall:
			case p.heard.Load() == 0 && p.broken.Load() > 0:
				return fmt.Errorf("%w: %d packets could not be read", errGarbled, p.broken.Load())
			default:
				return errStalled
			}
			if now-began > 3*stall && p.stream.silence() > 3*stall {
				p.stream.down(classify(errNoKey, p.stream.source, true), errNoKey)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// guard keeps a fault in parsing what a device sent from ending the agent: it ends the session instead.
func (p *session) guard() {
	if r := recover(); r != nil {
		p.stream.log.Error("the agent has a fault in reading what the camera sent: please report it", "fault", r, "stack", string(debug.Stack()))
		select {
		case p.panicked <- fmt.Errorf("%w: %v", errGarbled, r):
		default:
		}
	}
}

// answer looks at each answer of the device before the RTSP client does.
func (p *session) answer(res *base.Response) {
	switch {
	case res.StatusCode == base.StatusUnauthorized:
		p.challenge(res)
	case res.StatusCode == base.StatusOK && slices.Contains(res.Header["Content-Type"], "application/sdp"):
		res.Body = repairSDP(res.Body)
	}
	for _, t := range res.Header["Transport"] {
		// Over UDP the client would send to whatever address is named here.
		for part := range strings.SplitSeq(t, ";") {
			name, host, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.EqualFold(name, "source") && !p.stream.dial.permits(host) {
				p.refusal = fmt.Errorf("the device names %q as the source of its video: %w", host, errForbidden)
				res.StatusCode, res.StatusMessage = base.StatusForbidden, "source not allowed"
			}
		}
	}
}

// challenge refuses to send a password in the clear to a device that has asked for digest authentication
// before.
func (p *session) challenge(res *base.Response) {
	digest := false
	for _, v := range res.Header["WWW-Authenticate"] {
		var a headers.Authenticate
		if a.Unmarshal(base.HeaderValue{v}) == nil && a.Method == headers.AuthMethodDigest {
			digest = true
		}
	}
	if p.stream.digest && !digest && len(res.Header["WWW-Authenticate"]) > 0 {
		p.refusal = errDowngrade
		res.Header["WWW-Authenticate"] = nil
		return
	}
	p.stream.digest = p.stream.digest || digest
}

// learn notes the codecs of a description.
func (p *session) learn(desc *description.Session) error {
	picked, err := p.pick(desc)
	if err != nil {
		return err
	}
	track, err := picked.codec.track(&picked.sets)
	if err != nil {
		return nil // its sets come in the stream only
	}
	s := p.stream
	s.known = picked.sets
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Codec, s.state.Width, s.state.Height = track.MIME(), track.Width, track.Height
	if picked.sound != nil {
		s.state.Audio = picked.track.MIME()
	}
	return nil
}

// checkControl refuses control addresses that can't be followed.
func checkControl(desc *description.Session, m *description.Media) error {
	u, err := m.URL(desc.BaseURL)
	if err != nil || u == nil {
		return errors.Join(errNoVideo, fmt.Errorf("the track's control address %q is no URL", m.Control))
	}
	return nil
}
