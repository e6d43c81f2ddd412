package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	rtsp "github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
)

// session is one RTSP session of a stream, from connecting to TEARDOWN.
type session struct {
	stream *stream
	tap    *tap
	try    *try   // of the account
	slot   *slot  // nil when only the description is wanted
	ask    bool   // only the description is wanted
	proof  *proof // while it must prove its source; guarded by the stream's lock
	setup  bool   // SETUP or PLAY has been sent

	client   *rtsp.Client
	login    login
	dials    int
	line     atomic.Pointer[line]
	wire     *interleaved // nil where the packets come through the client: by UDP, or encrypted
	answered atomic.Bool  // the device has said something
	accepted atomic.Bool  // and knows us
	began    time.Time
	heard    atomic.Int64  // when the last access unit came, ns since began; 0 before the first
	settled  time.Duration // since began, when the first frames have told the stream's time; the reader's alone
	count    counters
	inside   own        // the camera, its pictures
	broken   chan error // why it must end

	// The RTSP client's goroutine alone touches these, until it has ended.
	override  base.Method // sent instead of what the library sends
	id        string      // as the device named the session
	life      time.Duration
	playing   time.Time // since when
	questions questions
	asked     base.Method
	askedSeq  string
	askedAt   time.Time

	mu      sync.Mutex
	refusal error // why an answer of the device was not accepted
}

func newSession(s *stream, t *tap) *session {
	p := &session{stream: s, tap: t, began: time.Now(), broken: make(chan error, 1), life: usualLife}
	p.login = login{tap: t, refusal: p.refuse, pinned: func() { s.owner.remember(t) }}
	return p
}

// run returns when the session has ended, with the reason; it has sent TEARDOWN then where there was anything
// to tear down.
func (p *session) run(ctx context.Context) error {
	s := p.stream
	u := p.tap.source.url()
	transport := rtsp.TransportTCP
	if p.tap.source.udp {
		transport = rtsp.TransportUDP
	}
	stall := s.owner.cfg.Stall
	p.client = &rtsp.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &transport, UserAgent: "Holdfast", TLSConfig: p.tap.source.secure(s.owner.cfg.CAs),
		ReadTimeout: stall, WriteTimeout: 5 * time.Second, InitialUDPReadTimeout: min(3*time.Second, stall),
		DialContext: p.connect, ListenPacket: listenPacket,
		OnRequest: p.request, OnResponse: p.answer, OnServerRequest: func(*base.Request) { p.questions.asked(p.line.Load()) },
		OnDecodeError:     func(error) { p.count.bad.Add(1) },
		OnPacketsLost:     func(lost uint64) { p.count.lost.Add(min(lost, maxLost)) },
		OnTransportSwitch: func(error) {},
	}
	if err := p.client.Start2(); err != nil {
		return fmt.Errorf("open RTSP client: %w", err)
	}
	// Close ends whatever request is under way, sends TEARDOWN and waits.
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	defer p.close()
	err := p.play(u)
	if err == nil && !p.ask {
		err = p.watch(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.cause(err)
}

// close ends the client and waits for it. A device that does not finish its TLS handshake would hold it up: as
// long as the device has said nothing there is nothing to tear down.
func (p *session) close() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.client.Close()
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if l := p.line.Load(); l != nil && !p.answered.Load() {
				l.abort()
			}
		}
	}
}

// cause returns the deepest reason that is known for the end of the session.
func (p *session) cause(err error) error {
	var silent liberrors.ErrClientUDPTimeout
	if errors.As(err, &silent) && p.heard.Load() == 0 {
		err = errNoUDP
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusal != nil {
		return p.refusal
	}
	// What does not speak TLS says nothing, or hangs up on what it does not understand.
	if p.client.Scheme == "rtsps" && !p.answered.Load() && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return errNoTLS
	}
	if fault := p.line.Load().cause(); fault != nil {
		if p.client.Scheme == "rtsps" && !p.answered.Load() && errors.Is(fault, errSilent) {
			return errNoTLS
		}
		return fault
	}
	return err
}

func (p *session) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal = err
}

// connect dials for the RTSP client. Packets that come in the clear over TCP never reach the client: they are taken
// out of the connection, a few times a second while nobody watches.
func (p *session) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if p.dials++; p.dials > maxDials {
		return nil, errCircles
	}
	c, err := p.tap.dial.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	clear := !p.tap.source.udp && p.client.Scheme == "rtsp"
	if clear {
		c = newPatient(c, p.calm)
	}
	l := newLine(c, max(p.stream.owner.cfg.Stall, 5*time.Second)*3/2, p.tap.source.udp)
	p.line.Store(l)
	if !clear {
		return l, nil
	}
	p.wire = newInterleaved(l, &p.count)
	return p.wire, nil
}

