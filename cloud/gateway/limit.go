package gateway

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxGuessers   = 10_000
	guessEach     = 30 * time.Second // one failed attempt per address is forgiven in this time
	guessBurst    = 10
	guessTotal    = 1.0 // failed attempts per second, over all addresses
	guessAllBurst = 100
	guessAlarm    = 20 // failed attempts, over all addresses, that are worth an alarm
)

// guesses counts failed enrolments by address and over all. Successful ones cost nothing.
type guesses struct {
	mu     sync.Mutex
	byAddr map[netip.Prefix]*rate.Limiter
	rest   *rate.Limiter // of all addresses that found no place in the map
	all    *rate.Limiter
	failed int64
}

func newGuesses() *guesses {
	return &guesses{
		byAddr: map[netip.Prefix]*rate.Limiter{},
		rest:   rate.NewLimiter(rate.Every(guessEach), guessBurst),
		all:    rate.NewLimiter(guessTotal, guessAllBurst),
	}
}

// neighbourhood is what one caller can choose freely from: one IPv4 address, or a /64 of IPv6.
func neighbourhood(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// allowed reports whether an address may try.
func (g *guesses) allowed(a netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.byAddr[neighbourhood(a)]
	if !ok {
		return len(g.byAddr) < maxGuessers || g.rest.TokensAt(now) >= 1
	}
	return l.TokensAt(now) >= 1
}

// fail counts a failed attempt. It reports whether all addresses together are above their limit, and how many
// attempts have failed if that is worth an alarm.
func (g *guesses) fail(a netip.Addr, now time.Time) (flood bool, alarm int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	where := neighbourhood(a)
	l, ok := g.byAddr[where]
	switch {
	case ok:
	case len(g.byAddr) < maxGuessers:
		l = rate.NewLimiter(rate.Every(guessEach), guessBurst)
		g.byAddr[where] = l
	default:
		l = g.rest
	}
	l.AllowN(now, 1)
	g.failed++
	if g.failed >= guessAlarm {
		alarm = g.failed
		g.failed = 0
	}
	return !g.all.AllowN(now, 1), alarm
}

// prune forgets addresses whose failures are forgiven.
func (g *guesses) prune(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, l := range g.byAddr {
		if l.TokensAt(now) >= guessBurst {
			delete(g.byAddr, a)
		}
	}
}

// alarms lets the same alarm through once a minute and counts the others.
type alarms struct {
	mu   sync.Mutex
	last map[string]*alarmCount
}

type alarmCount struct {
	at    time.Time
	count int64
}

const (
	alarmEach = time.Minute
	maxAlarms = 10_000
)

func newAlarms() *alarms { return &alarms{last: map[string]*alarmCount{}} }

// due counts one alarm and returns how many there were since the last one that was let through; 0 if this one
// is not let through.
func (a *alarms) due(key string, now time.Time) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.last) >= maxAlarms {
		for k, c := range a.last {
			if now.Sub(c.at) > alarmEach {
				delete(a.last, k)
			}
		}
	}
	c, ok := a.last[key]
	if !ok {
		if len(a.last) >= maxAlarms {
			return 0
		}
		c = &alarmCount{}
		a.last[key] = c
	}
	c.count++
	if now.Sub(c.at) < alarmEach {
		return 0
	}
	n := c.count
	c.at, c.count = now, 0
	return n
}

func (g *Gateway) alarm(ctx context.Context, a Alarm) {
	n := g.alarms.due(string(a.Kind)+" "+string(a.Ref.Site)+" "+string(a.Ref.Agent), g.cfg.Now())
	if n == 0 {
		return
	}
	a.Count = n
	g.log.Warn(a.Text, "alarm", a.Kind, "agent", a.Ref.Agent, "site", a.Ref.Site, "addr", a.Addr, "count", n)
	if g.hooks.Alarm != nil {
		g.hooks.Alarm(ctx, a)
	}
}

// addr returns who calls: the peer, or the last address in X-Forwarded-For that is not one of our balancers.
func (g *Gateway) addr(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	peer = peer.Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.trusted(peer); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = next.Unmap()
	}
	return peer
}

func (g *Gateway) trusted(a netip.Addr) bool {
	for _, p := range g.cfg.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
