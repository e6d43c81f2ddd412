package real

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/api"
	"holdfast/shared/id"
	"holdfast/testenv/house"
)

var (
	long     = flag.Bool("long", false, "have the faults last as long as they do at sites")
	programs string // folder of what TestMain has built for all houses
)

// TestMain builds the programs. The tests wait more than they work: more of them run at once than there are processors.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "holdfast-programs-*")
	if err != nil {
		panic(err)
	}
	if err := house.Build(context.Background(), dir); err != nil {
		panic(err)
	}
	programs = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // a temporary folder: what is left of it harms nobody
	os.Exit(code)
}

// branch is a house of one site whose door rings.
type branch struct {
	*testing.T
	house *house.House
	site  *house.Site
	rung  []string // what was acked at the site, in order
	tries int

	known string // fault that the check may find
}

// open starts a house with one camera, if nothing else is said, in parallel with the other tests, and waits until the cloud
// says that it is recorded.
func open(t *testing.T, setup house.Setup) *branch {
	t.Helper()
	if len(setup.Branches) == 0 {
		setup.Branches = []house.BranchPlan{{Name: "Line", Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Place: "dock", Mute: true}}}}
	}
	b := start(t, setup)
	if err := b.site.Recording(t.Context(), len(setup.Branches[0].Cameras), time.Minute); err != nil {
		t.Fatal(err)
	}
	b.until(time.Minute, "each camera has video: recording begins at a key frame", b.filmed)
	return b
}

// filmed says whether the cloud knows of video of every camera.
func (b *branch) filmed(ctx context.Context) (bool, error) {
	ids, err := b.site.CameraIDs()
	if err != nil {
		return false, err
	}
	for _, camera := range ids {
		var covered struct {
			FirstUS int64 `json:"first_us"`
		}
		now := time.Now().UnixMicro()
		path := fmt.Sprintf("/cameras/%s/coverage?stream=main&from_us=%d&to_us=%d", camera, now-1_000_000, now)
		if err := b.house.Owner.Get(ctx, path, &covered); err != nil || covered.FirstUS == 0 {
			return false, err
		}
	}
	return true, nil
}

// start starts a house in parallel with the other tests.
func start(t *testing.T, setup house.Setup) *branch {
	t.Helper()
	t.Parallel()
	setup.Programs = programs
	setup.Cloud = append(setup.Cloud, "--grace", "1s")
	h := house.New(t, setup)
	return &branch{T: t, house: h, site: h.Sites[0]}
}

// ring puts n events into the site's window and remembers those that were acked: the others were not promised.
func (b *branch) ring(n int) {
	b.Helper()
	for range n {
		b.tries++
		text := fmt.Sprintf("ring %d", b.tries)
		if err := b.site.Event(b.Context(), map[string]any{"kind": "door_opened", "text": text, "id": text}); err != nil {
			b.Errorf("the site did not take an event: %v", err)
			continue
		}
		b.rung = append(b.rung, text)
	}
}

// during rings every so often while something lasts.
func (b *branch) during(d time.Duration) {
	b.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(d); ; {
		select {
		case <-tick.C:
			b.ring(1)
		case <-end:
			return
		case <-b.Context().Done():
			b.Fatal("the test was ended")
		}
	}
}

// until waits for a condition.
func (b *branch) until(limit time.Duration, what string, ask func(context.Context) (bool, error)) {
	b.Helper()
	if err := house.Until(b.Context(), limit, what, ask); err != nil {
		b.Fatal(err)
	}
}

// restore ends a fault of the line.
func (b *branch) restore() {
	b.Helper()
	if err := b.site.Line.Restore(); err != nil {
		b.Fatal(err)
	}
}

// connected asks whether the agent says that it has a session.
func connected(ctx context.Context, s *house.Site) (bool, error) {
	status, err := s.Status(ctx)
	if err != nil {
		return false, err
	}
	cloud, _ := status["cloud"].(map[string]any)
	return cloud["connected"] == true, nil
}

// told returns the texts of the site's door events in the cloud, oldest first.
func (b *branch) told(ctx context.Context) (out []string, err error) {
	path := "/events?kind=door_opened&limit=500&site=" + string(b.site.ID)
	for next := ""; ; {
		var page api.Events
		if err := b.house.Owner.Get(ctx, path+next, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			out = append(out, e.Text)
		}
		if page.Next == "" {
			slices.Reverse(out)
			return out, nil
		}
		next = "&before=" + page.Next
	}
}

// settled waits until the cloud has every event of the site, once and in order; then it holds the two accounts against
// each other.
func (b *branch) settled(limit time.Duration) {
	b.Helper()
	b.inOrder(limit)
	b.sameBooks(limit, time.Now().Add(-24*time.Hour).UnixMicro())
}

