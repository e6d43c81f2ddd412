package camera

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	rtsp "github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/shared/backoff"
	"holdfast/shared/wire"
)

// tap is one of the places that a stream can be drawn from, with what has been learnt of it. The sessions that use
// it, one after the other, change it; the stream's goroutine reads it in between.
type tap struct {
	rank   int // its place in the order of the configuration, 0 is preferred
	source Source
	dial   dialer
	name   string // under which its login is remembered

	digest  bool // the device has asked for digest authentication before
	alive   alive
	known   sets // parameter sets of the last session
	bframes bool
	stale   string // a session that was lost and may still count at the device
	heard   standing
	nth     int // what the budget made of the device's last refusal, 0 when it refused nothing
	retry   *backoff.Timer
	after   time.Time // no try before
	fail    failure   // of the last try; guarded by the stream's lock
}

func (s *stream) newTap(rank int, source Source) *tap {
	c := s.owner
	t := &tap{
		rank: rank, source: source, dial: dialer{host: source.address.Hostname(), networks: c.cfg.Networks, lookup: c.lookup},
		name: "login." + string(s.id.Camera) + "." + source.device(), retry: backoff.New(c.cfg.Retry),
	}
	t.digest = c.cfg.Recall != nil && c.cfg.Recall(t.name) == digestKnown
	return t
}

// digestKnown is what is remembered of a device that has asked for digest authentication.
const digestKnown = "digest"

// remember keeps for ever that the device of a tap knows digest authentication.
func (c *Cameras) remember(t *tap) {
	if c.cfg.Remember != nil {
		c.cfg.Remember(t.name, digestKnown)
	}
}

// attempt is one use of a tap, from waiting for its turn to the end of its session.
type attempt struct {
	tap     *tap
	session *session
	began   time.Time
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when it has ended, with TEARDOWN where there was anything to tear down
	err     error         // then
	fail    failure       // then; empty when it was ended from here
}

// begin starts an attempt. With a proof it is a trial of a source that is to take over when it has proved itself.
func (s *stream) begin(ctx context.Context, t *tap, p *proof) *attempt {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{tap: t, session: newSession(s, t), began: time.Now(), cancel: cancel, done: make(chan struct{})}
	a.session.proof = p
	if p == nil {
		s.mu.Lock()
		s.active = a.session
		s.mu.Unlock()
	}
	go func() {
		defer close(a.done)
		defer cancel(nil)
		a.err = s.attempt(ctx, a)
		a.fail = s.conclude(a)
	}()
	return a
}

func (s *stream) attempt(ctx context.Context, a *attempt) error {
	t, p := a.tap, a.session
	account := t.source.account()
	waits := func(f failure) {
		if !s.trying(p) {
			s.down(t, f, nil)
		}
	}
	gate := func() (err error) {
		p.try, err = s.owner.gate.await(ctx, account, t.heard, waits)
		return err
	}
	if gate() != nil {
		return context.Cause(ctx)
	}
	defer func() { p.try.leave(failure{}) }()
	if !p.ask {
		slot, err := s.owner.budget.take(ctx, t.source.device(), s.class(p), t.nth, func(f failure) {
			p.try.leave(failure{}) // others may try the account meanwhile
			waits(f)
		})
		if err != nil {
			return context.Cause(ctx)
		}
		defer slot.release()
		p.slot = slot
		if p.try.over && gate() != nil {
			return context.Cause(ctx)
		}
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-slot.evicted:
				a.cancel(errEvicted)
			case <-stop:
			}
		}()
	}
	err := p.run(ctx)
	s.account(p, err)
	if noSession(err, p.setup) && p.slot != nil {
		if t.stale != "" && ctx.Err() == nil && s.sweep(ctx, t) {
			return errSwept
		}
		t.nth = p.slot.refuse(t.nth)
	}
	return err
}

// errSwept says that a device has room again, since a lost session was torn down.
var errSwept = errors.New("a lost session was in the way and has been torn down")

