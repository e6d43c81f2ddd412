package rtc

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/ice/v4"

	"holdfast/shared/wire"
)

// Fragment is what one end of a connection has learnt of its own addresses since its description (application/
// trickle-ice-sdpfrag, RFC 8840 section 9). All media share one transport, so that it has one part.
type Fragment struct {
	Ufrag, Password string   // ice-ufrag and ice-pwd of the description that it belongs to (RFC 8839 section 5.4)
	Candidates      []string // values as of a=candidate, without that word (RFC 8839 section 5.1)
	Last            bool     // end of candidates: no more follow
}

// Bounds of a fragment: a browser on a machine with many networks has some thirty addresses.
const (
	MaxFragment   = 16 << 10 // bytes
	maxCandidates = 64
	maxTold       = 128 // addresses that one end names for a path, in a description and in all fragments
	maxUfrag      = 256 // characters of ice-ufrag, and of ice-pwd (RFC 8839 section 5.4)
)

// ParseFragment reads a fragment; lines that it does not know are passed over. An error is a *wire.Failure.
func ParseFragment(text string) (Fragment, error) {
	if len(text) > MaxFragment {
		return Fragment{}, wire.Fail(wire.FailedRefused, "The addresses take %d bytes: %d are the most.", len(text), MaxFragment)
	}
	f := Fragment{
		Ufrag: attribute(text, iceUfrag), Password: attribute(text, icePwd), Candidates: candidates(text),
		Last: slices.Contains(strings.Fields(text), "a=end-of-candidates"),
	}
	switch {
	case f.Ufrag == "":
		return Fragment{}, wire.Fail(wire.FailedRefused, "The addresses do not say which description they belong to: a=ice-ufrag is missing.")
	case len(f.Ufrag) > maxUfrag || len(f.Password) > maxUfrag:
		return Fragment{}, wire.Fail(wire.FailedRefused, "a=ice-ufrag and a=ice-pwd have %d characters at most.", maxUfrag)
	case len(f.Candidates) > maxCandidates:
		return Fragment{}, wire.Fail(wire.FailedRefused, "There are %d addresses: %d are the most.", len(f.Candidates), maxCandidates)
	}
	return f, nil
}

// String writes the fragment.
func (f Fragment) String() string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	line("a=ice-ufrag:", f.Ufrag)
	line("a=ice-pwd:", f.Password)
	line("m=video 9 UDP/TLS/RTP/SAVPF 0") // what it says but that the first part is meant is of no account
	line("a=mid:0")
	for _, c := range f.Candidates {
		line("a=candidate:", c)
	}
	if f.Last {
		line("a=end-of-candidates")
	}
	return b.String()
}

// into returns a description with the fragment's path in place of its own.
func (f Fragment) into(sdp string) string {
	var b strings.Builder
	media := 0
	for line := range strings.Lines(sdp) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "a="+iceUfrag:
			line = "a=" + iceUfrag + ":" + f.Ufrag + "\r\n"
		case name == "a="+icePwd:
			line = "a=" + icePwd + ":" + f.Password + "\r\n"
		case name == "a=candidate", name == "a=end-of-candidates":
			continue
		case strings.HasPrefix(line, "m="):
			if media++; media == 2 {
				f.write(&b)
			}
		}
		b.WriteString(line)
	}
	if media == 1 {
		f.write(&b)
	}
	return b.String()
}

// write writes the candidates.
func (f Fragment) write(b *strings.Builder) {
	for _, c := range f.Candidates {
		b.WriteString("a=candidate:" + c + "\r\n")
	}
}

// Attributes of a path (RFC 8839 section 5.4).
const (
	iceUfrag = "ice-ufrag"
	icePwd   = "ice-pwd"
)

// attribute returns the first value of an attribute in SDP, empty when there is none.
func attribute(sdp, name string) string {
	for line := range strings.Lines(sdp) {
		if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// readable returns why the path in SDP can't be taken, nil when it can: an address of a kind that nobody knows is passed over.
func readable(sdp string) error {
	if len(attribute(sdp, iceUfrag)) > maxUfrag {
		return fmt.Errorf("its a=ice-ufrag has more than %d characters", maxUfrag)
	}
	all := candidates(sdp)
	if len(all) > maxTold {
		return fmt.Errorf("it names %d addresses: %d are the most", len(all), maxTold)
	}
	for _, c := range all {
		_, err := ice.UnmarshalCandidate(c)
		if err != nil && !errors.Is(err, ice.ErrUnknownCandidateTyp) && !errors.Is(err, ice.ErrDetermineNetworkType) {
			return fmt.Errorf("read address: %w", err)
		}
	}
	return nil
}

// Addresses returns those of its own that an end names in SDP, not those of its router or a relay. Names (mDNS) are none.
func Addresses(sdp string) []netip.Addr {
	var all []netip.Addr
	for _, c := range candidates(sdp) {
		if parsed, err := ice.UnmarshalCandidate(c); err == nil && parsed.Type() == ice.CandidateTypeHost {
			if a, err := netip.ParseAddr(parsed.Address()); err == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// candidates returns the addresses in SDP, each once.
func candidates(sdp string) []string {
	var all []string
	seen := map[string]bool{}
	for line := range strings.Lines(sdp) {
		if c, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			if c = strings.TrimSpace(c); !seen[c] {
				seen[c] = true
				all = append(all, c)
			}
		}
	}
	return all
}
