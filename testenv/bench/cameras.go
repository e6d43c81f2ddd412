package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
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
	sent     int
	lost     int // not on disk, declared or not
	silent   int // lost, and in no declared gap
	late     int // moments at which the cameras themselves were too slow
	overflow int // packets that the cameras threw away because they were not read
}

// account compares what the cameras sent up to a moment with what is on the stopped agent's disk.
func (c *cameras) account(ctx context.Context, s *house.Site, video string, endUs int64) (account, error) {
	var sum account
	ids, err := s.CameraIDs()
	if err != nil {
		return sum, err
	}
	onDisk, err := stamps(video)
	if err != nil {
		return sum, err
	}
	l, err := ledger.Open(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return sum, err
	}
	defer func() { _ = l.Close() }() // it was only read
	for _, name := range c.names {
		var state struct {
			Streams map[string]struct{ Counters fakecam.Counters }
		}
		if err := c.get(ctx, "/cameras/"+name, &state); err != nil {
			return sum, err
		}
		sum.late += int(state.Streams["main"].Counters.Late)
		sum.overflow += int(state.Streams["main"].Counters.Overflow)
		var sent []fakecam.Sent
		if err := c.get(ctx, "/cameras/"+name+"/main/sent", &sent); err != nil {
			return sum, err
		}
		stream := id.Stream{Camera: ids[name], Kind: id.Main}
		ranges, err := l.Coverage(ctx, stream, endUs-int64(24*time.Hour/time.Microsecond), endUs)
		if err != nil {
			return sum, err
		}
		sum.add(sent, onDisk[ids[name]], ranges, endUs)
	}
	return sum, nil
}

// endSlack is how long before its end the agent may not have got a frame yet, µs.
const endSlack = 250_000

// add counts one camera, from its first frame on disk on. A lost frame is declared when a gap lies between the frames
// on disk before and after it: the agent's own times decide, since a busy machine delays frames on their way.
func (a *account) add(sent []fakecam.Sent, onDisk map[uint64]int64, ranges []ledger.Range, endUs int64) {
	before, missing := int64(0), 0
	for _, f := range sent {
		at, kept := onDisk[f.Frame]
		if f.AtUs > endUs-endSlack || !kept && before == 0 {
			continue
		}
		a.sent++
		if !kept {
			missing++
			continue
		}
		a.miss(missing, ranges, before, at)
		before, missing = at, 0
	}
	a.miss(missing, ranges, before, endUs)
	if before == 0 {
		a.lost += len(sent)
		a.silent += len(sent)
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

// stamps reads the numbers of all frames under a folder, by camera, with their wall times in the files, µs.
func stamps(dir string) (map[id.Camera]map[uint64]int64, error) {
	out := map[id.Camera]map[uint64]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".mp4") {
			return err
		}
		return readStamps(path, out)
	})
	return out, err
}

func readStamps(path string, into map[id.Camera]map[uint64]int64) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header, _, err := mp4.ReadHeader(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	numbers := into[id.Camera(header.Camera)]
	if numbers == nil {
		numbers = map[uint64]int64{}
		into[id.Camera(header.Camera)] = numbers
	}
	for part, err := range mp4.Parts(file, info.Size()) {
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		samples, err := mp4.ReadSamples(file, part)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, s := range samples {
			track := header.Tracks[s.Track]
			if stamp, ok := fakecam.FindStamp(s.Units, track.Codec == mp4.H265); ok {
				numbers[stamp.Frame] = part.Sum.StartUs + s.DTS*1_000_000/int64(track.Timescale) - part.Sum.MediaUs
			}
		}
	}
	return nil
}