// trying says whether a session must still prove its source.
func (s *stream) trying(p *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.proof != nil
}

// class says what a session of the stream is for.
func (s *stream) class(p *session) class {
	switch {
	case s.trying(p):
		return proving
	case s.always:
		return recording
	}
	return watching
}

func noSession(err error, setup bool) bool {
	var status liberrors.ErrClientBadStatusCode
	return errors.As(err, &status) && noRoom(status.Code, setup)
}

// account tells those who share the account what came of a session.
func (s *stream) account(p *session, err error) {
	t := p.tap
	var f failure
	if err != nil {
		f = p.classify(err)
	}
	switch {
	case p.accepted.Load():
		t.heard = accepted
	case unauthorized(err):
		p.try.fail(f)
		if t.heard != accepted {
			t.heard = denied
		}
	case !p.answered.Load() && f.reason == wire.Unreachable:
		p.try.leave(f) // it is silent to all
	}
}

// unauthorized says that a device refused the login itself.
func unauthorized(err error) bool {
	var status liberrors.ErrClientBadStatusCode
	return errors.As(err, &status) && (status.Code == base.StatusUnauthorized || status.Code == base.StatusForbidden)
}

// conclude notes in the tap what came of an attempt and says why it failed; the failure is empty when the attempt was
// ended from here.
func (s *stream) conclude(a *attempt) failure {
	t, p := a.tap, a.session
	if !p.playing.IsZero() && p.setup {
		t.nth = 0
	}
	if a.err == nil || errors.Is(a.err, context.Canceled) || errors.Is(a.err, errUnwanted) || errors.Is(a.err, errReplaced) {
		t.after, t.stale = time.Time{}, ""
		return failure{}
	}
	if p.setup && p.id != "" {
		t.stale = p.id
		var status liberrors.ErrClientBadStatusCode
		if age := time.Since(p.playing); !p.playing.IsZero() && !errors.As(a.err, &status) && p.heard.Load() > 0 {
			t.alive.died(age, p.life, p.asked, time.Since(p.askedAt))
		}
	}
	f := p.classify(a.err)
	s.mu.Lock()
	t.fail = f
	s.mu.Unlock()
	// A session that worked and was dropped begins again at once, though not at the same moment as all others.
	if p.heard.Load() > 0 && time.Since(a.began) > steady {
		t.retry.Reset()
	}
	t.after = time.Now().Add(t.retry.Next(f.wait))
	return f
}

// steady is how long a session must have lasted to count as one that worked.
const steady = 30 * time.Second

// sweep tears down a session that was lost, so that it does not take up the device's room until its time is over.
// It has a connection of its own: some devices hang up on a session that they do not know.
func (s *stream) sweep(ctx context.Context, t *tap) (done bool) {
	p := newSession(s, t)
	id := t.stale
	t.stale = ""
	tcp := rtsp.TransportTCP
	u := t.source.url()
	p.client = &rtsp.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &tcp, UserAgent: "Holdfast", TLSConfig: t.source.secure(s.owner.cfg.CAs),
		ReadTimeout: s.owner.cfg.Stall, WriteTimeout: 5 * time.Second, DialContext: p.connect, OnResponse: p.answer,
		OnRequest: func(req *base.Request) {
			if p.override != "" {
				req.Header["Session"] = base.HeaderValue{id}
			}
			p.request(req)
		},
	}
	if p.client.Start2() != nil {
		return false
	}
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	defer p.close()
	_, _, err := p.client.Describe(u) // for the login
	if err == nil {
		p.override = base.Teardown
		_, err = p.client.Options(u)
	}
	s.log.Debug("a lost session was torn down", "source", t.source, "error", err)
	return err == nil
}

// in words: where a tap leads.
func (t *tap) String() string {
	return fmt.Sprintf("%s (source %d)", strings.TrimSuffix(t.source.address.Host, ":"), t.rank+1)
}
