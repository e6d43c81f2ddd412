package camera

import (
	"strconv"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// Bounds of what a device may say about the life of a session.
const (
	usualLife = time.Minute // RFC 2326 section 12.37
	minLife   = 2 * time.Second
)

// alive is what has been learnt of how a device wants its sessions kept alive. Devices differ: many list
// GET_PARAMETER and mean it, some take nothing else without listing it, some refuse what they do not know, some
// never answer. It belongs to a tap, whose sessions use it one after the other.
type alive struct {
	listed  bool                 // GET_PARAMETER is among the methods that the device names
	refused map[base.Method]bool // answered with an error
	both    bool                 // sessions have died although they were kept alive: ask in every way
	turn    int
}

// method returns how to ask next.
func (a *alive) method() base.Method {
	first, second := base.Options, base.GetParameter
	if a.listed {
		first, second = second, first
	}
	a.turn++
	switch {
	case a.refused[first] && !a.refused[second]:
		return second
	case a.both && !a.refused[second] && a.turn%2 == 0:
		return second
	}
	return first
}

// listen learns from the answer to OPTIONS.
func (a *alive) listen(public []string) {
	if len(public) > 0 {
		a.listed = strings.Contains(strings.ToUpper(strings.Join(public, ",")), string(base.GetParameter))
	}
}

// refuse notes that a device answered a keepalive with an error.
func (a *alive) refuse(m base.Method) {
	if a.refused == nil {
		a.refused = map[base.Method]bool{}
	}
	a.refused[m] = true
}

// died learns from the end of a session that nobody asked for: age since it began to play, with life as the
// device had announced it. A session that ends when its life does was not kept alive.
func (a *alive) died(age, life time.Duration, last base.Method, since time.Duration) {
	switch {
	case a.both && last == base.GetParameter && !a.listed && since < 3*time.Second:
		a.refuse(last) // it hung up on the very question
	case age > life*8/10 && age < life*5/2:
		a.both = true
	}
}

// halve changes the life that a Session header announces, so that two keepalives fit into it: the first may meet
// a nonce that has grown old. It returns the life as the device meant it.
func halve(header base.HeaderValue) (base.HeaderValue, time.Duration) {
	if len(header) == 0 {
		return header, usualLife
	}
	id, rest, _ := strings.Cut(header[0], ";")
	life := usualLife
	for part := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if secs, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil && strings.EqualFold(strings.TrimSpace(name), "timeout") && secs > 0 {
			life = max(time.Duration(secs)*time.Second, minLife)
		}
	}
	// A long life is not believed: a keepalive every half minute costs nothing.
	half := max(min(life, usualLife)/2/time.Second, 1)
	return base.HeaderValue{id + ";timeout=" + strconv.Itoa(int(half))}, life
}
