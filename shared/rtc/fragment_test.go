package rtc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"holdfast/shared/wire"
)

func TestFragmentsAreRead(t *testing.T) {
	const udp, tcp = "1 1 udp 2130706431 198.51.100.1 3478 typ host", "2 1 tcp 1671430143 198.51.100.1 9 typ host tcptype active"
	f := Fragment{Ufrag: "Ab+/", Password: "secret", Candidates: []string{udp, tcp}, Last: true}
	for name, text := range map[string]string{
		"its own words":   f.String(),
		"a browser's":     "a=ice-options:trickle\r\na=ice-ufrag:Ab+/\r\na=ice-pwd:secret\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:" + udp + "\r\na=candidate:" + tcp + "\r\na=candidate:" + udp + "\r\na=end-of-candidates\r\n",
		"without returns": strings.ReplaceAll(f.String(), "\r", ""),
	} {
		got, err := ParseFragment(text)
		if err != nil || got.Ufrag != f.Ufrag || got.Password != f.Password || !slices.Equal(got.Candidates, f.Candidates) || !got.Last {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, f)
		}
	}
	if got, err := ParseFragment("a=ice-ufrag:x\r\n"); err != nil || got.Last || len(got.Candidates) != 0 {
		t.Errorf("nothing new is read as %+v, %v", got, err)
	}
	many := Fragment{Ufrag: "x"}
	for range maxCandidates + 1 {
		many.Candidates = append(many.Candidates, strings.Repeat("1", len(many.Candidates)+1))
	}
	for name, text := range map[string]string{
		"no ufrag": "a=candidate:" + udp, "too many": many.String(), "too long": "a=ice-ufrag:x\r\n" + strings.Repeat("x", MaxFragment), "nothing": "",
		"a long name": "a=ice-ufrag:" + strings.Repeat("x", maxUfrag+1), "a long password": "a=ice-ufrag:x\r\na=ice-pwd:" + strings.Repeat("x", maxUfrag+1),
	} {
		_, err := ParseFragment(text)
		if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedRefused || f.Text == "" {
			t.Errorf("%s: %v, want words for the viewer", name, err)
		}
	}
}

// FuzzFragment reads anything as a fragment: what is taken is within its bounds, and says the same when it is written and
// read again.
func FuzzFragment(f *testing.F) {
	for _, text := range []string{
		Fragment{Ufrag: "a", Password: "b", Candidates: []string{"1 1 udp 1 10.0.0.1 1 typ host"}, Last: true}.String(),
		"a=ice-ufrag:\r\n", "a=ice-ufrag:a\na=candidate:", "a=end-of-candidates", "m=audio", "\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseFragment(text)
		if err != nil {
			return
		}
		if got.Ufrag == "" || len(got.Ufrag) > maxUfrag || len(got.Password) > maxUfrag || len(got.Candidates) > maxCandidates || len(text) > MaxFragment {
			t.Fatalf("%q was taken", text)
		}
		again, err := ParseFragment(got.String())
		if len(got.String()) <= MaxFragment && (err != nil || again.Ufrag != got.Ufrag || again.Password != got.Password || !slices.Equal(again.Candidates, got.Candidates) || again.Last != got.Last) {
			t.Fatalf("%+v was written, %+v read: %v", got, again, err)
		}
	})
}
