package count

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/api"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// slack is how far a frame's send time may lie from the time that the agent gives it: one frame at 15 a second, and
// the way through a loaded machine.
const slack = int64(66_667 + 150_000)

func plan() house.BranchPlan {
	return house.BranchPlan{Name: "Count", Cameras: []house.CameraPlan{
		{Key: "car-park", Name: "Car park", Place: "carpark"},
		{Key: "shop", Name: "Shop", Place: "shop"},
		{Key: "dock", Name: "Dock", Place: "dock"},
		{Key: "corridor", Name: "Corridor", Place: "corridor"},
		{Key: "yard", Name: "Yard", Place: "carpark-night"},
		{Key: "checkout", Name: "Checkout", Place: "checkout"},
	}}
}

// TestCount: 6 cameras, 90 s, the line cut for 30 s in the middle, the agent killed once.
func TestCount(t *testing.T) {
	t.Parallel()
	h := house.New(t, house.Setup{Branches: []house.BranchPlan{plan()}})
	s := h.Sites[0]
	begun := time.Now()
	at := func(d time.Duration) {
		t.Helper()
		select {
		case <-time.After(time.Until(begun.Add(d))):
		case <-t.Context().Done():
			t.Fatal("the test was ended")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	bell := &doorbell{site: s}
	var ringing sync.WaitGroup
	ringing.Go(func() { bell.ring(ctx) })

	at(30 * time.Second)
	s.Line.Cut()
	at(45 * time.Second)
	if err := s.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	at(60 * time.Second)
	if err := s.Line.Restore(); err != nil {
		t.Fatal(err)
	}
	at(90 * time.Second)
	cancel()
	ringing.Wait()
	end := time.Now().UnixMicro()
	if err := s.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	books := read(t, s)
	sent := logs(s)
	for key, n := range account(t, s, books, sent, end) {
		if n.sent < 1000 || n.kept < n.sent*8/10 {
			t.Errorf("%s: %d of %d frames on disk", key, n.kept, n.sent)
		}
	}
	checkFiles(t, s)
	if out, err := s.Run(t.Context(), "check", "--level", "full"); err != nil {
		t.Errorf("holdfast-agent check: %v\n%s", err, out)
	}

	// Started once more, the agent sends what it wrote while it ended.
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkEvents(t, h, bell)
	checkCloud(t, h, books, end)
	checkSecrets(t, h)
}

// doorbell posts an event a second and remembers those that were acked.
type doorbell struct {
	site  *house.Site
	acked []int
}

func (d *doorbell) ring(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// While the agent is down nothing answers: an event that was not acked was not promised.
		err := d.site.Event(ctx, map[string]any{"kind": "door_opened", "text": fmt.Sprintf("ring %d", n)})
		if err == nil {
			d.acked = append(d.acked, n)
		}
	}
}

// book is what the ledger says of one camera.
type book struct {
	key      string
	stream   id.Stream
	from     int64 // of the first thing known
	ranges   []ledger.Range
	segments []ledger.Segment
}

// read opens the stopped agent's ledger and returns its books.
func read(t *testing.T, s *house.Site) []book {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ids, err := s.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	var out []book
	for key, cam := range ids {
		b := book{key: key, stream: id.Stream{Camera: cam, Kind: id.Main}}
		if b.ranges, err = l.Coverage(t.Context(), b.stream, now-int64(time.Hour/time.Microsecond), now); err != nil {
			t.Fatal(err)
		}
		if b.segments, err = l.Segments(t.Context(), b.stream, 0, now); err != nil {
			t.Fatal(err)
		}
		if len(b.ranges) == 0 || len(b.segments) == 0 {
			t.Fatalf("%s: the ledger knows %d ranges and %d segments", key, len(b.ranges), len(b.segments))
		}
		b.from = b.ranges[0].StartUs
		out = append(out, b)
	}
	return out
}

// logs takes what the cameras sent before the agent starts again.
func logs(s *house.Site) map[string][]fakecam.Sent {
	out := map[string][]fakecam.Sent{}
	for _, c := range s.Cameras.Cameras() {
		out[c.Name()] = c.Main().Log(1, c.Main().Sent())
	}
	return out
}

// stamps counts the frames of a camera on disk by their numbers.
func stamps(t *testing.T, s *house.Site, b book) map[uint64]int {
	t.Helper()
	out, begins := map[uint64]int{}, map[uint64]int64{}
	for _, seg := range b.segments {
		begins[seg.ID] = seg.StartUs
	}
	for _, path := range files(t, s) {
		f, size, header, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if header.Camera == string(b.stream.Camera) && header.Stream == string(b.stream.Kind) {
			for part, err := range mp4.Parts(f, size) {
				if err != nil {
					t.Fatal(err)
				}
				if part.Sum.EndUs <= begins[header.Segment] {
					continue // what others need to be decoded
				}
				samples, err := mp4.ReadSamples(f, part)
				if err != nil {
					t.Fatal(err)
				}
				for _, sample := range samples {
					track := header.Tracks[sample.Track]
					if stamp, ok := fakecam.FindStamp(sample.Units, track.Codec == mp4.H265); ok && track.Codec.IsVideo() {
						out[stamp.Frame]++
					}
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func files(t *testing.T, s *house.Site) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(s.Data, "video"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".mp4") {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%d segment files, %v", len(out), err)
	}
	return out
}

// checkFiles decodes every segment.
func checkFiles(t *testing.T, s *house.Site) {
	t.Helper()
	list := files(t, s)
	for _, path := range list {
		out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", path, "-f", "null", "-").CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s does not decode cleanly: %v %s", filepath.Base(path), err, out)
		}
	}
	t.Logf("%d segments decode", len(list))
}

// checkEvents: every acked event is in the cloud once, in order.
func checkEvents(t *testing.T, h *house.House, bell *doorbell) {
	t.Helper()
	want := len(bell.acked)
	var got []string
	err := house.Until(t.Context(), 60*time.Second, "every event reaches the cloud", func(ctx context.Context) (bool, error) {
		got = got[:0]
		path := "/events?kind=door_opened&limit=500"
		var page api.Events
		if err := h.Owner.Get(ctx, path, &page); err != nil {
			return false, err
		}
		for i := len(page.Events) - 1; i >= 0; i-- { // newest first
			got = append(got, page.Events[i].Text)
		}
		return len(got) >= want, nil
	})
	if err != nil {
		t.Errorf("%v: %d of %d", err, len(got), want)
		return
	}
	next := 0
	for _, text := range got {
		if next < want && text == fmt.Sprintf("ring %d", bell.acked[next]) {
			next++
			continue
		}
		// An event whose ack was lost with the agent may be there too, once, at its place.
		t.Logf("event without an ack: %s", text)
	}
	if next != want || len(got) > want+1 {
		t.Errorf("the cloud has %d events, %d of the %d acked ones in order", len(got), next, want)
	}
	t.Logf("%d events acked, all in the cloud once and in order", want)
}

// checkCloud: what the cloud says of each moment is what the ledger says.
func checkCloud(t *testing.T, h *house.House, books []book, end int64) {
	t.Helper()
	for _, b := range books {
		var diff string
		err := house.Until(t.Context(), 60*time.Second, "the cloud's coverage of "+b.key+" equals the ledger", func(ctx context.Context) (bool, error) {
			var c api.Coverage
			err := h.Owner.Get(ctx, fmt.Sprintf("/cameras/%s/coverage?from_us=%d&to_us=%d&stream=main", b.stream.Camera, b.from, end), &c)
			diff = compare(b.ranges, c.Ranges, end)
			return err == nil && diff == "", err
		})
		if err != nil {
			t.Errorf("%v: %s", err, diff)
		}
	}
}

// compare says where the two accounts differ; empty when they do not.
func compare(site []ledger.Range, cloud []api.Range, end int64) string {
	type word struct {
		start, end int64
		what       string
	}
	var a, b []word
	add := func(list []word, w word) []word {
		w.end = min(w.end, end)
		if n := len(list); n > 0 && list[n-1].what == w.what {
			list[n-1].end = w.end
			return list
		}
		if w.end <= w.start {
			return list
		}
		return append(list, w)
	}
	for _, r := range site {
		what := "recorded"
		if !r.Recorded {
			what = string(r.Gap.Reason)
		}
		a = add(a, word{r.StartUs, r.EndUs, what})
	}
	for _, r := range cloud {
		what := r.State
		switch r.State {
		case "site", "cloud":
			what = "recorded"
		case "gap":
			what = r.Reason
		}
		b = add(b, word{r.StartUs, r.EndUs, what})
	}
	if len(a) != len(b) {
		return fmt.Sprintf("site %v, cloud %v", a, b)
	}
	for i := range a {
		if a[i].what != b[i].what || abs(a[i].start-b[i].start) > 1000 || abs(a[i].end-b[i].end) > 1000 {
			return fmt.Sprintf("site %v, cloud %v", a[i], b[i])
		}
	}
	return ""
}

// checkSecrets: a camera's password is nowhere but in the site's own configuration: not in the cloud's folder, not in
// a log, not in the agent's state.
func checkSecrets(t *testing.T, h *house.House) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".yaml") || strings.Contains(path, "/bin/") || strings.HasSuffix(path, ".mp4") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, form := range []string{house.CameraPassword, base64.StdEncoding.EncodeToString([]byte(house.CameraPassword)), url.QueryEscape(house.CameraPassword)} {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s holds a camera's password as %q", path, form)
			}
		}
		return nil
	})
	if err != nil || seen < 6 {
		t.Errorf("looked for passwords in %d files, %v", seen, err)
	}
}

func abs(n int64) int64 { return max(n, -n) }
