package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"holdfast/agent/pace"
	"holdfast/shared/backoff"
	"holdfast/testenv/house"
)

const (
	narrowRate  = 1_000_000 / 8          // bytes a second
	narrowDelay = 150 * time.Millisecond // each way
	beat        = 15 * time.Second       // between two heartbeats
)

// narrow drains a tenth of the events through a line of 1 Mbit/s with 300 ms there and back, and watches heartbeats.
func (b *bench) narrow(ctx context.Context) (err error) {
	m, err := b.mirror(ctx, "narrow", "", max(b.events/10, 1000))
	if m != nil {
		defer func() { err = errors.Join(err, m.house.Close(), os.RemoveAll(m.house.Dir)) }()
	}
	if err != nil {
		return err
	}
	m.site.Line.Delay(narrowDelay)
	m.site.Line.Cap(narrowRate)
	if err := m.site.StartAgent(ctx); err != nil {
		return err
	}
	within, stop := context.WithCancel(ctx)
	var beats heartbeats
	var running sync.WaitGroup
	running.Go(func() { beats.watch(within, m.house) })
	d, err := m.drain(ctx)
	stop()
	running.Wait()
	if err := errors.Join(err, beats.err); err != nil {
		return err
	}
	say("narrow_line_use", 100*float64(d.carried)/(d.took.Seconds()*narrowRate), fmt.Sprintf("%% of 1 Mbit/s, %d events in %.1f s", d.facts, d.took.Seconds()))
	d.late.say("narrow_live")
	say("narrow_heartbeat_age", beats.oldest.Seconds(), fmt.Sprintf("s since the last heartbeat, at most, where one comes every %.0f s", beat.Seconds()))
	say("narrow_heartbeat_rtt", beats.slowest.Seconds(), "s there and back, at most, as the agent measured it")
	return m.same(ctx)
}

// heartbeats are what the cloud hears of a site.
type heartbeats struct {
	oldest  time.Duration // age of the newest heartbeat, at most
	slowest time.Duration // round trip, at most
	err     error
}

// watch asks the cloud once a second, until ctx ends, from the first answer on that says that the site is connected.
func (w *heartbeats) watch(ctx context.Context, h *house.House) {
	connected := false
	for backoff.Sleep(ctx, time.Second) == nil {
		var site struct {
			Agent struct {
				Connected  bool
				LastSeenUs int64   `json:"last_seen_us"`
				RTTMs      float64 `json:"rtt_ms"`
			}
		}
		if err := h.Owner.Get(context.WithoutCancel(ctx), "/sites/"+string(h.Sites[0].ID), &site); err != nil {
			w.err = err
			return
		}
		if connected = connected || site.Agent.Connected; !connected {
			continue
		}
		w.oldest = max(w.oldest, time.Since(time.UnixMicro(site.Agent.LastSeenUs)))
		w.slowest = max(w.slowest, time.Duration(site.Agent.RTTMs*float64(time.Millisecond)))
	}
}

// quiet measures what a site of forty cameras sends while nothing happens and nobody watches: heartbeats, and what is
// told of each camera.
func (b *bench) quiet(ctx context.Context) (err error) {
	c, err := b.cameras(ctx, mirrorCameras, 1000)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	h, err := b.house(ctx, "quiet", c.plan(""))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return err
	}
	s := h.Sites[0]
	// Segments of all cameras close once a minute; the first heartbeat after the session opened says everything.
	if err := backoff.Sleep(ctx, 30*time.Second); err != nil {
		return err
	}
	before, carried, begun := b.taken(ctx, s), s.Line.Stats().Up, time.Now()
	if err := backoff.Sleep(ctx, max(b.seconds, time.Minute).Round(time.Minute)); err != nil {
		return err
	}
	after, wall := b.taken(ctx, s), time.Since(begun).Seconds()
	if before == nil || after == nil {
		return errors.New("the agent's window does not tell what was sent")
	}
	kbit := func(bytes int64) float64 { return float64(bytes) * 8 / 1000 / wall }
	say("idle_uplink_site", kbit(after["control"]-before["control"]), fmt.Sprintf("kbit/s of heartbeats, %d cameras, TCP and IP counted", mirrorCameras))
	say("idle_uplink_camera", kbit(after["urgent"]-before["urgent"])/mirrorCameras, "kbit/s of everything else, for each camera")
	say("idle_uplink_all", kbit(s.Line.Stats().Up-carried), "kbit/s of the whole site as the line carried it, without TCP and IP")
	return nil
}

// taken returns how many bytes each class has sent; nil when the agent does not say.
func (b *bench) taken(ctx context.Context, s *house.Site) map[string]int64 {
	status, err := s.Status(ctx)
	if err != nil {
		return nil
	}
	text, err := json.Marshal(status["line"])
	var state pace.State
	if err != nil || json.Unmarshal(text, &state) != nil {
		return nil
	}
	out := map[string]int64{}
	for _, c := range state.Classes {
		out[c.Class] = c.Taken
	}
	return out
}
