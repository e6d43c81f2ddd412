package id

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/testenv/bubble"
)

func TestNewParses(t *testing.T) {
	c := New[Camera]()
	got, err := Parse[Camera](string(c))
	if err != nil || got != c {
		t.Fatalf("Parse(%q) = %q, %v", c, got, err)
	}
	if c == New[Camera]() {
		t.Fatal("two new IDs are equal")
	}
}

func TestEventsAreMintedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, last := map[Event]bool{}, Event("")
		for range 1000 {
			e := New[Event]()
			if got, err := Parse[Event](string(e)); err != nil || got != e {
				t.Fatalf("Parse(%q) = %q, %v", e, got, err)
			}
			if e <= last {
				t.Fatalf("%s comes after %s", e, last)
			}
			seen[e], seen[New[Event]()], last = true, true, e
			bubble.Pass(time.Millisecond)
		}
		if len(seen) != 2000 {
			t.Errorf("%d IDs of 2000 are unlike every other", len(seen))
		}
	})
}

func TestParseRefuses(t *testing.T) {
	good := string(New[Camera]())
	for _, s := range []string{
		"", "cam-", good[:len(good)-1], good + "0", "site" + good[3:], "cam-" + "../../../../etc/passwd0000"[:26],
		"cam-0000000000000000000000000u", "CAM" + good[3:], good[:10] + "\x00" + good[11:],
	} {
		if _, err := Parse[Camera](s); err == nil {
			t.Errorf("Parse(%q) accepted", s)
		}
	}
}

func TestStream(t *testing.T) {
	s := Stream{Camera: New[Camera](), Kind: Sub}
	got, err := ParseStream(s.String())
	if err != nil || got != s {
		t.Fatalf("ParseStream(%q) = %v, %v", s, got, err)
	}
	for _, bad := range []string{"", "x/main", string(s.Camera), string(s.Camera) + "/third"} {
		if _, err := ParseStream(bad); err == nil {
			t.Errorf("ParseStream(%q) accepted", bad)
		}
	}
}
