package record

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// Depth says how closely Check looks.
type Depth int

// Depths of a check, each with all that the one before looks at.
const (
	Quick Depth = iota // names of files against rows, and the account of time
	Stat               // the size of every file
	Full               // every byte: sums, Merkle roots and signatures
)

// Severity says how bad a finding is.
type Severity string

// Severities of a finding.
const (
	Broken   Severity = "broken"   // a promise does not hold; somebody must look
	Repaired Severity = "repaired" // it did not hold, and does now
	Note     Severity = "note"     // worth knowing
)

// Finding is one thing that a check has to say.
type Finding struct {
	Severity  Severity
	Invariant string    // "I1", "I2" or "I7" of the architecture
	Segment   uint64    // 0 when it is about no segment
	Volume    string    // of the segment
	Stream    id.Stream // zero when it is about no stream
	Text      string    // a sentence
}

// String returns the finding as one line.
func (f Finding) String() string {
	where := ""
	if f.Stream.Camera != "" {
		where += " " + f.Stream.String()
	}
	if f.Segment != 0 {
		where += fmt.Sprintf(" segment %d", f.Segment)
	}
	return fmt.Sprintf("%s %s%s: %s", f.Severity, f.Invariant, where, f.Text)
}

// Report is the outcome of a check.
type Report struct {
	Findings []Finding
	Segments int           // closed, looked at
	Bytes    int64         // of them
	Recorded time.Duration // over all streams
	Gaps     time.Duration // declared, over all streams
	Deleted  time.Duration // recorded once and deleted since, over all streams
	Took     time.Duration
}

// OK says that nothing is broken.
func (r *Report) OK() bool {
	for _, f := range r.Findings {
		if f.Severity == Broken {
			return false
		}
	}
	return true
}

// CheckConfig says how to check.
type CheckConfig struct {
	Depth Depth
	// Repair mends what can be mended without loss: rows without a file are declared lost, and those whose file
	// is too short, of which what holds is taken in again; files that no row knows are taken in or removed,
	// files that are longer than their row says are cut. The recorder must not run meanwhile.
	Repair bool
	Keys   []ed25519.PublicKey // the site's evidence keys; without them signatures are not judged
	// Tolerance is how much time may be unaccounted for between two ranges: one frame. 0 means 200 ms.
	Tolerance time.Duration
}

// checker is one check under way.
type checker struct {
	CheckConfig
	ledger *ledger.Ledger
	disk   *disk.Disk
	log    *slog.Logger
	report Report
	lost   []ledger.Segment
	here   map[string]bool // volumes that can be looked at
	only   string          // rows of this volume alone; empty: of all
}

// Check holds ledger and files against the promises: every closed segment has its file with that size and those
// sums (I1), every file is in the ledger, open or garbage, once (I2), and recorded time and declared gaps leave no
// moment out (I7). The error is for a ledger that can't be read.
func Check(ctx context.Context, cfg CheckConfig, l *ledger.Ledger, d *disk.Disk, log *slog.Logger) (Report, error) {
	if cfg.Tolerance == 0 {
		cfg.Tolerance = 200 * time.Millisecond
	}
	c := checker{CheckConfig: cfg, ledger: l, disk: d, log: log, here: map[string]bool{}}
	began := time.Now()
	for _, v := range d.Volumes() {
		if v.Err != nil {
			c.find(Finding{Severity: Broken, Invariant: "I1", Volume: v.ID, Text: fmt.Sprintf("the volume at %s can't be used: %v", v.Path, v.Err)})
		} else {
			c.here[v.ID] = true
		}
	}
	for _, step := range []func(context.Context) error{c.files, c.garbage, c.open, c.rows, c.declareLost, c.time} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("check recordings: %w", err)
		}
	}
	c.report.Took = time.Since(began)
	return c.report, nil
}

func (c *checker) find(f Finding) { c.report.Findings = append(c.report.Findings, f) }

// files looks for files that the ledger does not know.
func (c *checker) files(ctx context.Context) error {
	r := Recorder{Floors: Floors{Ledger: c.ledger, Disk: c.disk, Log: c.log}}
	known, err := c.ledger.Known(ctx, 0)
	if err != nil {
		return err
	}
	return c.disk.Scan(0, func(f disk.Found) error {
		if known[f.Segment] {
			return nil
		}
		if !c.Repair {
			c.find(Finding{Severity: Broken, Invariant: "I2", Segment: f.Segment, Volume: f.Volume, Text: "the ledger does not know this file"})
			return nil
		}
		c.ledger.AtLeast(f.Segment)
		if err := r.adopt(ctx, f); err != nil {
			return err
		}
		text := "the ledger did not know this file; it is taken in at the next start"
		if _, err := c.disk.Size(f.Volume, f.Segment); errors.Is(err, fs.ErrNotExist) {
			text = "the ledger did not know this file, and nothing was in it; it is removed"
		}
		c.find(Finding{Severity: Repaired, Invariant: "I2", Segment: f.Segment, Volume: f.Volume, Text: text})
		return nil
	})
}

