package record

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/evidence"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
)

// RebuildConfig says what a rebuild knows besides the files.
type RebuildConfig struct {
	Key     ed25519.PrivateKey  // the site's evidence key, for sealing what was open; without it that waits for the next start
	Keys    []ed25519.PublicKey // that the site has signed with
	Streams []id.Stream         // that the site records: the cloud is told what of them is gone, also when all of it is
}

// Rebuilt is what a rebuild found. Findings are for what a person should know: files that were set aside, removed, or
// could not be read.
type Rebuilt struct {
	Report
	Whole     int           // segments that were closed and sealed
	Recovered int           // segments that were open, now cut to their last whole part
	Foreign   int           // whole segments that are not signed by a key of the site
	Unknown   time.Duration // of the gaps: reason not known
	Deleted   time.Duration // recorded once and deleted since, by the ledger before this one
	Runs      int
}

// rebuild is one rebuild under way.
type rebuild struct {
	RebuildConfig
	Recorder
	out     Rebuilt
	streams map[id.Stream]*history
	runs    map[int64]*ledger.Run
	strays  []stray // files whose name is not what they say
	open    []ledger.OpenSegment
}

// stray is a file that says it is another segment than its name does.
type stray struct {
	at   disk.Found
	says uint64
}

// read is one file as it was read.
type read struct {
	at     disk.Found
	size   int64
	header mp4.Header
	begins int64              // wall time of the first picture that is not for decoding alone
	says   evidence.Statement // of a whole segment
	sealed bool
	signed bool
	found  mp4.Recovery // of one that has no whole seal
	err    error
}

// Rebuild fills a new ledger, in which there is nothing but what was deleted, from the media files alone. Of a whole segment
// it reads opening and seal, of one without a whole seal everything: that one is cut to its last whole part and sealed. Gaps
// come from what the seals say; what neither video nor a signed gap tells is declared with the reason unknown. The cloud is
// told all of it, and that everything else that it may have been told is gone.
//
// A segment that is there twice is taken once, the fuller one; the other file loses its name, as does one that says it is
// a segment whose name is taken. Nothing with video in it is deleted. The recorder must not run meanwhile.
func Rebuild(ctx context.Context, cfg RebuildConfig, l *ledger.Ledger, d *disk.Disk, log *slog.Logger) (Rebuilt, error) {
	r := rebuild{
		RebuildConfig: cfg, streams: map[id.Stream]*history{}, runs: map[int64]*ledger.Run{},
		Recorder: Recorder{Floors: Floors{Ledger: l, Disk: d, Log: log}, cfg: Config{Key: cfg.Key}},
	}
	began := time.Now()
	for _, step := range []func(context.Context) error{r.files, r.renamed, r.recoverOpen, r.account} {
		if err := step(ctx); err != nil {
			return r.out, fmt.Errorf("rebuild ledger: %w", err)
		}
	}
	r.out.Took = time.Since(began)
	return r.out, nil
}

// rebuildBatch is how many files are read before their rows are written.
const rebuildBatch = 1000

