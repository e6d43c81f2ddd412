package look

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, blind bool) *Floor {
	t.Helper()
	f, err := NewFloor(t.Context(), "carpark/sub")
	if err != nil {
		t.Fatal(err)
	}
	f.blind = blind
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

func lookAt(t *testing.T, url string, tries int, limit time.Duration) (Tries, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	return Run(ctx, Order{Parts: []string{Other}, Tries: tries, LimitMS: int(limit.Milliseconds()), Peer: &Peer{URL: url, GOP: 1}})
}

// TestAnotherServerIsMeasured measures a WHEP endpoint in a real Chromium.
func TestAnotherServerIsMeasured(t *testing.T) {
	const tries = 3
	f := serve(t, false)
	all, err := lookAt(t, f.URL(), tries, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != tries {
		t.Fatalf("%d tries, want %d: %v", len(all), tries, all)
	}
	order := []string{Asked, Answer, Packet, Whole, Painted}
	for _, one := range all {
		before, was := 0.0, "the press"
		for _, moment := range order {
			ms, ok := one.MS[moment]
			if !ok || ms < before {
				t.Errorf("%s is at %v ms, want it after %s at %v: %v", moment, ms, was, before, one.MS)
			}
			before, was = ms, moment
		}
		for _, moment := range []string{Joined, Decoded} {
			if ms, ok := one.MS[moment]; !ok || ms < one.MS[Asked] || ms > one.MS[Painted] {
				t.Errorf("%s is at %v ms, want it between the request and the picture: %v", moment, ms, one.MS)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.peers) != tries || f.ended < tries-1 {
		t.Errorf("%d connections were made and %d ended, want %d and all but perhaps the last", len(f.peers), f.ended, tries)
	}
}

// TestWithoutAPictureThereIsNoFigure checks that what goes wrong is said, and where.
func TestWithoutAPictureThereIsNoFigure(t *testing.T) {
	url := serve(t, true).URL()
	for _, c := range []struct {
		url, want string
		limit     time.Duration
	}{
		{url, "no picture within 3 s", 3 * time.Second},
		{url + "/nowhere", fmt.Sprintf("%s/nowhere answers 405", url), time.Minute}, // it knows of no POST there
	} {
		all, err := lookAt(t, c.url, 1, c.limit)
		if err == nil {
			t.Errorf("%s gives %v", c.url, all)
			continue
		}
		for _, want := range []string{"try 1 of 1, the other server", c.want} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s gives %q, which does not say %q", c.url, err, want)
			}
		}
	}
}
