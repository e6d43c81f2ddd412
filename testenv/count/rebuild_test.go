package count

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/api"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// TestTheLedgerIsLost: two cameras record, one goes away for a while, the agent is killed, its ledger is destroyed. It
// comes back from the files with the same account, recording goes on, and the cloud, which heard everything before, agrees.
func TestTheLedgerIsLost(t *testing.T) {
	t.Parallel()
	h := house.New(t, house.Setup{Cameras: 2})
	s := h.Sites[0]
	if err := s.Recording(t.Context(), 2, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Event(t.Context(), map[string]any{"kind": "door_opened", "text": "ring 1"}); err != nil {
		t.Fatal(err)
	}
	recorded := func(d time.Duration) {
		t.Helper()
		begun := time.Now()
		await(t, "some time", func(context.Context) (bool, error) { return time.Since(begun) > d, nil })
	}
	recorded(8 * time.Second)
	cam := s.Cameras.Camera("cam-2")
	if err := cam.Turn(func(k *fakecam.Knobs) { k.Offline = true }); err != nil {
		t.Fatal(err)
	}
	recorded(5 * time.Second)
	if err := cam.Restore(); err != nil {
		t.Fatal(err)
	}
	recorded(6 * time.Second)
	if err := s.Agent.Stop(25 * time.Second); err != nil { // segments are closed: what they sign is all there is
		t.Fatal(err)
	}
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	recorded(5 * time.Second)
	s.Line.Cut()
	if err := s.Event(t.Context(), map[string]any{"kind": "door_opened", "text": "ring 2"}); err != nil {
		t.Fatal(err)
	}
	recorded(3 * time.Second)
	if err := s.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	before := read(t, s)
	path := filepath.Join(s.Data, "ledger.db")
	if err := os.Truncate(path, 3*4096+100); err != nil { // no database any more
		t.Fatal(err)
	}
	run := func(works bool, words string, args ...string) {
		t.Helper()
		out, err := s.Run(t.Context(), args...)
		if works != (err == nil) || !strings.Contains(out, words) {
			t.Errorf("%v: %v, want %q\n%s", args, err, words, out)
		}
	}
	run(false, "check --rebuild", "run")
	run(false, "broken ledger", "check")
	run(true, "The ledger was built anew from ", "check", "--rebuild")
	run(true, "Everything is accounted for", "check", "--level", "full")
	run(true, "nothing was done", "check", "--rebuild")
	kept, err := filepath.Glob(path + ".broken-*")
	if err != nil || len(kept) == 0 {
		t.Errorf("the broken ledger is kept as %v, %v", kept, err)
	}
	after := read(t, s)
	for _, b := range before {
		i := slices.IndexFunc(after, func(a book) bool { return a.key == b.key })
		if i < 0 {
			t.Fatalf("%s is forgotten", b.key)
		}
		sameAccount(t, b, after[i])
	}

	if err := s.Line.Restore(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Recording(t.Context(), 2, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	recorded(5 * time.Second)
	end := time.Now().UnixMicro()
	if err := s.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	books := read(t, s)
	for i := range books {
		b := &books[i]
		b.from = b.segments[0].StartUs // before, the cloud may know what the site has forgotten
		b.ranges = slices.DeleteFunc(b.ranges, func(r ledger.Range) bool { return r.EndUs <= b.from })
	}
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkCloudKnowsMore(t, h, books, end)
	var page api.Events
	if err := h.Owner.Get(t.Context(), "/events?kind=door_opened&limit=500", &page); err != nil {
		t.Fatal(err)
	}
	rings := map[string]int{}
	for _, e := range page.Events {
		rings[e.Text]++
	}
	// The second was in the ledger alone, which could not be read any more: that is said, and it is the only loss.
	if rings["ring 1"] != 1 || rings["ring 2"] > 1 {
		t.Errorf("the cloud has the events %v", rings)
	}
}

// sameAccount compares what is known of the past before and after, up to the newest segment that was closed: the reason of
// a gap may be lost, but no gap and no video.
func sameAccount(t *testing.T, before, after book) {
	t.Helper()
	const frameUs = 66_667
	closed := func(b book) (out []ledger.Segment) {
		for _, s := range b.segments {
			if s.Parts > 0 && !s.Recovered {
				out = append(out, s)
			}
		}
		return out
	}
	same := func(a, b ledger.Segment) bool {
		near := abs(a.EndUs-b.EndUs) < frameUs // it is that of the last frame, in the file
		a.EndUs = b.EndUs
		return near && a == b
	}
	if was, is := closed(before), closed(after); !slices.EqualFunc(was, is, same) {
		t.Errorf("%s: segments %+v, they were %+v", before.key, is, was)
	}
	video := func(b book) (out []string) {
		for _, r := range b.ranges {
			if !r.Recorded || r.StartUs < before.segments[0].StartUs {
				continue
			}
			out = append(out, fmt.Sprint(r.StartUs/10_000))
		}
		return out
	}
	if was, is := video(before), video(after); !slices.Equal(was, is) {
		t.Errorf("%s: video begins at %v, it began at %v", before.key, is, was)
	}
	for _, r := range before.ranges {
		if r.Recorded || r.EndUs-r.StartUs < frameUs || r.StartUs < before.segments[0].StartUs {
			continue // a shorter one may be the last frame's, in the file
		}
		at := r.EndUs - 1
		i := slices.IndexFunc(after.ranges, func(a ledger.Range) bool { return a.StartUs <= at && at < a.EndUs })
		if i < 0 && r.Gap.EndUs == 0 {
			continue // it lasted
		}
		if i < 0 || after.ranges[i].Recorded {
			t.Errorf("%s: the gap %v from %d to %d is forgotten", before.key, r.Gap.Reason, r.StartUs, r.EndUs)
		}
	}
}

// checkCloudKnowsMore: what the cloud says is what the ledger says, but that it may still know a reason that the ledger
// has lost.
func checkCloudKnowsMore(t *testing.T, h *house.House, books []book, end int64) {
	t.Helper()
	for _, b := range books {
		for i := range b.ranges {
			r := &b.ranges[i]
			if !r.Recorded && r.Gap.Reason == "unknown" {
				g := *r.Gap
				g.Reason = "any"
				r.Gap = &g
			}
		}
	}
	for _, b := range books {
		var diff string
		err := house.Until(t.Context(), 60*time.Second, "the cloud's coverage of "+b.key+" equals the ledger", func(ctx context.Context) (bool, error) {
			var c api.Coverage
			err := h.Owner.Get(ctx, fmt.Sprintf("/cameras/%s/coverage?from_us=%d&to_us=%d&stream=main", b.stream.Camera, b.from, end), &c)
			for i := range c.Ranges {
				at := (c.Ranges[i].StartUs + c.Ranges[i].EndUs) / 2
				for _, r := range b.ranges {
					if !r.Recorded && r.Gap.Reason == "any" && r.StartUs <= at && at < r.EndUs && c.Ranges[i].State == "gap" {
						c.Ranges[i].Reason = "any"
					}
				}
			}
			if err == nil {
				diff = compare(b.ranges, c.Ranges, end)
			}
			return err == nil && diff == "", err
		})
		if err != nil {
			t.Errorf("%v: %s", err, diff)
		}
	}
}
