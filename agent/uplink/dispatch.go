package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"holdfast/agent/pace"
	"holdfast/shared/wire"
)

const (
	commandRate  = 50 // commands a second, in the long run
	commandBurst = 100
	// maxExpiry bounds how far ahead a command may expire; the cloud waits for a minute at most.
	maxExpiry = 5 * time.Minute
)

// dispatcher runs the commands of one session: each in its own goroutine, wire.MaxOutstanding at once.
type dispatcher struct {
	s       *session
	running *sync.WaitGroup
	slots   chan struct{}
	rate    *rate.Limiter
	last    int64 // highest ID so far
	refused int   // since the last line in the log
	said    rate.Sometimes
}

func newDispatcher(s *session, running *sync.WaitGroup) *dispatcher {
	return &dispatcher{
		s: s, running: running, slots: make(chan struct{}, wire.MaxOutstanding),
		rate: rate.NewLimiter(commandRate, commandBurst), said: rate.Sometimes{Interval: time.Minute},
	}
}

// dispatch checks a command and starts it, or refuses it in a reply. Its error ends the session.
func (d *dispatcher) dispatch(ctx context.Context, c wire.Command) error {
	left := wire.Micros(max(c.ExpiresUs, 0) - d.s.u.clock.latestUs())
	if refused := d.check(c, left); refused != nil {
		d.refused++
		d.said.Do(func() {
			d.s.u.log.Warn("commands of the cloud were refused", "type", wire.CleanText(string(c.Type), 32), "why", refused.Text, "count", d.refused)
			d.refused = 0
		})
		return d.s.reply(ctx, wire.Reply{ID: c.ID, Error: refused.Text, Code: refused.Code}, nil)
	}
	d.running.Go(func() {
		defer func() { <-d.slots }()
		d.run(ctx, c, left)
	})
	return nil
}

// check refuses a command, or takes a slot for it.
func (d *dispatcher) check(c wire.Command, left time.Duration) *wire.Failure {
	if c.ID <= d.last {
		return wire.Fail(wire.FailedRefused, "command %d came again or out of turn", c.ID)
	}
	d.last = c.ID
	switch {
	case !c.Type.Known():
		return wire.Fail(wire.FailedRefused, "this agent does not know the command %q", wire.CleanText(string(c.Type), 32))
	case len(c.Body) > wire.MaxCommandBytes:
		return wire.Fail(wire.FailedRefused, "the command has %d bytes, the limit is %d", len(c.Body), wire.MaxCommandBytes)
	case left <= 0:
		return wire.Fail(wire.FailedExpired, "the command expired %s ago", words(-left))
	case left > maxExpiry:
		return wire.Fail(wire.FailedRefused, "the command expires too far ahead")
	case d.s.u.deps.Command == nil:
		return wire.Fail(wire.FailedRefused, "this agent takes no commands")
	case !d.rate.Allow():
		return wire.Fail(wire.FailedBusy, "too many commands at once")
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
		return wire.Fail(wire.FailedBusy, "the site is busy with other requests")
	}
}

// run does one command and replies.
func (d *dispatcher) run(ctx context.Context, c wire.Command, left time.Duration) {
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	reply := wire.Reply{ID: c.ID}
	body, payload, err := d.guarded(limited, c)
	if err == nil && len(payload) > wire.MaxPayloadBytes {
		err = wire.Fail(wire.FailedOtherwise, "the answer has %d bytes, more than fit", len(payload))
	}
	if err == nil && body != nil {
		reply.Body, err = json.Marshal(body)
	}
	if err != nil {
		reply.Error, reply.Code, reply.Body, payload = wire.CleanText(err.Error(), wire.MaxTextRunes), wire.FailedOtherwise, nil, nil
		var failure *wire.Failure
		if errors.As(err, &failure) {
			reply.Code = failure.Code
		}
	}
	if err := d.s.reply(ctx, reply, payload); err != nil && ctx.Err() == nil {
		d.s.u.log.Warn("a reply could not be sent", "type", c.Type, "err", err)
	}
}

// guarded keeps a fault in one command from ending the agent, which records.
func (d *dispatcher) guarded(ctx context.Context, c wire.Command) (body any, payload []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			d.s.u.log.Error("a command failed in an unforeseen way: please report it", "type", c.Type, "fault", fault, "stack", string(debug.Stack()))
			err = wire.Fail(wire.FailedOtherwise, "the agent failed at this: its log has the details")
		}
	}()
	return d.s.u.deps.Command(ctx, c)
}

const (
	// piece is how much of a payload goes in one frame: a quarter of a second of the narrowest line, 256 kbit/s.
	piece = 8 << 10
	// So many pieces may be on their way at first, and at most: what waits on a narrow line is in front of the next
	// heartbeat.
	aheadFirst, aheadMost = 2, 8
	// What is on its way should arrive within aheadTime.
	aheadTime = time.Second
)

// reply sends a reply; a long payload goes ahead in pieces, so that heartbeats pass between them.
func (s *session) reply(ctx context.Context, r wire.Reply, payload []byte) error {
	for sent := 1; len(payload) > piece; sent++ {
		if err := s.send(ctx, pace.Stills, wire.FramePayload, wire.Payload{ID: r.ID}, payload[:piece]); err != nil {
			return fmt.Errorf("send payload: %w", err)
		}
		payload = payload[piece:]
		if err := s.arrive(ctx, &sent); err != nil {
			return fmt.Errorf("wait for payload to arrive: %w", err)
		}
	}
	class := pace.Control
	if len(payload) > 0 {
		class = pace.Stills
	}
	return s.send(ctx, class, wire.FrameReply, r, payload)
}

// arrive waits until what was sent has arrived, when that is much, and learns from it how much that may be.
func (s *session) arrive(ctx context.Context, sent *int) error {
	ahead := int(s.ahead.Load())
	if *sent < ahead {
		return nil
	}
	*sent = 0
	begun := time.Now()
	if err := s.conn.Ping(ctx); err != nil {
		return err
	}
	switch took := time.Since(begun); {
	case took > aheadTime:
		s.ahead.Store(int64(max(ahead/2, 1)))
	case took < aheadTime/2:
		s.ahead.Store(int64(min(ahead+1, aheadMost)))
	}
	return nil
}
