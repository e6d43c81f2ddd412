// Package id holds the typed identifiers that both houses share.
//
// An ID is a short prefix that names its kind, a dash, and 26 characters of lower-case Crockford base32
// (128 random bits), for example "cam-3v8q0n6w5x1r9k2m7t4y0h8b3d". IDs are minted once, never reused, and
// carry no meaning beyond their kind: no time, no order, no name. Those of events alone are minted in the order of
// time, because there are so many that an index over random ones costs more than everything else about them; nothing
// reads the time out of them again. Parse refuses everything else, so an ID that parsed is safe in a file name, a URL
// and a log line.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
)

// Org identifies an organisation, the tenant that owns regions, sites and people.
type Org string

// Region identifies a group of sites inside an organisation.
type Region string

// Site identifies one branch: a place with one recorder and one agent.
type Site string

// Agent identifies one enrolled installation of the agent; a replaced machine gets a new one.
type Agent string

// Camera identifies a camera; it belongs to the site and survives a change of agent or device.
type Camera string

// Event identifies something that happened at a site.
type Event string

// Clip identifies a chosen range of video that is kept in the cloud.
type Clip string

// Person identifies somebody who signs in to the portal.
type Person string

// Session identifies a live session, a portal session or a session between agent and cloud.
type Session string

// Rule identifies a clip rule.
type Rule string

// Hold identifies a range that nothing may delete.
type Hold string

// Code identifies an enrolment code by its row, never by its secret.
type Code string

// Incident identifies one problem as people see it.
type Incident string

// Wall identifies a page of cameras that somebody put together.
type Wall string

// Player identifies a program outside the portal that may show live video, never its token.
type Player string

// Kind is the set of ID types of this package.
type Kind interface {
	Org | Region | Site | Agent | Camera | Event | Clip | Person | Session | Rule | Hold | Code | Incident | Wall | Player
}

const length = 26

// alphabet is Crockford's: no i, l, o and u, so that a spoken or copied ID stays itself.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

func encoding() *base32.Encoding {
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)
}

func prefix[T Kind]() string {
	var zero T
	switch any(zero).(type) {
	case Org:
		return "org"
	case Region:
		return "reg"
	case Site:
		return "site"
	case Agent:
		return "agt"
	case Camera:
		return "cam"
	case Event:
		return "evt"
	case Clip:
		return "clip"
	case Person:
		return "per"
	case Session:
		return "ses"
	case Rule:
		return "rule"
	case Hold:
		return "hold"
	case Code:
		return "code"
	case Wall:
		return "wall"
	case Player:
		return "play"
	default:
		return "inc"
	}
}

// New mints an ID from 128 bits of the system's random source. In that of an event the first 48 are the time instead, in
// milliseconds since 1970, which is how RFC 9562 section 5.7 keeps identifiers in order.
func New[T Kind]() T {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error since Go 1.24
	if _, ordered := any(*new(T)).(Event); ordered {
		ms := max(time.Now().UnixMilli(), 0)
		for i := range 6 {
			b[i] = byte(ms >> (40 - 8*i))
		}
	}
	return T(prefix[T]() + "-" + encoding().EncodeToString(b[:]))
}

// Parse checks that s is an ID of kind T and returns it; the error names the kind that was expected.
func Parse[T Kind](s string) (T, error) {
	p := prefix[T]() + "-"
	body, ok := strings.CutPrefix(s, p)
	if !ok || len(body) != length {
		return "", fmt.Errorf("parse id: want %q and %d characters", p, length)
	}
	if strings.Trim(body, alphabet) != "" {
		return "", fmt.Errorf("parse id: a character of %q is not in the base32 alphabet", s)
	}
	return T(s), nil
}

// StreamKind says which of a camera's streams is meant.
type StreamKind string

// The two streams of a camera: main is recorded, sub is small and for tiles and narrow lines.
const (
	Main StreamKind = "main"
	Sub  StreamKind = "sub"
)

// Valid reports whether k is a known kind of stream.
func (k StreamKind) Valid() bool { return k == Main || k == Sub }

// Stream names one stream of one camera.
type Stream struct {
	Camera Camera     `json:"camera"`
	Kind   StreamKind `json:"kind"`
}

// String returns "<camera>/<kind>".
func (s Stream) String() string { return string(s.Camera) + "/" + string(s.Kind) }

// ParseStream is the reverse of Stream.String.
func ParseStream(s string) (Stream, error) {
	c, k, ok := strings.Cut(s, "/")
	if !ok || !StreamKind(k).Valid() {
		return Stream{}, fmt.Errorf("parse stream %q: want <camera>/main or <camera>/sub", s)
	}
	cam, err := Parse[Camera](c)
	if err != nil {
		return Stream{}, err
	}
	return Stream{Camera: cam, Kind: StreamKind(k)}, nil
}
