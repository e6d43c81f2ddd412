package camera

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/wire"
)

// How a stream goes from one source to another, and back.
const (
	proveFor   = time.Minute      // a preferred source must work for so long before it is gone back to
	tryAgain   = 30 * time.Second // after the first failure of a preferred source
	tryAtMost  = 5 * time.Minute
	proveMost  = 30 * time.Minute // the proof grows while a source comes and goes
	calm       = 10 * time.Minute // a source that has lasted so long starts with a short proof again
	breakProof = 3 * time.Second  // without a picture for so long the proof begins anew
	seamUs     = 5000             // what lies between two sources at least, so that the account shows the seam
)

// puller is the state of one stream while it is pulled: one attempt in use, and perhaps a trial of a preferred
// source beside it.
type puller struct {
	*stream
	cur      *attempt
	trial    *attempt
	trialAt  time.Time     // not before
	trialGap time.Duration // to the next trial when one fails
	prove    time.Duration // how long a trial must work
	back     time.Time     // when the preferred source was last gone back to
	rounds   int           // sources in a row that brought no picture
}

// pull keeps the stream flowing until nobody wants it, and then returns nil, or until ctx ends.
func (s *stream) pull(ctx context.Context) error {
	wanted, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		s.unwanted(wanted)
		cancel(errUnwanted)
	}()
	l := &puller{stream: s, prove: s.owner.cfg.Prove, trialGap: s.owner.cfg.Retrial}
	defer l.end()
	err := l.loop(wanted)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errUnwanted) {
		return nil
	}
	return err
}

func (l *puller) end() {
	for _, a := range []*attempt{l.cur, l.trial} {
		if a != nil {
			a.cancel(errUnwanted)
			<-a.done
		}
	}
}

func (l *puller) loop(ctx context.Context) error {
	var look <-chan time.Time // only a stream with a choice looks round
	if len(l.taps) > 1 {
		tick := time.NewTicker(l.owner.cfg.Stall / 20)
		defer tick.Stop()
		look = tick.C
	}
	for {
		var ended, tried <-chan struct{}
		var due <-chan time.Time
		var next *tap
		if l.cur != nil {
			ended = l.cur.done
		} else {
			var at time.Time
			next, at = l.choose()
			due = time.After(time.Until(at))
		}
		if l.trial != nil {
			tried = l.trial.done
		}
		select {
		case <-due:
			l.cur = l.begin(ctx, next, nil)
		case <-ended:
			l.ended(ctx)
		case <-tried:
			l.failed()
		case <-look:
			l.look(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ended goes on after the attempt in use has ended.
func (l *puller) ended(ctx context.Context) {
	a := l.cur
	l.cur = nil
	if ctx.Err() != nil {
		return
	}
	if l.trial != nil {
		if l.tookOver() {
			l.adopt()
			return
		}
		// Whatever the proof has come to, nothing else works now.
		l.mu.Lock()
		if p := l.trial.session.proof; p != nil {
			p.span = 0
		}
		l.mu.Unlock()
	}
	if a.fail.reason != "" {
		l.down(a.tap, a.fail, a.err)
	}
	if a.session.heard.Load() > 0 {
		l.rounds = 0
	} else {
		l.rounds++
	}
}

// choose returns the source to try next, and when. While the pictures have been away for a moment only, the source
// that they came from is tried again: cameras drop a connection now and then.
func (l *puller) choose() (t *tap, at time.Time) {
	l.mu.Lock()
	silent := time.Since(l.since)
	var last *tap
	if l.active != nil && l.active.heard.Load() > 0 {
		last = l.active.tap
	}
	l.mu.Unlock()
	busy := l.busy()
	if grace := l.owner.cfg.Stall / 4; last != nil && last != busy && silent < grace && time.Until(last.after) < grace {
		return last, last.after
	}
	for _, c := range l.taps {
		if c == busy {
			continue
		}
		if t == nil || c.after.Before(at) && at.After(time.Now()) {
			t, at = c, c.after
		}
	}
	if t == nil {
		return l.taps[0], l.taps[0].after
	}
	return t, at
}

// busy is the tap that a trial uses.
func (l *puller) busy() *tap {
	if l.trial == nil {
		return nil
	}
	return l.trial.tap
}

// look goes to the next source when the present one brings nothing, and tries the preferred one beside it when it
// does.
func (l *puller) look(ctx context.Context) {
	if l.trial != nil && l.tookOver() {
		l.adopt()
		return
	}
	if l.cur == nil {
		return
	}
	l.mu.Lock()
	last := l.since
	l.mu.Unlock()
	if l.cur.began.After(last) {
		last = l.cur.began
	}
	if time.Since(last) > l.patience() {
		l.cur.cancel(errLate)
		return
	}
	if l.cur.tap.rank == 0 {
		return
	}
	if l.trialAt.IsZero() {
		if l.back.IsZero() || time.Since(l.back) > calm {
			l.prove = l.owner.cfg.Prove
		}
		l.trialAt = time.Now().Add(jitter(l.owner.cfg.Retrial))
	}
	if l.trial == nil && time.Now().After(l.trialAt) && l.cur.session.heard.Load() > 0 {
		l.trial = l.begin(ctx, l.taps[0], &proof{span: l.prove, hole: breakProof})
	}
}

// patience is how long a source may bring nothing while there are others. It grows while none of them works: they
// may be slow.
func (l *puller) patience() time.Duration {
	p := l.owner.cfg.Stall / 2
	if l.rounds >= len(l.taps) {
		p *= time.Duration(min(l.rounds/len(l.taps)+1, 4))
	}
	return p
}

// failed goes on after a trial has ended.
func (l *puller) failed() {
	if l.tookOver() { // and has ended since
		l.adopt()
		return
	}
	l.log.Info("the preferred source does not work yet", "source", l.trial.tap.String(), "text", l.trial.fail.text)
	l.trial = nil
	l.trialAt = time.Now().Add(jitter(l.trialGap))
	l.trialGap = min(2*l.trialGap, tryAtMost)
}

// tookOver says whether the frames of the trial are the ones that count now.
func (l *puller) tookOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active == l.trial.session
}

// adopt makes the trial the attempt in use and ends the other one.
func (l *puller) adopt() {
	if old := l.cur; old != nil {
		old.cancel(errReplaced)
		<-old.done
	}
	l.cur, l.trial = l.trial, nil
	l.trialAt, l.trialGap, l.back = time.Time{}, l.owner.cfg.Retrial, time.Now()
	l.prove = min(2*l.prove, proveMost)
}

// takeOver lets a trial whose source has proved itself take the stream over, at a key frame that lies behind all
// that was handed on: the recording has a declared seam there. The caller holds the lock.
func (s *stream) takeOver(p *session, f *media.Frame) bool {
	if p.proof == nil || s.active == nil || f.Track != 0 || !p.proof.add(time.Now()) || !f.Key {
		return false
	}
	if f.Params.Run == s.floorOf && f.MonoUs < s.floorUs+seamUs {
		return false
	}
	s.log.Info("recording goes back to the preferred source", "source", p.tap.String())
	if s.told == "" {
		s.told = wire.Connecting
		s.hub.Down(media.Break{Reason: wire.Connecting, MonoUs: f.MonoUs - seamUs, Text: fmt.Sprintf("Recording goes back to %s, which works again, from %s.",
			p.tap.source.address.Host, s.active.tap.source.address.Host)})
	}
	s.active, p.proof = p, nil
	return true
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
