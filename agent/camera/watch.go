package camera

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// watch waits for the session's end and ends it itself when no video comes.
func (p *session) watch(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- p.client.Wait() }()
	stall := p.stream.owner.cfg.Stall
	tick := time.NewTicker(min(time.Second, stall/4))
	defer tick.Stop()
	began := time.Since(p.began)
	keyed := false
	var noise noise
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("receive stream: %w", err)
		case err := <-p.broken:
			return err
		case <-tick.C:
			if p.count.frames.Swap(0) > maxFrames {
				return fmt.Errorf("%w: more than %d frames a second", errFlood, maxFrames)
			}
			if noise.look(&p.count) {
				return errNoise
			}
			now, last := time.Since(p.began), max(began, time.Duration(p.heard.Load()))
			garbled := p.heard.Load() == 0 && p.count.bad.Load() > 0
			switch {
			case now-last <= stall/2, now-last <= stall && !garbled:
			case garbled:
				return fmt.Errorf("%w: %d packets could not be read", errGarbled, p.count.bad.Load())
			case p.heard.Load() == 0 && p.tap.source.udp:
				return errNoUDP
			default:
				return errStalled
			}
			hears := now-last <= stall/4
			if patience := stall * 3 / 4; !keyed && hears && now-began > patience && !p.stream.trying(p) && p.stream.silence() > patience {
				keyed = true
				p.stream.down(p.tap, p.classify(errNoKey), errNoKey)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *session) classify(err error) failure { return classify(err, p.tap.source, p.setup) }

// guard keeps a fault in parsing what a device sent from ending the agent: it ends the session instead.
func (p *session) guard() {
	if r := recover(); r != nil {
		p.stream.log.Error("the agent has a fault in reading what the camera sent: please report it", "fault", r, "stack", string(debug.Stack()))
		p.end(fmt.Errorf("%w: %v", errGarbled, r))
	}
}

// end makes the session end with err.
func (p *session) end(err error) {
	select {
	case p.broken <- err:
	default:
	}
}
