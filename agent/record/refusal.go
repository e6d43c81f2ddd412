package record

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"holdfast/agent/disk"
	"holdfast/shared/wire"
)

const (
	// proof is how long recording must go on until the disk is believed to take video again. A disk that takes a
	// file and then refuses its second part would else be called well each time.
	proof = 10 * time.Second
	// fullWait is the pause between two tries while the disk is full: asking costs nothing then, and retention may
	// have made room.
	fullWait = time.Second
	quiet    = time.Minute // between two lines of the log about the same refusal
)

// refusal is the time during which the disk does not take a stream's video, from the first failure until
// recording has gone on for a while. The gaps and the short segments in it come and go; it stays.
type refusal struct {
	since  time.Time // zero: the disk takes video
	last   time.Time // the newest failure
	said   time.Time // the newest line of the log
	times  int       // failures since that line
	reason wire.Reason
	text   string
}

// lasts says whether the disk is in doubt.
func (r *refusal) lasts() bool { return !r.since.IsZero() }

// note takes a failure in and logs it, unless that was done less than a minute ago.
func (r *refusal) note(log *slog.Logger, now time.Time, err error, args ...any) {
	if !r.lasts() {
		*r = refusal{since: now}
	}
	r.last = now
	r.times++
	r.reason, r.text = diskReason(err)
	if !r.said.IsZero() && now.Sub(r.said) < quiet {
		return
	}
	log.Error("the disk takes no video: nothing is recorded", append([]any{"error", err, "times", r.times}, args...)...)
	r.said, r.times = now, 0
}

// over ends the refusal once recording, which began at began, has gone on for long enough, and says so.
func (r *refusal) over(log *slog.Logger, now, began time.Time) bool {
	if !r.lasts() || now.Sub(began) < proof || now.Sub(r.last) < proof {
		return false
	}
	log.Info("recording again: the disk takes video", "seconds", began.Sub(r.since).Round(time.Second).Seconds(), "times", r.times)
	*r = refusal{}
	return true
}

// diskReason names why the disk does not take video, and says what to do.
func diskReason(err error) (wire.Reason, string) {
	switch {
	case errors.Is(err, disk.ErrHeld):
		return wire.HeldFull, "The disk for video is full of video that must be kept. Release a hold that is no longer needed, or give the agent a bigger disk."
	case errors.Is(err, disk.ErrFull):
		return wire.DiskFailed, "The disk for video is full. Let less be kept, or give the agent a bigger disk."
	}
	return wire.DiskFailed, "The disk for video can't be written: " + strings.ReplaceAll(err.Error(), "\n", "; ")
}
