package live

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// without takes the addresses out of SDP.
func without(sdp string) string {
	var kept strings.Builder
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "a=candidate:") && !strings.HasPrefix(line, "a=end-of-candidates") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// fragment is what SDP says of its end's addresses.
func fragment(t *testing.T, sdp string) rtc.Fragment {
	t.Helper()
	f, err := rtc.ParseFragment(sdp)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAddressesAreToldLater has a viewer and a site that know nothing of each other's addresses when the answer is there: the
// picture comes once one has told the other, whichever that is.
func TestAddressesAreToldLater(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	for _, told := range []string{"the viewer tells", "the site tells"} {
		t.Run(told, func(t *testing.T) {
			w := s.wish()
			w.Trickle, w.change, w.back = true, without, without
			v := watch(t, s.room, w)
			mine := fragment(t, v.pc.LocalDescription().SDP)
			mine.Last = true
			if told == "the site tells" {
				mine.Candidates = nil
			}
			theirs, err := s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: mine.String()})
			if err != nil {
				t.Fatal(err)
			}
			f := fragment(t, theirs.Fragment)
			if remote := fragment(t, v.answer.SDP); f.Ufrag != remote.Ufrag || f.Password != remote.Password || len(f.Candidates) == 0 || !f.Last {
				t.Errorf("the site tells %+v, its answer was of %+v", f, remote)
			}
			if told == "the site tells" {
				for _, c := range f.Candidates {
					if err := v.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: "candidate:" + c}); err != nil {
						t.Error(err)
					}
				}
			}
			v.seen(5)
		})
	}
}

// TestNobodyWaitsForSilentServers has a server that never answers: an answer that addresses may follow is there long before
// the site gives that up, and the last of its addresses say when it has.
func TestNobodyWaitsForSilentServers(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	s := newStage(t, Config{})
	ask := func(early bool) (*viewer, time.Duration) {
		w := s.wish()
		w.Trickle = early
		w.ICE = []wire.ICEServer{{URLs: []string{fmt.Sprintf("stun:%s", silent.LocalAddr())}}}
		began := time.Now()
		v := watch(t, s.room, w)
		return v, time.Since(began)
	}
	v, early := ask(true)
	for range 2 { // the machine may be busy
		_, again := ask(true)
		early = min(early, again)
	}
	if !strings.Contains(v.answer.SDP, "a=candidate:") {
		t.Errorf("the answer has no address at all:\n%s", v.answer.SDP)
	}
	if _, late := ask(false); late < 500*time.Millisecond || early > late/2 {
		t.Errorf("the answer took %v, and %v with all addresses", early, late)
	}
	v.seen(5)
}

func TestAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	mine := fragment(t, v.pc.LocalDescription().SDP)
	other := mine
	other.Ufrag, other.Password = "another", "" // which begins no path anew
	unreadable := mine
	unreadable.Candidates = []string{"1 1 udp x y z"}
	anew := unreadable // a path anew that does not come about: the one before is still sought
	anew.Ufrag, anew.Password = "elsewhere", "a password of 22 characters and more"
	tell := func(session id.Session, text string) error {
		_, err := s.room.Paths(t.Context(), wire.LivePaths{Session: session, Fragment: text})
		return err
	}
	assertFailure(t, tell(id.New[id.Session](), mine.String()), wire.FailedGone)
	for _, text := range []string{"", "nonsense", other.String(), unreadable.String(), anew.String()} {
		assertFailure(t, tell(v.session, text), wire.FailedRefused)
	}
	if err := tell(v.session, mine.String()); err != nil {
		t.Errorf("to tell again what is known: %v", err)
	}
	v.seen(5)
}

