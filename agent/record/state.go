package record

import (
	"context"
	"fmt"
	"time"

	"holdfast/agent/health"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Limits of patience before trouble with recording is said.
const (
	diskPatience = 5 * time.Second
	keyPatience  = 13 * time.Second
)

// trouble says what is wrong with recording a stream, apart from what is wrong with its camera.
func (s *stream) trouble() (reason wire.Reason, text string) {
	_, away := s.hub.State()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	if r := &st.refused; r.lasts() && away == nil && time.Since(r.since) >= diskPatience {
		return r.reason, r.text
	}
	if st.recording {
		if still := time.Since(st.wrote); still > keyPatience && away == nil {
			return wire.SlowDisk, fmt.Sprintf("The disk has taken no video for %d seconds. Check the disk and what else uses it.", int(still.Seconds()))
		}
		return "", ""
	}
	patience := time.Duration(0)
	switch st.reason {
	case wire.DiskFailed, wire.SlowDisk, wire.HeldFull:
		patience = diskPatience
	case wire.AwaitKeyFrame, wire.NoKeyFrame:
		patience = keyPatience
	default:
		return "", ""
	}
	if away != nil || time.Since(st.since) < patience {
		return "", ""
	}
	return st.reason, st.text
}

// review sets the condition "recording" of each stream: failing while its frames don't reach the disk. What is
// the camera's fault is the camera's condition.
func (r *Recorder) review() {
	if r.Board == nil {
		return
	}
	for _, s := range r.streams {
		reason, text := s.trouble()
		c := health.Condition{Name: "recording", Camera: s.name.Camera, Kind: string(s.name.Kind), State: wire.OK}
		if reason != "" {
			c.State, c.Reason, c.Text = wire.Failing, reason, text
		} else if !s.said {
			continue
		}
		s.said = true
		r.Board.Set(c)
	}
}

// Durable returns the wall time up to which video of a stream is safe on disk and the ledger knows it, 0 when there is
// none.
func (r *Recorder) Durable(name id.Stream) int64 {
	s := r.byName[name]
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	us := s.status.durableUs
	if s.seg != nil {
		us = max(us, s.seg.noted.Load())
	}
	return us
}

// Amend fills into states of cameras, as the camera room gives them, what only the recorder knows: how far video
// is safe, since when there is any, and whether frames that come do reach the disk.
func (r *Recorder) Amend(ctx context.Context, states []wire.CameraState) error {
	stats, err := r.Ledger.StreamStats(ctx)
	if err != nil {
		return fmt.Errorf("amend states of cameras: %w", err)
	}
	for i := range states {
		for k := range states[i].Streams {
			st := &states[i].Streams[k]
			name := id.Stream{Camera: states[i].Camera, Kind: st.Kind}
			st.FirstUs, st.DurableUs = stats[name].FirstUs, stats[name].DurableUs
			s := r.byName[name]
			if s == nil {
				continue
			}
			st.Record = true
			st.DurableUs = max(r.Durable(name), st.DurableUs)
			if reason, text := s.trouble(); reason != "" && st.State != wire.Failing {
				st.State, st.Reason, st.Text = wire.Failing, reason, text
			}
		}
	}
	return nil
}
