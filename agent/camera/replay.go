package camera

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	rtsp "github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/agent/media"
)

// Ends of a replay.
var (
	errDone  = errors.New("the range is over")
	errEarly = errors.New("the device hung up before the range was over")
	errLive  = errors.New("live pictures instead of the past")
)

// replay is one session with an archive.
type replay struct {
	archive        *Archive
	slot           *slot
	fromUs, toUs   int64 // wall time of the site
	ahead          time.Duration
	take           func(media.Frame, int64, bool) error
	client         *rtsp.Client
	login          login
	line           atomic.Pointer[line]
	questions      questions
	dials          int
	setup, playing bool
	accepted       bool
	broken         chan error
	began          time.Time
	heard          atomic.Int64 // when the last packet came, ns since began

	mu      sync.Mutex
	refusal error

	// What packets make, under lock: BYE may come beside them.
	lock  sync.Mutex
	over  bool
	video *video
	audio *audio
	param *media.Params
	times [2]capture
	shown int64 // wall time of the newest picture, 0 before the first

	begins int64 // where the replay begins on the device's clock, if nothing better is told
	sure   bool  // the device said so itself

	anchored bool // the answer to PLAY has come
	early    []func()
}

func newReplay(a *Archive, s *slot, fromUs, toUs int64, take func(media.Frame, int64, bool) error) *replay {
	r := &replay{archive: a, slot: s, fromUs: fromUs, toUs: toUs, take: take, broken: make(chan error, 1), began: time.Now()}
	r.login = login{tap: a.tap, pinned: func() { a.owner.remember(a.tap) }, refusal: func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refusal = err
	}}
	return r
}

// run returns when the range is over or can't be had; it has sent TEARDOWN then.
func (r *replay) run(ctx context.Context, try *try) error {
	a := r.archive
	source, stall := a.cfg.Source, a.owner.cfg.Stall
	r.ahead = a.clockAhead()
	u := a.at(r.onDevice(r.fromUs), r.onDevice(r.toUs))
	tcp := rtsp.TransportTCP
	r.client = &rtsp.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &tcp, UserAgent: "Holdfast", TLSConfig: source.secure(a.owner.cfg.CAs),
		ReadTimeout: stall, WriteTimeout: 5 * time.Second, DialContext: r.connect, OnRequest: r.request, OnResponse: r.answer,
		OnServerRequest: func(*base.Request) { r.questions.asked(r.line.Load()) },
		OnDecodeError:   func(error) {}, OnPacketsLost: func(uint64) {}, OnTransportSwitch: func(error) {},
	}
	if err := r.client.Start2(); err != nil {
		return fmt.Errorf("open RTSP client: %w", err)
	}
	stop := context.AfterFunc(ctx, r.close)
	defer stop()
	defer r.close()
	err := r.play(u, try)
	if err == nil {
		err = r.watch(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, errDone) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return r.refusal
	}
	if fault := r.line.Load().cause(); fault != nil && !errors.As(err, new(*told)) && !errors.As(err, new(*takeError)) {
		return fault
	}
	return err
}

// onDevice is a moment of the site on the device's clock.
func (r *replay) onDevice(us int64) time.Time { return time.UnixMicro(us).Add(r.ahead).UTC() }

// close ends the client and waits for it. Packets that still come in are dropped.
func (r *replay) close() {
	if l := r.line.Load(); l != nil && !r.setup {
		l.abort()
	}
	r.client.Close()
}

func (r *replay) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if r.dials++; r.dials > maxDials {
		return nil, errCircles
	}
	c, err := r.archive.tap.dial.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := newLine(&paced{Conn: c, rate: r.archive.cfg.Rate}, max(r.archive.owner.cfg.Stall, 5*time.Second)*3/2, false)
	r.line.Store(l)
	return l, nil
}

// request adds what a replay needs to a request, and the login.
func (r *replay) request(req *base.Request) {
	onvif := !r.archive.plain && !r.archive.cfg.Source.dated()
	if onvif && (req.Method == base.Setup || req.Method == base.Play) {
		req.Header["Require"] = base.HeaderValue{"onvif-replay"}
	}
	if onvif && req.Method == base.Play {
		req.Header["Rate-Control"] = base.HeaderValue{"no"} // as fast as the line takes it
	}
	r.login.authorize(req)
}

func (r *replay) answer(res *base.Response) {
	r.login.heard(res)
	if res.StatusCode != base.StatusOK {
		return
	}
	r.archive.heardDate(res)
	tidy(res)
}