// calm says whether packets may wait for a moment: frames come, and nobody watches them.
func (p *session) calm() bool {
	return p.heard.Load() != 0 && time.Since(p.began) > p.settled && !p.line.Load().closing.Load() && !p.stream.hub.Watched()
}

// listenPacket binds a UDP port with a buffer for bursts: a key frame arrives at the speed of the network.
func listenPacket(network, address string) (net.PacketConn, error) {
	c, err := (&net.ListenConfig{}).ListenPacket(context.Background(), network, address)
	if u, ok := c.(*net.UDPConn); ok && err == nil {
		_ = u.SetReadBuffer(2 << 20) // the system may allow less
	}
	return c, err
}

// play brings the session to the point where frames come.
func (p *session) play(u *base.URL) error {
	s := p.stream
	var desc *description.Session
	if err := p.login.again(func() (err error) {
		desc, _, err = p.client.Describe(u)
		return err
	}); err != nil {
		return fmt.Errorf("describe stream: %w", err)
	}
	p.accepted.Store(true)
	done := p.try.pass()
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
	if err := p.login.again(func() (err error) {
		picked.vsent, err = p.take(desc, picked.video)
		return err
	}); err != nil {
		return fmt.Errorf("set up video: %w", err)
	}
	p.slot.grant()
	if picked.sound != nil {
		if err := p.login.again(func() (err error) {
			picked.ssent, err = p.take(desc, picked.sound)
			return err
		}); err != nil {
			s.log.Info("the camera refuses sound: recording goes on without", "error", err)
			picked.sound = nil
		}
	}
	if err := p.receive(picked); err != nil {
		return err
	}
	if err := p.login.again(func() error {
		_, err := p.client.Play(nil)
		return err
	}); err != nil {
		return fmt.Errorf("play stream: %w", err)
	}
	p.line.Load().playing.Store(true)
	return nil
}

// take sets one medium up. When the device has made a session and the library can't use it, it is torn down here:
// the library would forget it.
func (p *session) take(desc *description.Session, m *description.Media) (*base.Response, error) {
	if p.tap.source.udp && p.client.Scheme == "rtsps" && !m.Secure {
		return nil, errNoSRTP
	}
	had := p.id
	res, err := p.client.Setup(desc.BaseURL, m, 0, 0)
	var status liberrors.ErrClientBadStatusCode
	if err == nil || p.id == "" || had != "" || errors.As(err, &status) && p.kept() == nil {
		return res, err
	}
	p.override = base.Teardown
	_, gone := p.client.Options(desc.BaseURL)
	p.override = ""
	return res, errors.Join(err, gone)
}

// kept returns why an answer was turned into an error, nil when none was.
func (p *session) kept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refusal
}

// request has the last word on each request before it is sent.
func (p *session) request(req *base.Request) {
	switch {
	case p.override != "":
		req.Method = p.override
	case !p.playing.IsZero() && (req.Method == base.Options || req.Method == base.GetParameter):
		req.Method = p.tap.alive.method()
		p.asked, p.askedAt, p.askedSeq = req.Method, time.Now(), req.Header["CSeq"][0]
	}
	if req.Method == base.Play {
		p.playing = time.Now()
	}
	if req.Method == base.Teardown {
		if l := p.line.Load(); l != nil {
			l.torn.Store(true)
		}
	}
	p.login.authorize(req)
}

// answer looks at each answer of the device before the RTSP client does.
func (p *session) answer(res *base.Response) {
	p.answered.Store(true)
	p.login.heard(res)
	if p.asked != "" && slices.Equal(res.Header["CSeq"], base.HeaderValue{p.askedSeq}) {
		p.keptAlive(res.StatusCode)
		return
	}
	if res.StatusCode != base.StatusOK {
		return
	}
	p.tap.alive.listen(res.Header["Public"])
	if id, life := tidy(res); id != "" {
		p.id, p.life = id, life
	}
	for _, t := range res.Header["Transport"] {
		// Over UDP the client would send to whatever address is named here.
		for part := range strings.SplitSeq(t, ";") {
			name, host, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.EqualFold(name, "source") && !p.tap.dial.permits(host) {
				p.refuse(fmt.Errorf("the device names %q as the source of its video: %w", host, errForbidden))
				res.StatusCode, res.StatusMessage = base.StatusForbidden, "source not allowed"
			}
		}
	}
}

// keptAlive hears what became of a keepalive.
func (p *session) keptAlive(code base.StatusCode) {
	switch {
	case code < 400, code == base.StatusUnauthorized:
	case code == base.StatusSessionNotFound:
		p.end(errForgotten)
	default:
		p.tap.alive.refuse(p.asked)
	}
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
	p.tap.known = picked.sets
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
