package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast/shared/backoff"
	"holdfast/testenv/house"
)

const (
	lightKbit = 2100 // of the cameras that are many
	settled   = 10 * time.Second
)

// record measures what recording costs beside the floor (testenv/bench/floor) and beside any program named by
// PEER_CMD, all reading the same streams of one process of fake cameras, one after the other; the floor twice, since
// a shared machine drifts.
//
// PEER_CMD is run by sh in a folder of its own, where it may write. It finds the addresses of the streams, one a
// line, in the file $URLS, and must record all of them until it gets SIGTERM, for example
//
//	PEER_CMD='while read u; do i=$((i+1)); ffmpeg -v error -rtsp_transport tcp -i $u -c copy $i.mp4 & done < $URLS; wait'
func (b *bench) record(ctx context.Context) error {
	c, err := b.cameras(ctx, b.streams, lightKbit)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	say("record_streams", b.streams, fmt.Sprintf("streams of %d kbit/s", lightKbit))
	say("sha_ni", yesNo(hasFlag("sha_ni")), "")
	before, err := b.floor(ctx, c)
	if err != nil {
		return err
	}
	ours, err := b.holdfast(ctx, c)
	if err != nil {
		return err
	}
	peer, err := b.peer(ctx, c)
	if err != nil {
		return err
	}
	after, err := b.floor(ctx, c)
	if err != nil {
		return err
	}
	floor := (before.share() + after.share()) / 2
	each := float64(b.streams)
	say("record_cpu_floor", floor/each, fmt.Sprintf("%% of a core a stream (%.4f before, %.4f after)", before.share()/each, after.share()/each))
	say("record_cpu_per_stream", ours.share()/each, "% of a core")
	say("record_cpu_vs_floor", ours.share()/floor, "times")
	say(fmt.Sprintf("record_rss_%d", b.streams), float64(ours.peak)/1e6, "MB")
	if peer != nil {
		say("record_cpu_peer", peer.share()/each, "% of a core a stream")
		say("record_cpu_vs_peer", ours.share()/peer.share(), "times")
		say("record_rss_peer", float64(peer.peak)/1e6, "MB")
	}
	return nil
}

// floor runs the floor over the streams.
func (b *bench) floor(ctx context.Context, c *cameras) (usage, error) {
	program, err := b.build(ctx, "floor", "./testenv/bench/floor")
	if err != nil {
		return usage{}, err
	}
	dir, err := os.MkdirTemp(b.dir, "floor-*")
	if err != nil {
		return usage{}, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "-dir", dir)
	cmd.Stdin = strings.NewReader(c.list())
	p, err := house.Spawn("floor", filepath.Join(b.dir, "floor.log"), cmd)
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = errors.Join(p.Kill(), os.RemoveAll(dir)) }()
	if _, err := p.Await(ctx, "playing"); err != nil {
		return usage{}, err
	}
	if err := backoff.Sleep(ctx, settled); err != nil {
		return usage{}, err
	}
	u, err := watch(ctx, p.PID(), b.seconds)
	return u, errors.Join(err, p.Alive())
}

// holdfast runs a house whose agent records the streams, and says how it flushed and what it lost.
func (b *bench) holdfast(ctx context.Context, c *cameras) (u usage, err error) {
	h, err := b.house(ctx, "record", c.plan("log: {level: debug}\n"))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return u, err
	}
	s := h.Sites[0]
	from := time.Now()
	if u, err = watch(ctx, s.Agent.PID(), b.seconds); err != nil {
		return u, err
	}
	rounds, err := flushRounds(s.Agent.Log, from, time.Now())
	if err != nil {
		return u, err
	}
	say("record_flush_rounds", float64(rounds)/b.seconds.Seconds(), "rounds/s of the one volume")
	end := time.Now().UnixMicro()
	if err := errors.Join(backoff.Sleep(ctx, onTheWay), s.Agent.Stop(25*time.Second)); err != nil {
		return u, err
	}
	sums, err := c.account(ctx, s, filepath.Join(s.Data, "video"), end)
	if err != nil {
		return u, err
	}
	sums[0].say("record")
	return u, nil
}

// house starts a house and waits until all its cameras are recorded and the burst of the start is over.
func (b *bench) house(ctx context.Context, name string, plan house.BranchPlan) (*house.House, error) {
	h, err := house.Start(ctx, house.Setup{Dir: filepath.Join(b.dir, name), Branches: []house.BranchPlan{plan}})
	if err != nil {
		return h, err
	}
	if err := h.Sites[0].Recording(ctx, len(plan.Cameras), time.Minute); err != nil {
		return h, err
	}
	return h, backoff.Sleep(ctx, settled)
}

// peer runs the program that PEER_CMD names; nil without one.
func (b *bench) peer(ctx context.Context, c *cameras) (*usage, error) {
	command := os.Getenv("PEER_CMD")
	if command == "" {
		return nil, nil
	}
	dir, err := os.MkdirTemp(b.dir, "peer-*")
	if err != nil {
		return nil, err
	}
	urls := filepath.Join(b.dir, "urls")
	if err := os.WriteFile(urls, []byte(c.list()), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "URLS="+urls)
	p, err := house.Spawn("peer", filepath.Join(b.dir, "peer.log"), cmd)
	if err != nil {
		return nil, err
	}
	defer func() {
		// The whole group: what the shell started would outlive it.
		_ = syscall.Kill(-p.PID(), syscall.SIGTERM)
		_ = errors.Join(p.Stop(10*time.Second), os.RemoveAll(dir))
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}()
	if err := backoff.Sleep(ctx, 2*settled); err != nil {
		return nil, err
	}
	u, err := watch(ctx, p.PID(), b.seconds)
	return &u, errors.Join(err, p.Alive())
}

// flushRounds counts the flush rounds in an agent's log at level debug.
func flushRounds(log string, from, to time.Time) (int, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err == nil && !at.Before(from) && at.Before(to) && strings.Contains(rest, `msg="flush round"`) {
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("%s names no flush round", log)
	}
	return n, nil
}

// build builds a program of the module once.
func (b *bench) build(ctx context.Context, name, pkg string) (string, error) {
	out := filepath.Join(b.dir, "bin", name)
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Dir, cmd.Env = house.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}
