//go:build linux

package nat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
	"holdfast/testenv/nat/viewer"
	"holdfast/testenv/ownnet"
	"holdfast/testenv/scenes"
)

// TestManyViewersAreOneCopy has many people elsewhere watch the cameras of a site behind a line of 20 Mbit/s: each camera
// goes over the line once, from the relay everybody gets every picture, and nothing that is recorded suffers.
func TestManyViewersAreOneCopy(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	c := crowdPlan{site: PortRestricted, viewer: PortRestricted, viewers: 6, cameras: 2, kbit: 2000, hold: 6 * time.Second, copies: 1.25}
	if *long {
		c.viewers, c.cameras, c.kbit, c.hold = 20, 4, 3000, time.Minute
	}
	c.watch(t)
}

// TestACrowdBehindFirewalls: neither the site nor the viewers reach anything but port 443.
func TestACrowdBehindFirewalls(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	crowdPlan{site: Only443, viewer: Only443, viewers: 3, cameras: 1, kbit: 1000, hold: 4 * time.Second, copies: 1.5}.watch(t)
}

// What the site's line carries, and what the agent may take of it, in kbit/s.
const (
	lineKbit = 20_000
	capKbit  = 18_000
)

// crowdPlan is a crowd and its site.
type crowdPlan struct {
	site, viewer           Router
	viewers, cameras, kbit int
	hold                   time.Duration
	copies                 float64 // at most, with what RTP, SRTP, UDP and a TURN server's heads add
}

func (c crowdPlan) watch(t *testing.T) {
	t.Helper()
	i := New(t, c.site, c.viewer)
	if err := i.narrow(lineKbit); err != nil {
		t.Fatal(err)
	}
	loop, err := scenes.Heavy(t.Context(), filepath.Join(os.TempDir(), "holdfast-scenes"), c.kbit)
	if err != nil {
		t.Fatal(err)
	}
	branch := house.BranchPlan{YAML: fmt.Sprintf("line: {up: %dkbit}\n", capKbit)}
	for n := range c.cameras {
		branch.Cameras = append(branch.Cameras, house.CameraPlan{Key: fmt.Sprintf("cam%d", n+1), Name: fmt.Sprintf("Camera %d", n+1), Loop: loop, Mute: true})
	}
	h, env := settle(t, i, t.TempDir(), branch, ownTURN()...)
	site := h.Sites[0]
	ids, err := site.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	order := viewer.Order{
		Cloud: h.URL, Email: house.OwnerEmail, Password: house.OwnerPassword, Site: string(site.ID), Limit: c.hold + 2*time.Minute, Gather: gather,
		Crowd: &viewer.Crowd{Viewers: c.viewers, Every: 300 * time.Millisecond, Settle: 6 * time.Second, Hold: c.hold},
	}
	for n := range c.cameras {
		order.Crowd.Cameras = append(order.Crowd.Cameras, string(ids[fmt.Sprintf("cam%d", n+1)]))
	}
	up := watchUplink(t, i)
	var seen []viewer.Seen
	if look(t, i, env, order, &seen); len(seen) == 0 {
		t.Fatal("nobody has watched")
	}
	c.check(t, h, seen, up(seen[0].From, seen[0].To), loop)
	c.recorded(t, h, ids, seen[0].From, seen[0].To)
}

// check holds what the viewers saw, and what went over the line, against what must be.
func (c crowdPlan) check(t *testing.T, h *house.House, seen []viewer.Seen, sent rates, loop *scenes.Loop) {
	t.Helper()
	want := int(c.hold.Seconds() * float64(loop.FPS) * 0.9)
	first := []time.Duration{}
	for n, s := range seen {
		if s.Error != "" || s.Pictures < want || s.Missing > 0 {
			t.Errorf("viewer %d: %+v, want %d pictures and none missing", n+1, s, want)
		}
		if last := s.Ways[max(len(s.Ways)-1, 0):]; c.viewers > c.cameras && !slices.Equal(last, []string{"relay"}) {
			t.Errorf("viewer %d is served by %v at last, want the relay", n+1, s.Ways)
		}
		first = append(first, s.First)
	}
	slices.Sort(first)
	one := float64(c.cameras*loop.Bitrate()) / 1000
	fmt.Printf("relay_viewers: %d viewers\nrelay_first_frame_p50: %d ms\nrelay_first_frame_last: %d ms\n", len(seen),
		first[len(first)/2].Milliseconds(), first[len(first)-1].Milliseconds())
	fmt.Printf("relay_uplink: %.0f kbit/s\nrelay_uplink_peak: %.0f kbit/s\nrelay_uplink_copies: %.2f copies\n", sent.mean, sent.peak, sent.mean/one)
	if copies := sent.mean / one; copies > c.copies || copies < 0.7 {
		t.Errorf("%.0f kbit/s went over the line while all watched: %.2f copies of %.0f", sent.mean, copies, one)
	}
	if sent.peak > capKbit*1.1 {
		t.Errorf("%.0f kbit/s went over the line in a second, of which the agent may take %d", sent.peak, capKbit)
	}
	if t.Failed() {
		t.Logf("the cloud's log ends with:\n%s\nthe agent's log ends with:\n%s", h.Cloud.Tail(20), h.Sites[0].Agent.Tail(20))
	}
}