// TestAThousandAddresses has a viewer name more addresses than anybody has, in its offer and afterwards, and seek its path anew
// all the time: it is refused, and who watches goes on watching.
func TestAThousandAddresses(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	address := func(n int) string {
		return fmt.Sprintf("1 1 udp 2130706431 192.0.2.%d %d typ host", n%250+1, 1024+n)
	}
	offered := func(text string) string {
		var all strings.Builder
		for line := range strings.Lines(text) {
			all.WriteString(line)
			if strings.HasPrefix(line, "a=mid:") {
				for n := range 1000 {
					all.WriteString("a=candidate:" + address(n) + "\r\n")
				}
			}
		}
		return all.String()
	}
	w := s.wish()
	w.change = offered
	_, err := try(t, s.room, w)
	assertFailure(t, err, wire.FailedRefused, "addresses")

	v := watch(t, s.room, s.wish())
	v.seen(3)
	mine := fragment(t, v.pc.LocalDescription().SDP)
	tell := func() error {
		_, err := s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: mine.String()})
		return err
	}
	err = nil
	told := 0
	for ; err == nil && told < 1000; told += 20 {
		mine.Candidates = nil
		for n := range 20 {
			mine.Candidates = append(mine.Candidates, address(told+n))
		}
		err = tell()
		if again := tell(); again != nil && err == nil {
			t.Errorf("to tell again what is known: %v", again)
		}
	}
	assertFailure(t, err, wire.FailedRefused, "addresses were told")
	if told > 200 {
		t.Errorf("%d addresses were taken", told)
	}
	v.next(10)

	for n := range 30 {
		mine = rtc.Fragment{Ufrag: fmt.Sprintf("path%d", n), Password: "a password of 22 characters and more", Last: true}
		if err = tell(); err != nil {
			break
		}
	}
	assertFailure(t, err, wire.FailedBusy, "too often")
}

// TestForeignKeys has somebody come with other keys than the offer names (RFC 8827 section 6.5): nothing is shown to him.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{Path: 2 * time.Second})
	w := s.wish()
	w.change = func(sdp string) string {
		return regexp.MustCompile(`(fingerprint:sha-256 )[0-9A-F:]+`).ReplaceAllString(sdp, "${1}"+strings.TrimSuffix(strings.Repeat("AB:", 32), ":"))
	}
	v := watch(t, s.room, w)
	eventually.True(t, "the connection to end", func() bool { return len(s.room.Open()) == 0 })
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.pictures) > 0 || len(v.sound) > 0 || v.open {
		t.Errorf("a stranger gets %d pictures, and his control channel is open: %v", len(v.pictures), v.open)
	}
}

// TestAPathIsSoughtAnewByAFragment has a player restart ICE as WHEP has it, without a whole offer, and tell of the path before
// once more.
func TestAPathIsSoughtAnewByAFragment(t *testing.T) {
	t.Parallel()
	s := newStage(t, Config{})
	v := watch(t, s.room, s.wish())
	v.seen(5)
	before, remote := fragment(t, v.pc.LocalDescription().SDP), fragment(t, v.answer.SDP)
	mine := fragment(t, v.elsewhere())
	mine.Last = true
	theirs, err := s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: mine.String()})
	if err != nil {
		t.Fatal(err)
	}
	f := fragment(t, theirs.Fragment)
	if !theirs.Anew || f.Ufrag == remote.Ufrag || f.Password == remote.Password || len(f.Candidates) == 0 {
		t.Fatalf("the site answers %+v, its path was %+v", theirs, remote)
	}
	answer := strings.NewReplacer("ice-ufrag:"+remote.Ufrag, "ice-ufrag:"+f.Ufrag, remote.Password, f.Password).Replace(without(v.answer.SDP))
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Candidates {
		if err := v.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: "candidate:" + c}); err != nil {
			t.Fatal(err)
		}
	}
	v.until("the new path", func() bool { return v.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
	v.next(15)
	_, err = s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: before.String()})
	assertFailure(t, err, wire.FailedRefused, "no longer sought")
	again, err := s.room.Paths(t.Context(), wire.LivePaths{Session: v.session, Fragment: mine.String()})
	if err != nil || again.Anew {
		t.Errorf("the same path told again: %+v, %v", again, err)
	}
	v.next(5)
}