// garbage looks at files that wait to be unlinked: the next start does it, if nobody does before.
func (c *checker) garbage(ctx context.Context) error {
	garbage, err := c.ledger.Garbage(ctx)
	if err != nil {
		return err
	}
	for _, g := range garbage {
		f := Finding{Severity: Note, Invariant: "I2", Segment: g.ID, Volume: g.Volume, Text: "it was deleted, and its file waits to be unlinked"}
		_, err := c.disk.Size(g.Volume, g.ID)
		switch {
		case !c.here[g.Volume]:
			f.Text = "it was deleted, and its file will be unlinked when its volume is here"
		case !c.Repair && errors.Is(err, fs.ErrNotExist):
			continue // all that is left to do is to forget it
		case c.Repair:
			gone, err := c.disk.Remove(g.Volume, g.ID)
			if err != nil {
				f.Severity, f.Text = Broken, fmt.Sprintf("it was deleted, and its file can't be unlinked: %v", err)
				break
			}
			if err := c.ledger.Buried(ctx, gone); err != nil {
				return err
			}
			f.Severity, f.Text = Repaired, "it was deleted; its file is unlinked now"
		}
		c.find(f)
	}
	return nil
}

// open looks for the files of segments that were open when the agent ended.
func (c *checker) open(ctx context.Context) error {
	open, err := c.ledger.OpenSegments(ctx)
	if err != nil {
		return err
	}
	for _, s := range open {
		if !c.here[s.Volume] {
			continue // it waits for its volume
		}
		_, err := c.disk.Size(s.Volume, s.ID)
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f := Finding{Severity: Broken, Invariant: "I1", Segment: s.ID, Volume: s.Volume, Stream: s.Stream, Text: "it was being written, and its file is gone"}
		if c.Repair {
			row := ledger.Segment{ID: s.ID, Volume: s.Volume, Stream: s.Stream, Run: s.Run, StartUs: s.StartUs, EndUs: max(s.DurableUs, s.StartUs)}
			if err := c.ledger.Lose(ctx, []ledger.Segment{row}, lostDetail); err != nil {
				return err
			}
			f.Severity, f.Text = Repaired, "it was being written, and its file is gone: it is declared lost"
		}
		c.find(f)
	}
	return nil
}

// rows looks at the file of every closed segment.
func (c *checker) rows(ctx context.Context) error {
	const page = 1000
	for after := uint64(0); ; {
		segments, err := c.ledger.SegmentsAfter(ctx, after, page)
		if err != nil || len(segments) == 0 {
			return err
		}
		for _, s := range segments {
			if err := ctx.Err(); err != nil {
				return err
			}
			after = s.ID
			if c.only != "" && s.Volume != c.only {
				continue
			}
			c.report.Segments++
			c.report.Bytes += s.Bytes
			if c.here[s.Volume] {
				c.segment(s)
			} else {
				c.find(Finding{Severity: Broken, Invariant: "I1", Segment: s.ID, Volume: s.Volume, Stream: s.Stream, Text: "its volume is not here"})
			}
		}
	}
}

func (c *checker) segment(s ledger.Segment) {
	broken := func(format string, args ...any) {
		c.find(Finding{Severity: Broken, Invariant: "I1", Segment: s.ID, Volume: s.Volume, Stream: s.Stream, Text: fmt.Sprintf(format, args...)})
	}
	size, err := c.disk.Size(s.Volume, s.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist) && c.Repair:
		c.lost = append(c.lost, s)
		return
	case errors.Is(err, fs.ErrNotExist):
		broken("its file is gone")
		return
	case err != nil:
		broken("its file can't be looked at: %v", err)
		return
	case c.Depth < Stat:
		return
	case size > s.Bytes && c.Repair:
		c.cut(s, size)
	case size < s.Bytes && c.Repair:
		c.lost = append(c.lost, s)
		return
	case size != s.Bytes:
		broken("its file has %d bytes, the ledger says %d", size, s.Bytes)
		return
	}
	if c.Depth >= Full {
		if err := c.verify(s); err != nil {
			broken("%v", err)
		}
	}
}

