package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// cameras are fake cameras in a process of their own: what they cost is nobody's.
type cameras struct {
	process *house.Process
	control string
	names   []string
	urls    []string
}

// cameras starts n cameras of kbit kilobits a second.
func (b *bench) cameras(ctx context.Context, n, kbit int) (*cameras, error) {
	program, err := b.build(ctx, "fakecam", "./testenv/fakecam/cmd/fakecam")
	if err != nil {
		return nil, err
	}
	listen, err := house.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	control, err := house.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "-listen", listen, "-control", control,
		"-cameras", fmt.Sprint(n), "-heavy", fmt.Sprint(kbit))
	c := &cameras{control: "http://" + control}
	if c.process, err = house.Spawn("fakecam", filepath.Join(b.dir, "fakecam.log"), cmd); err != nil {
		return nil, err
	}
	for i := range n {
		name := fmt.Sprintf("cam%d", i+1)
		c.names = append(c.names, name)
		c.urls = append(c.urls, fmt.Sprintf("rtsp://%s/%s/main", listen, name))
	}
	// The loop is made at the first start, which takes seconds.
	return c, house.Until(ctx, 2*time.Minute, "the cameras' control answers", func(ctx context.Context) (bool, error) {
		var all []any
		return c.get(ctx, "/cameras", &all) == nil, c.process.Alive()
	})
}

func (c *cameras) close() error { return c.process.Stop(10 * time.Second) }

// list is the addresses, one a line.
func (c *cameras) list() string { return strings.Join(c.urls, "\n") + "\n" }

func (c *cameras) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the cameras' control answers %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// plan declares a site of these cameras.
func (c *cameras) plan(yaml string) house.BranchPlan {
	p := house.BranchPlan{Name: "Bench", YAML: yaml}
	for i, url := range c.urls {
		p.Cameras = append(p.Cameras, house.CameraPlan{Key: c.names[i], Name: c.names[i], Main: url})
	}
	return p
}

// account is what became of the frames that the cameras sent while they were recorded.
type account struct {
	sent   int
	lost   int // not on disk, declared or not
	silent int // lost, and in no declared gap
}

// account compares what the cameras sent with what is on the stopped agent's disk: up to each of the moments, from
// the one before on.
func (c *cameras) account(ctx context.Context, s *house.Site, video string, untilUs ...int64) ([]account, error) {
	ids, err := s.CameraIDs()
	if err != nil {
		return nil, err
	}
	onDisk, err := house.Frames(video)
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }() // it was only read
	sums, end := make([]account, len(untilUs)), untilUs[len(untilUs)-1]
	for _, name := range c.names {
		var sent []fakecam.Sent
		if err := c.get(ctx, "/cameras/"+name+"/main/sent", &sent); err != nil {
			return nil, err
		}
		stream := id.Stream{Camera: ids[name], Kind: id.Main}
		ranges, err := l.Coverage(ctx, stream, end-int64(24*time.Hour/time.Microsecond), end)
		if err != nil {
			return nil, err
		}
		count(sums, untilUs, sent, onDisk[stream], ranges)
	}
	return sums, nil
}

// trouble returns how often the cameras themselves were too slow, and how many packets they threw away because they
// were not fetched: where it grows, a figure says more of the machine than of the agent.
func (c *cameras) trouble(ctx context.Context) (late, overflow int, err error) {
	var all []struct {
		Streams map[string]struct{ Counters fakecam.Counters }
	}
	if err := c.get(ctx, "/cameras", &all); err != nil {
		return 0, 0, err
	}
	for _, cam := range all {
		late += int(cam.Streams["main"].Counters.Late)
		overflow += int(cam.Streams["main"].Counters.Overflow)
	}
	return late, overflow, nil
}

// onTheWay is how long a frame may be on its way to the disk on a busy machine: the agent records so much longer than
// frames are counted.
const onTheWay = 3 * time.Second

// count counts one camera, from its first frame on disk on. A lost frame is declared when a gap lies between the
// frames on disk before and after it: the agent's own times decide, since a busy machine delays frames on their way.
func count(sums []account, untilUs []int64, sent []fakecam.Sent, onDisk map[uint64]int64, ranges []ledger.Range) {
	before, end := int64(0), untilUs[len(untilUs)-1]
	missing := make([]int, len(sums))
	settle := func(toUs int64) {
		for i, n := range missing {
			sums[i].miss(n, ranges, before, toUs)
			missing[i] = 0
		}
	}
	for _, f := range sent {
		at, kept := onDisk[f.Frame]
		if f.AtUs > end || !kept && before == 0 {
			continue
		}
		i := slices.IndexFunc(untilUs, func(us int64) bool { return f.AtUs <= us })
		sums[i].sent++
		if !kept {
			missing[i]++
			continue
		}
		settle(at)
		before = at
	}
	settle(end)
	if before == 0 { // nothing of this camera
		sums[0].lost += len(sent)
		sums[0].silent += len(sent)
	}
}

func (a *account) miss(frames int, ranges []ledger.Range, fromUs, toUs int64) {
	a.lost += frames
	for _, r := range ranges {
		if !r.Recorded && r.StartUs < toUs && r.EndUs > fromUs {
			return
		}
	}
	a.silent += frames
}

// say prints what was lost.
func (a account) say(name string) {
	say(name+"_lost_frames", a.lost, fmt.Sprintf("frames of %d (%d of them not declared)", a.sent, a.silent))
}
