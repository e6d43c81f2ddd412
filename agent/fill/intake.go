package fill

import (
	"context"
	"errors"

	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// errEnough ends a fetch that has brought all that was wanted.
var errEnough = errors.New("all of the range has come")

// sentence is an error whose text is for a person as it is.
type sentence string

func (s sentence) Error() string { return string(s) }

// shot is a frame with its place in time.
type shot struct {
	media.Frame
	wallUs int64 // of its DTS, by the site's clock
}

func (s *shot) video() bool { return s.Params.Tracks[s.Track].Codec.IsVideo() }

// intake takes the footage of one piece in: it cuts it to the range and writes segments.
type intake struct {
	*Filler
	ctx    context.Context
	stream id.Stream
	origin string
	fromUs int64
	toUs   int64
	// pauseUs is from when on the piece ends at a key frame.
	pauseUs int64
	gap     evidence.Gap
	seam    seam

	waiting []shot // until it is clear where they belong
	clear   bool
	guessed bool   // the source does not know its times
	shiftUs int64  // by how much the recorded neighbours correct its clock
	lead    []shot // pictures since the last key frame before the range
	last    shot   // picture taken last
	step    int64  // usual distance of pictures, µs; 0 before the second
	seg     *segment
	atUs    int64 // end of what was taken; fromUs at first
	got     int64 // µs that are committed
	fault   error // ours: disk or ledger
}

func (f *Filler) newIntake(ctx context.Context, stream id.Stream, origin string, r run) *intake {
	return &intake{
		Filler: f, ctx: ctx, stream: stream, origin: origin, fromUs: r.fromUs, toUs: r.toUs, atUs: r.fromUs,
		gap: evidence.Gap{FromUs: r.fromUs, ToUs: r.toUs, Reason: string(r.reason)}, seam: f.seamOf(ctx, stream, r.fromUs, r.toUs),
	}
}

// take is what the source hands frames to. Until it is clear what of them was recorded before the gap, they wait.
func (t *intake) take(f media.Frame, wallUs int64, guessed bool) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	s := shot{f, wallUs + t.shiftUs}
	if t.clear {
		return t.place(s)
	}
	if s.video() && s.Key && s.wallUs < t.fromUs-marginUs && !guessed {
		t.waiting = nil // what is long before the range is of no use
	}
	t.waiting = append(t.waiting, s)
	if !s.video() {
		return nil
	}
	switch met := t.seam.meets(&s); {
	case met:
		t.shiftUs, t.clear = t.seam.lastUs-wallUs, true
		for _, s := range t.waiting {
			if s.video() {
				s.wallUs += t.shiftUs
				t.before(s)
			}
		}
		t.waiting = nil
	case guessed && wallUs > t.fromUs+timelessUs:
		return errTimeless
	case !guessed && wallUs > t.fromUs+t.seam.patience():
		return t.settle()
	}
	t.guessed = guessed
	return nil
}

