package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/testenv/house"
)

// lateness measures how long new events take from the agent's window to the portal.
type lateness struct {
	house *house.House

	mu     sync.Mutex
	made   []id.Event
	begun  map[id.Event]time.Time // that are on their way
	delays []time.Duration
	err    error
}

func newLateness(h *house.House) *lateness {
	return &lateness{house: h, begun: map[id.Event]time.Time{}}
}

// run puts an event into the site's window every so often and looks for them in the portal, until ctx ends; then it
// waits for those that are still on their way.
func (l *lateness) run(ctx context.Context, every time.Duration) {
	running := sync.WaitGroup{}
	running.Go(func() {
		for n := 0; backoff.Sleep(ctx, every) == nil; n++ {
			if err := l.put(context.WithoutCancel(ctx), n); err != nil {
				l.fail(err)
				return
			}
		}
	})
	over := context.WithoutCancel(ctx)
	err := house.Until(over, 30*time.Minute, "new events reach the portal", func(context.Context) (bool, error) {
		missing, err := l.look(over)
		return missing == 0 && ctx.Err() != nil, err
	})
	running.Wait()
	if _, last := l.look(over); err == nil {
		err = last
	}
	l.fail(err)
}

func (l *lateness) put(ctx context.Context, n int) error {
	e := id.New[id.Event]()
	l.mu.Lock()
	l.made, l.begun[e] = append(l.made, e), time.Now()
	l.mu.Unlock()
	return l.house.Sites[0].Event(ctx, map[string]any{"id": e, "kind": "door_opened", "text": fmt.Sprintf("door %d", n)})
}

// look reads the portal's events since the oldest one that is still on its way, and returns how many still are.
func (l *lateness) look(ctx context.Context) (missing int, err error) {
	from := l.oldest()
	for before := ""; from != 0; {
		var page struct {
			Events []struct{ ID id.Event }
			Next   string
		}
		ask := url.Values{"limit": {"200"}, "site": {string(l.house.Sites[0].ID)}, "from_us": {strconv.FormatInt(from, 10)}}
		if before != "" {
			ask.Set("before", before)
		}
		if err := l.house.Owner.Get(ctx, "/events?"+ask.Encode(), &page); err != nil {
			return 0, err
		}
		l.found(page.Events)
		if before = page.Next; before == "" {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.begun), nil
}

// oldest returns when the oldest event was made that is still on its way, a little earlier; 0 when there is none.
func (l *lateness) oldest() (us int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, begun := range l.begun {
		if at := begun.Add(-time.Second).UnixMicro(); us == 0 || at < us {
			us = at
		}
	}
	return us
}

// found notes which events have come.
func (l *lateness) found(events []struct{ ID id.Event }) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if begun, ok := l.begun[e.ID]; ok {
			l.delays = append(l.delays, time.Since(begun))
			delete(l.begun, e.ID)
		}
	}
}

func (l *lateness) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

func (l *lateness) fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *lateness) sent() []id.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.made)
}

// say prints how late they were.
func (l *lateness) say(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.delays)
	if n := len(l.delays); n > 0 {
		say(name+"_p95_in_drain", l.delays[n*95/100].Seconds(), fmt.Sprintf("s (%d events, the slowest %.2f s)", n, l.delays[n-1].Seconds()))
	}
}