// play brings the session to the point where footage comes.
func (r *replay) play(u *base.URL, try *try) error {
	var desc *description.Session
	if err := r.login.again(func() (err error) {
		desc, _, err = r.client.Describe(u)
		return err
	}); err != nil {
		return fmt.Errorf("describe archive: %w", err)
	}
	r.accepted = true
	done := try.pass()
	go func() {
		_ = r.client.Wait()
		done()
	}()
	if r.archive.aside != 0 {
		r.ahead = r.archive.clockAhead() // the device has told its clock just now
	}
	c, err := pickMedia(desc)
	if err != nil {
		return err
	}
	r.setup = true
	for _, m := range []*description.Media{c.video, c.sound} {
		if m == nil {
			continue
		}
		err := r.login.again(func() error {
			_, err := r.client.Setup(desc.BaseURL, m, 0, 0)
			return err
		})
		if err != nil && m == c.sound {
			c.sound = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("set up replay: %w", err)
		}
	}
	r.slot.grant()
	if err := r.receive(c); err != nil {
		return err
	}
	var res *base.Response
	if err := r.login.again(func() (err error) {
		res, err = r.client.Play(r.wanted())
		return err
	}); err != nil {
		return fmt.Errorf("play archive: %w", err)
	}
	r.line.Load().playing.Store(true)
	r.playing = true
	r.anchor(res)
	return nil
}

// wanted is the range in whole seconds, which every device understands; nil where the address says it.
func (r *replay) wanted() *headers.Range {
	if r.archive.cfg.Source.dated() {
		return nil
	}
	end := r.onDevice(r.toUs).Add(time.Second - 1).Truncate(time.Second)
	return &headers.Range{Value: &headers.RangeUTC{Start: r.onDevice(r.fromUs).Truncate(time.Second), End: &end}}
}

// pickMedia chooses the first usable video and sound of a description.
func pickMedia(desc *description.Session) (c choice, err error) {
	for _, m := range desc.Medias {
		if m.IsBackChannel || checkControl(desc, m) != nil {
			continue
		}
		for _, f := range m.Formats {
			if c.video == nil && c.pickVideo(f) {
				c.video, c.vform = m, f
			}
			if c.sound == nil && c.pickSound(f) {
				c.sound, c.sform = m, f
			}
		}
	}
	if c.video == nil {
		return c, errNoVideo
	}
	return c, nil
}

// receive joins the packets to the frames that they make.
func (r *replay) receive(c choice) error {
	r.video = newVideo(c.codec, c.sets, false)
	r.times[0].rate = videoRate
	picture, err := decodeVideo(c.vform, &r.archive.owner.spares, r.picture)
	if err != nil {
		return errors.Join(errNoVideo, err)
	}
	r.on(c.video, 0, func(pkt *rtp.Packet) {
		_ = picture(packet{kind: pkt.PayloadType, marker: pkt.Marker, seq: pkt.SequenceNumber, time: pkt.Timestamp, payload: pkt.Payload})
	}, c)
	if c.sound == nil {
		return nil
	}
	sound, err := decodeSound(c.sform, r.sound)
	if err != nil {
		return nil // pictures go without
	}
	rate := int64(c.track.Timescale)
	r.audio = &audio{track: c.track, time: timeline{rate: rate}, first: true}
	r.times[1].rate = rate
	r.on(c.sound, 1, func(pkt *rtp.Packet) {
		_ = sound(packet{kind: pkt.PayloadType, marker: pkt.Marker, seq: pkt.SequenceNumber, time: pkt.Timestamp, payload: pkt.Payload})
	}, c)
	return nil
}

// mostEarly bounds the packets that come before the answer that says when they were captured.
const mostEarly = 4096

// on receives the packets of a track, and what the device reports of its clock. What comes before the answer to PLAY
// waits for it.
func (r *replay) on(m *description.Media, track int, do func(*rtp.Packet), c choice) {
	f := c.vform
	if track == 1 {
		f = c.sform
	}
	take := func(pkt *rtp.Packet) {
		r.times[track].read(pkt)
		do(pkt)
	}
	r.client.OnPacketRTP(m, f, func(pkt *rtp.Packet) {
		r.heard.Store(int64(time.Since(r.began)))
		r.guarded(func() {
			if r.anchored {
				take(pkt)
			} else if pkt = pkt.Clone(); len(r.early) < mostEarly {
				r.early = append(r.early, func() { take(pkt) })
			}
		})
	})
	r.client.OnPacketRTCP(m, func(pkt rtcp.Packet) {
		switch pkt := pkt.(type) {
		case *rtcp.SenderReport:
			r.guarded(func() { r.times[track].report(pkt) })
		case *rtcp.Goodbye:
			if track == 0 {
				r.guarded(func() {
					if r.anchored {
						r.finish(errDone)
					} else {
						r.early = append(r.early, func() { r.finish(errDone) })
					}
				})
			}
		}
	})
}

// guarded works on what a device sent, until the end; a fault in that ends the replay and not the agent.
func (r *replay) guarded(do func()) {
	r.lock.Lock()
	defer r.lock.Unlock()
	defer func() {
		if p := recover(); p != nil {
			r.archive.owner.log.Error("the agent has a fault in reading what an archive sent: please report it", "fault", p, "stack", string(debug.Stack()))
			r.finish(fmt.Errorf("%w: %v", errGarbled, p))
		}
	}()
	if !r.over {
		do()
	}
}

// finish makes the session end; the caller holds the lock.
func (r *replay) finish(err error) {
	if r.over {
		return
	}
	r.over = true
	r.broken <- err
}