// sameBooks stops the agent, has it check itself to the last byte, and holds the site's account of every moment since
// fromUs against the cloud's.
func (b *branch) sameBooks(limit time.Duration, fromUs int64) {
	b.Helper()
	end := time.Now().UnixMicro()
	b.sound()
	books, from := b.books(fromUs, end)
	if err := b.site.StartAgent(b.Context()); err != nil { // it sends what it wrote while it ended
		b.Fatal(err)
	}
	for camera, ranges := range books {
		var diff string
		err := house.Until(b.Context(), limit, "the cloud's account equals the site's", func(ctx context.Context) (bool, error) {
			var c api.Coverage
			path := fmt.Sprintf("/cameras/%s/coverage?from_us=%d&to_us=%d&stream=main", camera, from, end)
			if err := b.house.Owner.Get(ctx, path, &c); err != nil {
				return false, err
			}
			diff = differ(words(ranges, end), cloudWords(c.Ranges, end))
			return diff == "", nil
		})
		if err != nil {
			b.Errorf("%v: %s", err, diff)
		}
	}
}

// inOrder waits until the cloud has every event of the site, once and in order.
func (b *branch) inOrder(limit time.Duration) {
	b.Helper()
	var got []string
	if err := house.Until(b.Context(), limit, "the cloud has every event of the site", func(ctx context.Context) (ok bool, err error) {
		got, err = b.told(ctx)
		return len(got) >= len(b.rung), err
	}); err != nil {
		b.Errorf("%v: it has %d of %d", err, len(got), len(b.rung))
	}
	if !slices.Equal(got, b.rung) {
		b.Errorf("the cloud has the events\n%s\nand the site acked\n%s", strings.Join(got, ", "), strings.Join(b.rung, ", "))
	}
}

// sound stops the agent and has it check itself to the last byte.
func (b *branch) sound() {
	b.Helper()
	if err := b.site.Agent.Stop(25 * time.Second); err != nil {
		b.Fatal(err)
	}
	out, err := b.site.Run(b.Context(), "check", "--level", "full")
	if err == nil {
		return
	}
	found := false
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "broken ") {
			known := b.known != "" && strings.HasSuffix(strings.TrimSpace(line), b.known)
			found = found || known
			if !known {
				b.Errorf("check: %v: %s", err, line)
			}
		}
	}
	if !found && !b.Failed() {
		b.Errorf("check: %v\n%s", err, out)
	}
}

// books reads the stopped agent's account of each camera since fromUs: without a hole, from its first moment on to the end.
func (b *branch) books(fromUs, end int64) (out map[id.Camera][]ledger.Range, from int64) {
	b.Helper()
	l, err := ledger.View(b.Context(), filepath.Join(b.site.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }() // read only
	ids, err := b.site.CameraIDs()
	if err != nil {
		b.Fatal(err)
	}
	out, from = map[id.Camera][]ledger.Range{}, end
	for _, camera := range ids {
		ranges, err := l.Coverage(b.Context(), id.Stream{Camera: camera, Kind: id.Main}, fromUs, end)
		if err != nil || len(ranges) == 0 {
			b.Fatalf("%d ranges of camera %s, %v", len(ranges), camera, err)
		}
		for i, r := range ranges[1:] {
			if r.StartUs != ranges[i].EndUs {
				b.Errorf("camera %s: nothing is declared from %d to %d", camera, ranges[i].EndUs, r.StartUs)
			}
		}
		out[camera] = ranges
		if last := ranges[len(ranges)-1].EndUs; last < end {
			b.Errorf("camera %s: the account ends %d ms before the agent was told to stop", camera, (end-last)/1000)
		}
		from = min(from, ranges[0].StartUs)
	}
	return out, from
}

// word is a stretch of an account.
type word struct {
	start, end int64
	what       string
}

func words(ranges []ledger.Range, end int64) (out []word) {
	for _, r := range ranges {
		what := "recorded"
		if !r.Recorded {
			what = string(r.Gap.Reason)
		}
		out = join(out, word{r.StartUs, min(r.EndUs, end), what})
	}
	return out
}

func cloudWords(ranges []api.Range, end int64) (out []word) {
	for _, r := range ranges {
		what := r.State
		switch r.State {
		case "site", "cloud":
			what = "recorded"
		case "gap":
			what = r.Reason
		}
		out = join(out, word{r.StartUs, min(r.EndUs, end), what})
	}
	return out
}

func join(list []word, w word) []word {
	if n := len(list); n > 0 && list[n-1].what == w.what {
		list[n-1].end = w.end
		return list
	}
	return append(list, w)
}

// differ says where two accounts part by more than a millisecond.
func differ(site, cloud []word) string {
	if len(site) != len(cloud) {
		return fmt.Sprintf("the site says %v and the cloud %v", site, cloud)
	}
	for i, a := range site {
		if b := cloud[i]; a.what != b.what || far(a.start, b.start) || far(a.end, b.end) {
			return fmt.Sprintf("the site says %v and the cloud %v", a, b)
		}
	}
	return ""
}

func far(a, b int64) bool { return max(a-b, b-a) > 1000 }
