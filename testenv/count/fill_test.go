package count

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// TestAGapIsFilledFromTheCard: the camera's cable is out for 20 s, and it goes on filming on its card. Afterwards every
// frame that it filmed is on disk once, the filled time says where it is from, at the site and in the cloud, and check
// and verify hold.
func TestAGapIsFilledFromTheCard(t *testing.T) {
	t.Parallel()
	branch := house.BranchPlan{Name: "Card", Cameras: []house.CameraPlan{
		{Key: "car-park", Name: "Car park", Place: "carpark", Card: time.Hour},
		{Key: "shop", Name: "Shop", Place: "shop", Card: time.Hour},
		{Key: "yard", Name: "Yard", Place: "carpark-night", Card: time.Hour},
	}}
	h := house.New(t, house.Setup{Branches: []house.BranchPlan{branch}})
	s := h.Sites[0]
	if err := s.Recording(t.Context(), 3, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	pass(t, 5*time.Second)
	cams := s.Cameras.Cameras()
	for _, c := range cams {
		unplug(t, c, true)
	}
	pass(t, 20*time.Second)
	for i, c := range cams {
		unplug(t, c, false)
		if i == 1 { // a clock that is off by more than an hour does not matter
			if err := c.Turn(func(k *fakecam.Knobs) { k.NTPOffsetMs = 4_321_000 }); err != nil {
				t.Fatal(err)
			}
		}
	}
	back := time.Now().UnixMicro()
	ids, err := s.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	for key, cam := range ids {
		err := house.Until(t.Context(), 110*time.Second, "the gap of "+key+" is filled in the cloud", func(ctx context.Context) (bool, error) {
			var c api.Coverage
			err := h.Owner.Get(ctx, fmt.Sprintf("/cameras/%s/coverage?from_us=%d&to_us=%d&stream=main", cam, back-30e6, back), &c)
			filled := int64(0)
			for _, r := range c.Ranges {
				if strings.Contains(r.Text, "Filled afterwards from the card") {
					filled += r.EndUs - r.StartUs
				}
			}
			return filled > 18e6, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	said, err := s.Run(t.Context(), "status")
	if err != nil || !strings.Contains(said, "Filling  No gap waits for another source. Filled today: ") {
		t.Errorf("status says, %v:\n%s", err, said)
	}
	end := time.Now().UnixMicro()
	if err := s.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	books, sent := read(t, s), logs(s)
	account(t, s, books, sent, end)
	for _, b := range books {
		onDisk, unsent := stamps(t, s, b), 0
		for _, f := range sent[b.key] {
			if !f.Unsent {
				continue
			}
			if unsent++; onDisk[f.Frame] != 1 {
				t.Errorf("%s: frame %d, filmed without a cable, is on disk %d times", b.key, f.Frame, onDisk[f.Frame])
			}
		}
		if unsent < 250 {
			t.Errorf("%s: only %d frames were filmed without a cable", b.key, unsent)
		}
		for _, r := range b.ranges {
			if !r.Recorded && r.StartUs > b.segments[0].StartUs && r.EndUs < end {
				t.Errorf("%s: a gap of %d ms is left, %s", b.key, (r.EndUs-r.StartUs)/1000, r.Gap.Reason)
			}
		}
	}
	verifyFilled(t, s, books)
	exportsAreExact(t, s, books)
	checkFiles(t, s)
	if out, err := s.Run(t.Context(), "check", "--level", "full"); err != nil {
		t.Errorf("holdfast-agent check: %v\n%s", err, out)
	}
}

// pass lets the cameras film for so long.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test was ended")
	}
}

func unplug(t *testing.T, c *fakecam.Camera, out bool) {
	t.Helper()
	if err := c.Turn(func(k *fakecam.Knobs) { k.Unplugged = out }); err != nil {
		t.Fatal(err)
	}
}

// verifyFilled sees that the program verifies each filled segment and says where it is from.
func verifyFilled(t *testing.T, s *house.Site, books []book) {
	t.Helper()
	var origins []string
	for _, b := range books {
		for _, seg := range b.segments {
			if seg.Origin == "" {
				continue
			}
			origins = append(origins, b.key)
			path := ""
			for _, p := range files(t, s) {
				f, _, h, err := open(p)
				if err != nil {
					t.Fatal(err)
				}
				if h.Segment == seg.ID {
					path = p
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			out, err := s.Run(t.Context(), "verify", path)
			if err != nil || !strings.Contains(out, "HOLDS") || !strings.Contains(out, "fetched from: card") {
				t.Errorf("verify %s: %v\n%s", filepath.Base(path), err, out)
			}
		}
	}
	if len(origins) < len(books) {
		t.Errorf("filled segments are of %v alone", origins)
	}
}
