package wire

import (
	"fmt"
	"net/http"
	"time"
)

// RefusalCode names why the cloud refused a request, or why a session ended.
type RefusalCode string

// Codes of a refusal. Those that a Bye may carry too are marked.
const (
	RefusedClock     RefusalCode = "clock"     // Bye too; the agent's clock is wrong: WallUs is the cloud's
	RefusedRevoked   RefusalCode = "revoked"   // Bye too; the agent was removed from its site
	RefusedReplaced  RefusalCode = "replaced"  // Bye too; another machine was enrolled at the site
	RefusedUnknown   RefusalCode = "unknown"   // no such agent in this cloud
	RefusedSignature RefusalCode = "signature" // the signature does not hold
	RefusedReplay    RefusalCode = "replay"    // this request was seen before
	RefusedSession   RefusalCode = "session"   // the session is over: open another one
	RefusedVersion   RefusalCode = "version"   // Bye too; no common version of the protocol
	RefusedDuplicate RefusalCode = "duplicate" // Bye too; a second live agent with this identity
	RefusedProtocol  RefusalCode = "protocol"  // Bye too; a message out of turn
	RefusedShutdown  RefusalCode = "shutdown"  // Bye too; the cloud is going down or coming up
	RefusedBusy      RefusalCode = "busy"      // too much at once: come back after RetryUs
	RefusedMalformed RefusalCode = "malformed" // the message cannot be read
	RefusedTooLarge  RefusalCode = "too_large"
	RefusedMissing   RefusalCode = "not_found"
	RefusedGone      RefusalCode = "gone"     // no longer wanted
	RefusedConflict  RefusalCode = "conflict" // not now, or not like this
	RefusedCode      RefusalCode = "code"     // enrolment: the code is unknown, wrong, used or expired
	RefusedUsed      RefusalCode = "used"     // enrolment: proven, but another machine was faster
	RefusedInternal  RefusalCode = "internal"
)

// Refusal is the body of every answer of the cloud to an agent that is not a success. Rooms of the cloud may
// return it as an error; the gateway sends it as it is.
type Refusal struct {
	Code    RefusalCode `json:"code"`
	Text    string      `json:"text"`               // for a person: what is wrong and what to do
	WallUs  int64       `json:"wall_us,omitempty"`  // the cloud's clock
	RetryUs int64       `json:"retry_us,omitempty"` // come back not before this long
	Oldest  int         `json:"oldest,omitempty"`   // with "version": the cloud's range of versions
	Newest  int         `json:"newest,omitempty"`
}

// Refuse returns a Refusal with a sentence.
func Refuse(code RefusalCode, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Text }

// Retry returns RetryUs as a duration.
func (r *Refusal) Retry() time.Duration { return Micros(r.RetryUs) }

// Status returns the HTTP status (RFC 9110, RFC 6585) that goes with the code.
func (r *Refusal) Status() int {
	switch r.Code {
	case RefusedClock, RefusedUnknown, RefusedSignature, RefusedReplay, RefusedSession:
		return http.StatusUnauthorized
	case RefusedRevoked, RefusedReplaced, RefusedDuplicate, RefusedCode:
		return http.StatusForbidden
	case RefusedVersion:
		return http.StatusUpgradeRequired
	case RefusedShutdown:
		return http.StatusServiceUnavailable
	case RefusedBusy:
		return http.StatusTooManyRequests
	case RefusedMalformed, RefusedProtocol:
		return http.StatusBadRequest
	case RefusedTooLarge:
		return http.StatusRequestEntityTooLarge
	case RefusedMissing:
		return http.StatusNotFound
	case RefusedGone:
		return http.StatusGone
	case RefusedConflict, RefusedUsed:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// Negotiate returns the newest version that both ends speak, given the newest one of the other end; a Refusal
// with code "version" if there is none.
func Negotiate(peer int) (int, error) {
	v := min(peer, Version)
	if v < OldestVersion {
		r := Refuse(RefusedVersion, "protocol version %d is too old: this side speaks %d to %d, update the agent",
			peer, OldestVersion, Version)
		r.Oldest, r.Newest = OldestVersion, Version
		return 0, r
	}
	return v, nil
}