// cut shortens a file that is longer than its row says: what is behind was never counted.
func (c *checker) cut(s ledger.Segment, size int64) {
	f, err := c.disk.Reopen(s.Volume, s.ID, s.Bytes)
	if err == nil {
		err = errors.Join(f.Flush(), f.Close())
	}
	out := Finding{
		Severity: Repaired, Invariant: "I1", Segment: s.ID, Volume: s.Volume, Stream: s.Stream,
		Text: fmt.Sprintf("its file had %d bytes and is cut to the %d that the ledger says", size, s.Bytes),
	}
	if err != nil {
		out.Severity, out.Text = Broken, fmt.Sprintf("its file is longer than the ledger says and can't be cut: %v", err)
	}
	c.find(out)
}

// verify reads all of a segment.
func (c *checker) verify(s ledger.Segment) (err error) {
	file, size, err := c.disk.OpenRead(s.Volume, s.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if s.Recovered || s.Origin != "" {
		if _, _, _, err := mp4.ReadSeal(file, size); errors.Is(err, mp4.ErrNoSeal) {
			return c.verifyUnsealed(s, file, size)
		}
	}
	rep, err := mp4.VerifySegment(file, size, c.Keys...)
	switch {
	case err != nil:
		return err
	case len(rep.BadParts) > 0 || rep.Statement.Root != s.Root || rep.Parts != s.Parts:
		return fmt.Errorf("its content is not what the ledger says: %v", rep.Problems)
	case len(c.Keys) > 0 && !rep.OK:
		return fmt.Errorf("it does not verify: %v", rep.Problems)
	}
	return nil
}

// verifyUnsealed checks a segment that a failing disk left without a seal.
func (c *checker) verifyUnsealed(s ledger.Segment, file mp4File, size int64) error {
	found, err := mp4.Recover(file, size)
	if err != nil {
		return err
	}
	if found.Whole != size || len(found.Parts) != s.Parts || root(found.Header, found.Parts) != s.Root {
		return errors.New("its content is not what the ledger says")
	}
	return nil
}

// mp4File is what the format reads.
type mp4File interface {
	ReadAt(p []byte, off int64) (int, error)
}

const lostDetail = "The file of this video is gone from the disk."

// time looks for moments of which nothing is known, from the oldest video of each stream on.
func (c *checker) time(ctx context.Context) error {
	stats, err := c.ledger.StreamStats(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	for stream, stat := range stats {
		if stat.FirstUs == 0 {
			continue
		}
		ranges, err := c.ledger.Coverage(ctx, stream, stat.FirstUs, max(now, stat.DurableUs))
		if err != nil {
			return err
		}
		for i, r := range ranges {
			length := time.Duration(r.EndUs-r.StartUs) * time.Microsecond
			switch {
			case r.Recorded:
				c.report.Recorded += length
			case r.Deleted():
				c.report.Deleted += length
			default:
				c.report.Gaps += length
			}
			if i == 0 {
				continue
			}
			if hole := time.Duration(r.StartUs-ranges[i-1].EndUs) * time.Microsecond; hole > c.Tolerance {
				c.find(Finding{Severity: Broken, Invariant: "I7", Stream: stream, Text: fmt.Sprintf("nothing is known of the %v from %s on",
					hole.Round(time.Millisecond), time.UnixMicro(ranges[i-1].EndUs).UTC().Format(time.RFC3339Nano))})
			}
		}
		if err := c.overlaps(ctx, stream, stat); err != nil {
			return err
		}
	}
	return nil
}

// overlaps looks for segments of one run that tell of the same moment.
func (c *checker) overlaps(ctx context.Context, stream id.Stream, stat ledger.StreamStat) error {
	segments, err := c.ledger.Segments(ctx, stream, stat.FirstUs, max(stat.DurableUs, stat.FirstUs+1))
	if err != nil {
		return err
	}
	for i := 1; i < len(segments); i++ {
		a, b := segments[i-1], segments[i]
		if over := time.Duration(a.EndUs-b.StartUs) * time.Microsecond; a.Run == b.Run && a.Origin == b.Origin && over > c.Tolerance {
			c.find(Finding{Severity: Broken, Invariant: "I7", Segment: b.ID, Volume: b.Volume, Stream: stream, Text: fmt.Sprintf("it overlaps segment %d by %v", a.ID, over)})
		}
	}
	return nil
}
