package real

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/testenv/house"
	"holdfast/testenv/ownnet"
)

// What is promised of a line that dies without a word: how long until the agent has seen it, and until the portal says so
// after it has heard the site for the last time.
const (
	seenWithin = 45 * time.Second
	saidWithin = 60 * time.Second
	heartbeat  = 15 * time.Second
)

// TestTheLineDiesOneWay has packets swallowed that go to the cloud, or those that come from it, while the connections
// stay open on both sides. Both ends see it and say so, and when the line is well again nothing is missing.
func TestTheLineDiesOneWay(t *testing.T) {
	t.Parallel()
	if !ownnet.In(t) {
		return
	}
	for name, way := range map[string]struct {
		match string
		heard time.Duration // how long the cloud may still hear something
	}{
		"to the cloud":   {"tcp dport %s", 0},
		"from the cloud": {"tcp sport %s", heartbeat},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, house.Setup{})
			_, port, err := net.SplitHostPort(b.site.Line.Addr())
			if err != nil {
				t.Fatal(err)
			}
			swallow, pass := ownnet.Swallow(t, fmt.Sprintf(way.match, port))
			b.dies(swallow, pass, way.heard)
		})
	}
}

// TestTheLineIsABlackHole is the same with both ways silent, and the proxy for the line.
func TestTheLineIsABlackHole(t *testing.T) {
	if !*long {
		t.Skip("it takes a minute in which nothing happens, and what dies one way tests more: run it with -long")
	}
	b := open(t, house.Setup{})
	b.dies(b.site.Line.Blackhole, b.restore, 0)
}

// dies has the line die without a word and come back. The cloud may hear the site for a while still.
func (b *branch) dies(die, heal func(), heard time.Duration) {
	b.Helper()
	b.ring(3)
	b.inOrder(20 * time.Second)
	begun := time.Now()
	die()
	b.ringUntil(seenWithin+5*time.Second, "the agent sees that the line is dead", func(ctx context.Context) (bool, error) {
		ok, err := connected(ctx, b.site)
		return !ok, err
	})
	seen := time.Since(begun)
	b.says("went silent")
	b.ringUntil(saidWithin+heard+5*time.Second-seen, "the portal says that the site is dark", func(ctx context.Context) (bool, error) {
		var site api.Site
		err := b.house.Owner.Get(ctx, "/sites/"+string(b.site.ID), &site)
		return site.Status == "dark", err
	})
	said := time.Since(begun)
	b.figure("dead_line_seen", seen)
	b.figure("dead_line_said", said)
	if seen > seenWithin || said > saidWithin+heard {
		b.Errorf("seen after %v, said after %v, want %v and %v", seen, said, seenWithin, saidWithin+heard)
	}
	b.says("does not answer: the line may be down, or a firewall swallows the packets")
	b.records()
	heal()
	b.back()
	b.settled(30 * time.Second)
}

// TestTheLineForgets has a router start anew that knows nothing of the connections that ran through it and tells neither
// end. What the agent opens then passes, and nothing waits on what is dead.
func TestTheLineForgets(t *testing.T) {
	b := open(t, house.Setup{})
	// Connections that are idle when it happens, besides the session.
	b.site.Line.Delay(100 * time.Millisecond)
	for idle := false; !idle; idle = b.site.Line.Stats().Open > 2 {
		clip := b.choose(time.Now().UnixMicro(), time.Second)
		b.ringUntil(time.Minute, "a clip is stored", func(ctx context.Context) (bool, error) {
			var c api.Clip
			err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
			return c.State == "stored", err
		})
	}
	// A site where nothing happens finds out by its heartbeats alone.
	b.until(20*time.Second, "nothing is on its way", func(ctx context.Context) (bool, error) {
		status, err := b.site.Status(ctx)
		queue, _ := status["queue"].(map[string]any)
		return queue["facts"] == 0.0 && queue["clips"] == 0.0, err
	})
	begun := time.Now()
	b.site.Line.Forget()
	b.until(seenWithin+15*time.Second, "the agent has a new session", func(ctx context.Context) (bool, error) {
		status, err := b.site.Status(ctx)
		cloud, _ := status["cloud"].(map[string]any)
		since, _ := cloud["since_us"].(float64)
		return cloud["connected"] == true && int64(since) > begun.UnixMicro(), err
	})
	b.figure("forgotten_line_back", time.Since(begun))
	if log, err := os.ReadFile(b.site.Agent.Log); err != nil || !strings.Contains(string(log), "went silent") {
		b.Errorf("the agent's log does not say that the line went silent (%v)", err)
	}
	b.back()
	b.stored(b.choose(time.Now().UnixMicro(), time.Second))
	b.settled(30 * time.Second)
}

// ringUntil rings now and then until a condition is true.
func (b *branch) ringUntil(limit time.Duration, what string, ask func(context.Context) (bool, error)) {
	b.Helper()
	var next time.Time
	b.until(limit, what, func(ctx context.Context) (bool, error) {
		if time.Now().After(next) {
			next = time.Now().Add(500 * time.Millisecond)
			b.ring(1)
		}
		return ask(ctx)
	})
}

// says waits until the agent's window gives these words for the reason why it is not connected.
func (b *branch) says(words ...string) {
	b.Helper()
	text := ""
	err := house.Until(b.Context(), 45*time.Second, "the window says "+strings.Join(words, " ... "), func(ctx context.Context) (bool, error) {
		status, err := b.site.Status(ctx)
		cloud, _ := status["cloud"].(map[string]any)
		text, _ = cloud["text"].(string)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false, err
			}
		}
		return cloud["connected"] == false, err
	})
	if err != nil {
		b.Fatalf("%v: it says %q", err, text)
	}
}

// records checks that every camera of the site records and that what it recorded gets safe.
func (b *branch) records() {
	b.Helper()
	first := map[string]float64{}
	b.until(20*time.Second, "all cameras go on recording", func(ctx context.Context) (bool, error) {
		status, err := b.site.Status(ctx)
		cameras, _ := status["cameras"].([]any)
		on := len(cameras) > 0
		for _, one := range cameras {
			c, _ := one.(map[string]any)
			key, _ := c["id"].(string)
			safe, _ := c["durable_us"].(float64)
			if _, ok := first[key]; !ok {
				first[key] = safe
			}
			on = on && c["recording"] == true && safe > first[key]
		}
		return on, err
	})
}

// back waits until the agent has a session, and checks that what happens then arrives at once.
func (b *branch) back() {
	b.Helper()
	b.until(60*time.Second, "the agent is back", func(ctx context.Context) (bool, error) { return connected(ctx, b.site) })
	begun := time.Now()
	b.ring(1)
	last := b.rung[len(b.rung)-1]
	b.until(3*time.Minute, "a new event reaches the portal", func(ctx context.Context) (bool, error) {
		var page api.Events
		err := b.house.Owner.Get(ctx, "/events?kind=door_opened&limit=1&site="+string(b.site.ID), &page)
		return err == nil && len(page.Events) > 0 && page.Events[0].Text == last, err
	})
	b.figure("live_event_after_outage", time.Since(begun))
	if late := time.Since(begun); late > 5*time.Second {
		b.Errorf("an event that happened after the outage took %v", late)
	}
}

// figure logs a figure as the bench prints it.
func (b *branch) figure(name string, d time.Duration) {
	b.Helper()
	b.Logf("%s: %.2f s", name, d.Seconds())
}
