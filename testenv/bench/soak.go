package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/testenv/house"
)

// soaked is a house for hours: its recordings end at a bound, so that retention is at work as well.
func soaked() []house.BranchPlan {
	cameras := func(places ...string) (all []house.CameraPlan) {
		for _, p := range places {
			all = append(all, house.CameraPlan{Key: p, Name: p, Place: p, Sub: true})
		}
		return all
	}
	const bound = "record: {max: 200MB}"
	return []house.BranchPlan{
		{Name: "North", Cameras: cameras("carpark", "shop", "dock", "corridor"), YAML: bound},
		{Name: "South", Cameras: cameras("checkout", "carpark-night", "shop", "carpark"), YAML: bound},
	}
}

// soakSample is what somebody holds on to at a moment; see testenv/e2e/soak.mjs for the browser's.
type soakSample struct {
	Where     string  `json:"where"`
	At        float64 `json:"at"` // seconds since the beginning
	Heap      float64 `json:"heap"`
	Nodes     float64 `json:"nodes"`
	Listeners float64 `json:"listeners"`
	Pictures  float64 `json:"pictures"`
	Views     float64 `json:"views"`

	RSS   float64 `json:"-"` // of a program
	Files float64 `json:"-"`
}

// soak watches for b.soaking, on a wall and from camera to camera, and measures whether anything grows.
func (b *bench) soak(ctx context.Context) (err error) {
	h, err := house.Start(ctx, house.Setup{Dir: filepath.Join(b.dir, "soak"), Branches: soaked()})
	if h != nil {
		defer func() { err = errors.Join(err, h.Close()) }()
	}
	if err != nil {
		return err
	}
	for _, s := range h.Sites {
		if err := s.Recording(ctx, len(s.BranchPlan.Cameras), time.Minute); err != nil {
			return err
		}
	}
	samples, err := b.look(ctx, h)
	if err != nil {
		return err
	}
	err = grown(samples)
	for _, s := range h.Sites {
		if stopped := s.Agent.Stop(30 * time.Second); stopped != nil {
			return errors.Join(err, stopped)
		}
		if out, checked := s.Run(ctx, "check", "--level", "full"); checked != nil {
			err = errors.Join(err, fmt.Errorf("site %s: %w\n%s", s.Name, checked, out))
		}
	}
	return err
}

// look has the browser watch, and takes the programs' measure whenever it says something.
func (b *bench) look(ctx context.Context, h *house.House) ([]soakSample, error) {
	every := min(max(b.soaking/120, 5*time.Second), time.Minute)
	cmd := exec.CommandContext(ctx, "node", filepath.Join(house.Root(), "testenv", "e2e", "soak.mjs"))
	order := fmt.Sprintf(`{"seconds": %v, "every": %v}`, b.soaking.Seconds(), every.Seconds())
	cmd.Env = append(os.Environ(), "ORDER="+order, "PORTAL="+h.URL, "OWNER="+house.OwnerEmail, "PASSWORD="+house.OwnerPassword)
	var words bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &words, 10*time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	var samples []soakSample
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var s soakSample
		if err = json.Unmarshal(lines.Bytes(), &s); err != nil {
			break
		}
		samples = append(samples, s)
		if s.Where != "wall" {
			continue
		}
		programs := map[string]*house.Process{"cloud": h.Cloud, "agent north": h.Sites[0].Agent, "agent south": h.Sites[1].Agent}
		for where, p := range programs {
			one := soakSample{Where: where, At: s.At}
			if one.RSS, one.Files, err = holding(p.PID()); err != nil {
				break
			}
			samples = append(samples, one)
		}
	}
	if err != nil {
		_ = cmd.Process.Kill() // what it says can't be used
	}
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("%w: %s", ended, strings.TrimSpace(words.String()))
	}
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return samples, nil
}

// holding returns a process's resident memory in bytes and its open files, from proc(5).
func holding(pid int) (rss, files float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("statm of process %d is %q", pid, text)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0, 0, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return pages * float64(os.Getpagesize()), float64(len(open)), err
}

// grown prints what was held in the second quarter of the time and in the last one, and fails where that has grown: the
// first quarter is for caches and for the heap to find its size.
func grown(samples []soakSample) error {
	end := samples[len(samples)-1].At
	say("soak_viewing", end/3600, "hours")
	const mb = 1 << 20
	var errs []error
	for _, m := range []struct {
		name, where, unit string
		of                func(soakSample) float64
		share, more       float64 // how much it may grow: a share, or so much
	}{
		{"agent_north_rss", "agent north", "MB", func(s soakSample) float64 { return s.RSS / mb }, 0.1, 8},
		{"agent_south_rss", "agent south", "MB", func(s soakSample) float64 { return s.RSS / mb }, 0.1, 8},
		{"cloud_rss", "cloud", "MB", func(s soakSample) float64 { return s.RSS / mb }, 0.1, 8},
		{"agent_north_files", "agent north", "open files", func(s soakSample) float64 { return s.Files }, 0, 8},
		{"agent_south_files", "agent south", "open files", func(s soakSample) float64 { return s.Files }, 0, 8},
		{"cloud_files", "cloud", "open files", func(s soakSample) float64 { return s.Files }, 0, 8},
		{"wall_heap", "wall", "MB", func(s soakSample) float64 { return s.Heap / mb }, 0.1, 2},
		{"wall_nodes", "wall", "nodes", func(s soakSample) float64 { return s.Nodes }, 0.1, 200},
		{"wall_listeners", "wall", "listeners", func(s soakSample) float64 { return s.Listeners }, 0.1, 50},
		{"desk_heap", "desk", "MB", func(s soakSample) float64 { return s.Heap / mb }, 0.1, 2},
		{"desk_nodes", "desk", "nodes", func(s soakSample) float64 { return s.Nodes }, 0.1, 200},
		{"desk_listeners", "desk", "listeners", func(s soakSample) float64 { return s.Listeners }, 0.1, 50},
	} {
		early, late := middle(samples, m.where, end/4, end/2, m.of), middle(samples, m.where, end*3/4, end+1, m.of)
		say("soak_"+m.name, late, fmt.Sprintf("%s at the end, %.4g before (%.3g an hour)", m.unit, early, (late-early)/(end/2/3600)))
		if late-early > max(early*m.share, m.more) {
			errs = append(errs, fmt.Errorf("%s grew from %.4g to %.4g %s", m.name, early, late, m.unit))
		}
	}
	pictures, views := 0.0, 0.0
	for _, s := range samples {
		pictures, views = pictures+s.Pictures, max(views, s.Views)
	}
	say("soak_pictures", pictures, "on the wall")
	say("soak_visits", views, "to a camera's page: live, recorded, live")
	return errors.Join(errs...)
}

// middle is the median of what somebody held between two moments.
func middle(samples []soakSample, where string, from, to float64, of func(soakSample) float64) float64 {
	var all []float64
	for _, s := range samples {
		if s.Where == where && s.At >= from && s.At < to {
			all = append(all, of(s))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