// files reads every file, lowest number first.
func (r *rebuild) files(ctx context.Context) error {
	var all []disk.Found
	if err := r.Disk.Scan(0, func(f disk.Found) error {
		all = append(all, f)
		return nil
	}); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b disk.Found) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Volume, b.Volume))
	})
	for len(all) > 0 {
		n := min(rebuildBatch, len(all))
		for n < len(all) && all[n].Segment == all[n-1].Segment {
			n++ // what has one number stays together
		}
		if err := r.take(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// take reads files and writes their rows.
func (r *rebuild) take(ctx context.Context, files []disk.Found) error {
	reads := make([]read, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, f := range files {
		group.Go(func() error {
			reads[i] = r.read(f)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var rows []ledger.Segment
	for len(reads) > 0 {
		n := 1
		for n < len(reads) && reads[n].at.Segment == reads[0].at.Segment {
			n++
		}
		if best := r.choose(reads[:n]); best != nil && best.sealed {
			rows = append(rows, r.row(best))
		} else if best != nil {
			if err := r.openRow(context.WithoutCancel(ctx), best); err != nil {
				return err
			}
		}
		reads = reads[n:]
	}
	return r.Ledger.Restore(context.WithoutCancel(ctx), ledger.Restored{Segments: rows})
}

// read reads of a file what it says about itself.
func (r *rebuild) read(at disk.Found) (out read) {
	out.at = at
	file, size, err := r.Disk.OpenRead(at.Volume, at.Segment)
	if err != nil {
		out.err = err
		return out
	}
	defer func() { out.err = errors.Join(out.err, file.Close()) }()
	out.size = size
	var first int64
	if out.header, first, out.err = mp4.ReadHeader(file, size); out.err != nil {
		return out
	}
	if _, err := id.ParseStream(out.header.Camera + "/" + out.header.Stream); err != nil {
		out.err = fmt.Errorf("it is of no camera: %w", mp4.ErrFormat)
		return out
	}
	if out.begins = out.header.StartUs; out.header.Origin != "" {
		_, startUs, err := mp4.Leads(file, size)
		if err != nil {
			out.err = err
			return out
		}
		out.begins = max(out.begins, startUs)
	}
	if out.readSeal(file, first, r.Keys); !out.sealed && out.err == nil {
		out.found, out.err = mp4.Recover(file, size)
		out.sealed = out.err == nil && out.header.Origin != "" && out.found.Whole == size && len(out.found.Parts) > 0
		if out.sealed { // footage from elsewhere need not be sealed
			out.says = mp4.NewStatement(out.header, nil, out.found.Parts)
		}
	}
	return out
}

// readSeal takes a seal that fits the file: the statement must be about this very opening and these parts.
func (f *read) readSeal(file mp4File, first int64, keys []ed25519.PublicKey) {
	signed, leaves, _, err := mp4.ReadSeal(file, f.size)
	if errors.Is(err, mp4.ErrNoSeal) || errors.Is(err, mp4.ErrFormat) {
		return
	}
	if err != nil {
		f.err = err
		return
	}
	st, err := evidence.Verify(signed, keys...)
	init := make([]byte, first)
	if _, readErr := file.ReadAt(init, 0); readErr != nil {
		f.err = readErr
		return
	}
	h := &f.header
	fits := (err == nil || errors.Is(err, evidence.ErrSignature)) && st.Init == sha256.Sum256(init) && st.Segment == h.Segment && st.Run == h.Run &&
		int(st.Parts) == len(leaves) && evidence.Root(leaves) == st.Root && len(leaves) > 0 && st.EndUs > st.StartUs
	f.sealed, f.signed, f.says = fits, err == nil, st
}

// choose returns the file to take of those with one number, nil when there is none, and deals with the others.
func (r *rebuild) choose(same []read) *read {
	var best *read
	for i := range same {
		f := &same[i]
		switch {
		case f.err != nil && !errors.Is(f.err, mp4.ErrFormat):
			r.find(Broken, f, "it can't be read and is in no account: %v", f.err)
		case f.err != nil || !f.sealed && len(f.found.Parts) == 0:
			r.empty(f)
		case f.header.Segment != f.at.Segment:
			r.strays = append(r.strays, stray{f.at, f.header.Segment})
		case best == nil:
			best = f
		case f.fuller(best):
			r.aside(best, fmt.Sprintf("the segment is on volume %s too, where more of it is whole", f.at.Volume))
			best = f
		default:
			r.aside(f, fmt.Sprintf("the segment is on volume %s too", best.at.Volume))
		}
	}
	return best
}

// fuller says whether f holds more than o.
func (f *read) fuller(o *read) bool {
	if f.sealed != o.sealed {
		return f.sealed
	}
	return max(int(f.says.Parts), len(f.found.Parts)) > max(int(o.says.Parts), len(o.found.Parts))
}

// empty deals with a file without a single whole part. One that is longer than a torn beginning is kept for a person.
func (r *rebuild) empty(f *read) {
	if f.size > 4<<20 {
		r.aside(f, "nothing in it can be read as video, though it is large")
		return
	}
	if _, err := r.Disk.Remove(f.at.Volume, f.at.Segment); err != nil {
		r.find(Broken, f, "it holds no video and can't be removed: %v", err)
		return
	}
	r.find(Repaired, f, "it held no video and is removed")
}

// aside takes a file's name from it.
func (r *rebuild) aside(f *read, why string) {
	name, err := r.Disk.Aside(f.at.Volume, f.at.Segment)
	if err != nil {
		r.find(Broken, f, "%s; it can't be renamed: %v", why, err)
		return
	}
	r.find(Note, f, "%s: it is kept as %s, and in no account", why, name)
}

func (r *rebuild) find(s Severity, f *read, format string, args ...any) {
	r.out.Findings = append(r.out.Findings, Finding{
		Severity: s, Invariant: "I2", Segment: f.at.Segment, Volume: f.at.Volume, Text: fmt.Sprintf(format, args...),
	})
}

// row is the row of a whole segment, which is noted in its stream's history.
func (r *rebuild) row(f *read) ledger.Segment {
	st := &f.says
	s := ledger.Segment{
		ID: f.at.Segment, Volume: f.at.Volume, Stream: id.Stream{Camera: id.Camera(f.header.Camera), Kind: id.StreamKind(f.header.Stream)},
		Run: f.header.Run, MonoUs: f.header.MonoUs, StartUs: f.begins, EndUs: st.EndUs, Bytes: f.size, Parts: int(st.Parts),
		Root: st.Root, Recovered: st.Recovered, Origin: f.header.Origin,
	}
	if s.EndUs <= s.StartUs {
		s.StartUs = st.StartUs
	}
	r.out.Whole++
	if !f.signed && s.Origin == "" {
		r.out.Foreign++
	}
	r.note(s, st.Gaps)
	return s
}

// openRow takes a file without a whole seal in as an open segment.
func (r *rebuild) openRow(ctx context.Context, f *read) error {
	s := ledger.OpenSegment{
		ID: f.at.Segment, Volume: f.at.Volume, Stream: id.Stream{Camera: id.Camera(f.header.Camera), Kind: id.StreamKind(f.header.Stream)},
		Run: f.header.Run, MonoUs: f.header.MonoUs, StartUs: f.header.StartUs,
	}
	last := f.found.Parts[len(f.found.Parts)-1]
	r.open = append(r.open, s)
	r.note(ledger.Segment{
		ID: s.ID, Volume: s.Volume, Stream: s.Stream, Run: s.Run, MonoUs: s.MonoUs, StartUs: s.StartUs, EndUs: last.EndUs,
		Bytes: f.found.Whole, Origin: f.header.Origin,
	}, nil)
	return r.Ledger.BeginSegment(ctx, s, nil)
}

// renamed gives files that say they are another segment that one's name, if it is free, and takes them in.
func (r *rebuild) renamed(ctx context.Context) error {
	for _, s := range r.strays {
		f := read{at: s.at}
		to := disk.Found{Volume: s.at.Volume, Segment: s.says}
		known, err := r.Ledger.Known(ctx, max(s.says, 1)-1)
		if err != nil {
			return err
		}
		if known[s.says] {
			r.aside(&f, fmt.Sprintf("it is a copy of segment %d, by what it says", s.says))
			continue
		}
		if err := r.Disk.Rename(s.at.Volume, s.at.Segment, s.says); err != nil {
			r.aside(&f, fmt.Sprintf("it is segment %d, by what it says, and can't be named so (%v)", s.says, err))
			continue
		}
		r.find(Repaired, &f, "it is segment %d, by what it says, and is named so", s.says)
		r.Ledger.AtLeast(s.says)
		if err := r.take(ctx, []disk.Found{to}); err != nil {
			return err
		}
	}
	return nil
}

// recoverOpen cuts and seals what was open. Without the site's key that is left to the next start.
func (r *rebuild) recoverOpen(ctx context.Context) error {
	r.out.Recovered = len(r.open)
	if len(r.Key) == 0 {
		return nil
	}
	return r.recoverAll(ctx, r.open, func(ledger.OpenSegment) limit { return limit{bytes: 1<<63 - 1, endUs: 1<<63 - 1} })
}