// settle goes by the source's clock alone, since nothing of what it sends was recorded before the gap.
func (t *intake) settle() error {
	t.clear = true
	waiting := t.waiting
	t.waiting = nil
	for _, s := range waiting {
		if err := t.place(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *intake) place(s shot) error {
	if s.video() {
		return t.picture(s)
	}
	return t.sound(s)
}

// A device that does not say when its pictures were taken must send those that were recorded before the gap.
const timelessUs = 30_000_000

const errTimeless = sentence("it does not say when its pictures were taken, and they do not join what was recorded before the gap. " +
	"Check archive in holdfast.yaml.")

// before notes a picture from before the range, which others need to be decoded.
func (t *intake) before(s shot) {
	if s.Key {
		t.lead = t.lead[:0]
	}
	if s.Key || len(t.lead) > 0 {
		t.lead = append(t.lead, s)
	}
	t.pace(&s)
	t.last = s
}

// pace learns the usual distance of pictures.
func (t *intake) pace(s *shot) {
	if t.last.Params != s.Params || s.DTS <= t.last.DTS {
		return
	}
	step := scale(s.DTS-t.last.DTS, 1e6, int64(s.Params.Tracks[0].Timescale))
	if t.step == 0 {
		t.step = step
	}
	t.step += (step - t.step) / 8
}

// edge is how far a picture may lie beside the edge of the range: clocks are not that exact.
func (t *intake) edge() int64 {
	if t.step == 0 {
		return 10_000
	}
	return min(t.step/2, 500_000)
}

// picture takes a picture whose time is known.
func (t *intake) picture(s shot) error {
	switch {
	case s.wallUs < t.fromUs-t.edge():
		t.before(s)
		return nil
	case s.wallUs >= t.toUs-t.edge(), t.seam.over(&s):
		return errEnough
	}
	if t.seg != nil && (s.Params != t.seg.params || t.hole(&s)) {
		if err := t.close(t.heldEnd(s.wallUs)); err != nil {
			return err
		}
	}
	t.pace(&s)
	t.last = s
	t.reached(s.wallUs)
	if s.Key && s.wallUs >= t.pauseUs {
		if t.seg != nil {
			if err := t.close(s.wallUs); err != nil {
				return err
			}
		}
		return errEnough
	}
	if t.seg != nil && s.Key && t.seg.due(s.wallUs) {
		if err := t.close(s.wallUs); err != nil {
			return err
		}
	}
	if t.seg == nil {
		return t.begin(s)
	}
	return t.ours(t.seg.video(s))
}

// ours notes an error that is not the source's.
func (t *intake) ours(err error) error {
	if err != nil && t.fault == nil {
		t.fault = err
	}
	return err
}

const (
	leastHoleUs = 2_500_000 // as the recorder has it
	driftUs     = 500_000   // a picture that lies so far beside where it belongs begins a timeline of its own
)

// hole says whether something is missing before s.
func (t *intake) hole(s *shot) bool {
	step := s.wallUs - t.last.wallUs
	return step > max(leastHoleUs, 3*t.step) || s.DTS <= t.last.DTS || abs(s.wallUs-t.seg.wallOf(s.DTS)) > driftUs
}

// heldEnd is when the newest picture ends, but not beyond a moment.
func (t *intake) heldEnd(most int64) int64 {
	step := t.step
	if step == 0 {
		step = 40_000
	}
	return min(t.seg.heldUs()+step, most)
}

// begin opens a segment at the first picture of the range, or behind a hole. It must be one that can be decoded: a key
// frame, or one that follows the pictures before the range.
func (t *intake) begin(s shot) error {
	lead := t.lead
	t.lead = nil
	switch {
	case s.Key:
		lead = nil
	case len(lead) == 0 || lead[0].Params != s.Params || reordered(lead) || s.PTS != s.DTS:
		return nil // it waits for the next key frame
	}
	startUs := max(s.wallUs, t.atUs)
	if startUs-t.atUs < max(t.step, 50_000) {
		startUs = t.atUs
	}
	seg, err := t.create(s, startUs, lead)
	if err != nil {
		return t.ours(err)
	}
	t.seg = seg
	return nil
}

// reordered says whether pictures are shown in another order than they are decoded in.
func reordered(list []shot) bool {
	for i := range list {
		if list[i].PTS != list[i].DTS {
			return true
		}
	}
	return false
}

func (t *intake) sound(s shot) error {
	if t.seg == nil || s.Params != t.seg.params {
		return nil
	}
	if s.wallUs >= t.toUs {
		return nil
	}
	t.seg.audio(s)
	return nil
}

// close ends the segment and commits it.
func (t *intake) close(endUs int64) error {
	seg := t.seg
	t.seg = nil
	if t.toUs-endUs < max(t.step*3/2, 50_000) {
		endUs = t.toUs
	}
	endUs = max(endUs, seg.startUs+1)
	row, err := seg.finish(endUs)
	if err != nil {
		return t.ours(errors.Join(err, t.discard(seg)))
	}
	if _, err := t.Ledger.CloseSegment(t.lasting(), row, nil); err != nil {
		return t.ours(&ledgerError{err})
	}
	t.atUs = endUs
	t.got += row.EndUs - row.StartUs
	t.came(row.EndUs - row.StartUs)
	return nil
}

// lasting outlives the fetch: what came is committed.
func (t *intake) lasting() context.Context { return context.WithoutCancel(t.ctx) }

// discard makes garbage of a segment's file. The row is what makes that safe: a crash in between leaves nothing.
func (t *intake) discard(seg *segment) error {
	h := seg.header
	open := ledger.OpenSegment{
		ID: h.Segment, Volume: seg.file.Volume(), Stream: t.stream, Run: h.Run, MonoUs: h.MonoUs, StartUs: h.StartUs,
	}
	err := errors.Join(seg.file.Close(), t.Ledger.BeginSegment(t.lasting(), open, nil),
		t.Ledger.Condemn(t.lasting(), []ledger.Segment{{ID: h.Segment, Volume: open.Volume}}, wire.Lost))
	if err != nil {
		return &ledgerError{err}
	}
	return nil
}

// finish closes what is open, after the fetch, and returns how far footage came. The error is ours.
func (t *intake) finish() (reachedUs int64, err error) {
	if !t.clear && !t.guessed {
		_ = t.settle() // errEnough, or a fault that is noted
	}
	if t.seg != nil {
		if t.fault != nil {
			t.fault = errors.Join(t.fault, t.discard(t.seg))
		} else {
			_ = t.close(t.heldEnd(t.toUs))
		}
	}
	return t.atUs, t.fault
}

// scale returns v*m/d without overflow for the times that occur.
func scale(v, m, d int64) int64 { return v/d*m + v%d*m/d }

func abs(v int64) int64 { return max(v, -v) }
