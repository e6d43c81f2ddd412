package api

import (
	"sync"

	"holdfast/shared/id"
)

// Changed says that something changed; the rooms publish it after their commit. Kind is one of Change's.
type Changed struct {
	Org    id.Org
	Site   id.Site   // empty: of the whole organisation
	Camera id.Camera // empty: of the whole site
	Kind   string
	ID     string    // of the thing, where it has one
	Person id.Person // who alone is told of it; empty: everybody who may know
}

// Bus carries changes from the rooms to the open GET /changes. Publishing never waits: a listener that is slow
// gets each change once, however often it was published meanwhile, and one that is too slow is cut off.
type Bus struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
}

// NewBus returns an empty bus.
func NewBus() *Bus { return &Bus{listeners: map[*listener]struct{}{}} }

// Publish tells every listener of the organisation.
func (b *Bus) Publish(c Changed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		if l.org == c.Org {
			l.put(c)
		}
	}
}

// publish tells of a change unless err says that it failed, and returns err.
func (a *API) publish(err error, c Changed) error {
	if err == nil {
		a.bus.Publish(c)
	}
	return err
}

// maxPending is how many different changes wait for one listener.
const maxPending = 1000

type listener struct {
	org   id.Org
	ready chan struct{} // holds a token while something waits
	bus   *Bus

	mu      sync.Mutex
	pending []Changed
	have    map[Changed]struct{}
	over    bool
}

func (b *Bus) listen(org id.Org) *listener {
	l := &listener{org: org, ready: make(chan struct{}, 1), bus: b, have: map[Changed]struct{}{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners[l] = struct{}{}
	return l
}

func (l *listener) close() {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	delete(l.bus.listeners, l)
}

func (l *listener) put(c Changed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.have[c]; ok || l.over {
		return
	}
	if len(l.pending) >= maxPending {
		l.over, l.pending, l.have = true, nil, nil
	} else {
		l.have[c] = struct{}{}
		l.pending = append(l.pending, c)
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// take returns what waits; over says that something was lost, so the listener must begin anew.
func (l *listener) take() (changes []Changed, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes, l.pending = l.pending, nil
	if !l.over {
		clear(l.have)
	}
	return changes, l.over
}