// recorded counts the frames on disk: of those that the cameras sent while all watched not one is missing.
func (c crowdPlan) recorded(t *testing.T, h *house.House, ids map[string]id.Camera, from, to time.Time) {
	t.Helper()
	s := h.Sites[0]
	sent := map[string][]fakecam.Sent{}
	for _, camera := range s.Cameras.Cameras() {
		sent[camera.Name()] = camera.Main().Log(1, camera.Main().Sent())
	}
	if err := s.Agent.Stop(25 * time.Second); err != nil { // all that came is on disk then
		t.Fatal(err)
	}
	kept, err := house.Frames(filepath.Join(s.Data, "video"))
	if err != nil {
		t.Fatal(err)
	}
	for name, camera := range ids {
		all, missing := 0, []uint64{}
		for _, f := range sent[name] {
			if f.AtUs < from.UnixMicro() || f.AtUs > to.UnixMicro() {
				continue
			}
			all++
			if _, ok := kept[id.Stream{Camera: camera, Kind: id.Main}][f.Frame]; !ok {
				missing = append(missing, f.Frame)
			}
		}
		if want := int(to.Sub(from).Seconds()) * 10; all < want || len(missing) > 0 {
			t.Errorf("%s sent %d frames while it was watched (at least %d are expected), and %d of them are not recorded: %v",
				name, all, want, len(missing), missing[:min(len(missing), 10)])
		}
	}
}

// uplinkEvery is the time over which a rate is taken: what the agent may take in a moment is a tenth of a second's worth.
const uplinkEvery = 2 * time.Second

// rates are what went over the site's line, in kbit/s.
type rates struct{ mean, peak float64 }

// reading is what had gone over the site's line at a moment.
type reading struct {
	at    time.Time
	bytes int64
}

// kbit is the rate between two readings.
func (r reading) kbit(later reading) float64 {
	return float64(later.bytes-r.bytes) * 8 / 1000 / later.at.Sub(r.at).Seconds()
}

// watchUplink counts what leaves the site. The returned function ends that, and tells the rate between two moments, and the
// highest at all over uplinkEvery.
func watchUplink(t *testing.T, i *Internet) func(from, to time.Time) rates {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan []reading, 1)
	go func() {
		var all []reading
		defer func() { ended <- all }()
		tick := time.NewTicker(uplinkEvery / 8)
		defer tick.Stop()
		for {
			n, err := i.sent()
			if err != nil {
				return
			}
			all = append(all, reading{time.Now(), n})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(from, to time.Time) (r rates) {
		cancel()
		all := <-ended
		var within []reading
		for n, one := range all {
			if one.at.After(from) && one.at.Before(to) {
				within = append(within, one)
			}
			for _, later := range all[n:] {
				if later.at.Sub(one.at) >= uplinkEvery {
					r.peak = max(r.peak, one.kbit(later))
					break
				}
			}
		}
		if len(within) > 1 {
			r.mean = within[0].kbit(within[len(within)-1])
		}
		return r
	}
}

// ethernet is the head that a frame has before its IP packet.
const ethernet = 14

// sent returns the bytes of IP packets that the site's router has sent to the Internet.
func (i *Internet) sent() (n int64, err error) {
	err = i.siteRouter.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev") // proc_pid_net(5)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			name, counts, _ := strings.Cut(strings.TrimSpace(line), ":")
			if f := strings.Fields(counts); name == "wan" && len(f) > 9 {
				bytes, err := strconv.ParseInt(f[8], 10, 64)
				packets, other := strconv.ParseInt(f[9], 10, 64)
				n = bytes - packets*ethernet
				return errors.Join(err, other)
			}
		}
		return errors.New("the site's router has no link to the Internet")
	})
	return n, err
}
