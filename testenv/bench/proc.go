package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/shared/backoff"
)

// usage is what a process group used over a time.
type usage struct {
	cpu, wall time.Duration
	peak      int64 // bytes of resident memory, at most
}

// share is the part of one core, in percent.
func (u usage) share() float64 { return 100 * float64(u.cpu) / float64(u.wall) }

// watch measures a process and its group for d. It fails when the group is gone at the end.
func watch(ctx context.Context, group int, d time.Duration) (usage, error) {
	begun := time.Now()
	from, peak, err := spent(group)
	if err != nil {
		return usage{}, err
	}
	for left := d; left > 0; left = d - time.Since(begun) {
		if err := backoff.Sleep(ctx, min(left, time.Second)); err != nil {
			return usage{}, err
		}
		_, memory, err := spent(group)
		if err != nil {
			return usage{}, err
		}
		peak = max(peak, memory)
	}
	to, memory, err := spent(group)
	if err == nil && memory == 0 {
		err = fmt.Errorf("process %d ended early", group)
	}
	return usage{cpu: to - from, wall: time.Since(begun), peak: peak}, err
}

// spent sums what the processes of a group have used: processor time, user and system, and resident memory, from
// proc(5).
func spent(group int) (cpu time.Duration, rss int64, err error) {
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	for _, path := range list {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process") {
			continue // ended meanwhile
		}
		if err != nil {
			return 0, 0, err
		}
		// The name in parentheses may hold blanks; fields are counted from behind it, the third being the first.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 22 {
			return 0, 0, fmt.Errorf("%s has %d fields", path, len(fields))
		}
		if fields[5-3] != strconv.Itoa(group) {
			continue
		}
		var ticks, pages int64
		for _, n := range []int{14, 15, 16, 17} { // of itself, and of children that ended
			v, err := strconv.ParseInt(fields[n-3], 10, 64)
			if err != nil {
				return 0, 0, err
			}
			ticks += v
		}
		if pages, err = strconv.ParseInt(fields[24-3], 10, 64); err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		rss += pages * int64(os.Getpagesize())
	}
	return cpu, rss, nil
}

// hasFlag says whether the processor has a feature, by its name in /proc/cpuinfo.
func hasFlag(name string) bool {
	text, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(text), " "+name+" ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
