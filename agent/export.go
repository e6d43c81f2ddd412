package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/agent/clip"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Export is what a person wants of a camera's video, as files.
type Export struct {
	Camera   string // key, ID or name
	Stream   id.StreamKind
	From, To string        // as Moment reads them
	Out      string        // a file, or a folder; empty: files named by camera and time in the present folder
	Apart    time.Duration // the longest gap that stays inside a file
	Mute     bool
	Force    bool                            // overwrite, and use the room that recording needs
	Writing  func(path string, p clip.Piece) // told before each file; may be nil
}

// ExportReport is what came of an Export: the files show RecordedUs, the gaps take MissingUs, and both together are the
// range that was asked for.
type ExportReport struct {
	Camera     id.Camera       `json:"camera"`
	Key        string          `json:"key"`
	Name       string          `json:"name,omitempty"`
	Stream     id.StreamKind   `json:"stream"`
	FromUs     int64           `json:"from_us"`
	ToUs       int64           `json:"to_us"`
	RecordedUs int64           `json:"recorded_us"`
	MissingUs  int64           `json:"missing_us"`
	Files      []clip.Exported `json:"files"`
	Gaps       []wire.GapFact  `json:"gaps"`
	Notes      string          `json:"notes,omitempty"`
}

// String returns the report as lines for a person.
func (r ExportReport) String() string {
	var b strings.Builder
	who := known{ID: r.Camera, Key: r.Key, Name: r.Name}
	fmt.Fprintf(&b, "%v, %s, %s\n", who, r.Stream, rangeText(r.FromUs, r.ToUs))
	for _, f := range r.Files {
		fmt.Fprintf(&b, "  file %s: %s (%s), %.1f MB, %s, sound %s\n", f.Path, rangeText(f.FromUs, f.ToUs), lengthText(f.ToUs-f.FromUs),
			float64(f.Bytes)/1e6, f.Codec, f.Audio)
		if !f.Sealed {
			fmt.Fprintln(&b, "       It can't be verified: a part of it is not signed yet, or is damaged. If it is from the last minutes, export it again in two.")
		}
		for _, n := range f.Notes {
			fmt.Fprintln(&b, "       "+n)
		}
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "  gap  %s (%s): %s", rangeText(g.StartUs, g.EndUs), lengthText(g.EndUs-g.StartUs), strings.ReplaceAll(string(g.Reason), "_", " "))
		if g.Detail != "" {
			b.WriteString(". " + g.Detail)
		}
		b.WriteByte('\n')
	}
	if r.Notes != "" {
		fmt.Fprintln(&b, "  "+r.Notes)
	}
	fmt.Fprintf(&b, "Asked %s = recorded %s + gaps %s.\n", lengthText(r.ToUs-r.FromUs), lengthText(r.RecordedUs), lengthText(r.MissingUs))
	return b.String()
}

// RunExport writes a range of a camera's video into files, beside a running agent or without one. The report is whole
// when err is nil; else it says what was written before err.
func RunExport(ctx context.Context, cfg Config, e Export) (r ExportReport, err error) {
	now := time.Now()
	from, err := Moment(e.From, now, time.Time{})
	if err != nil {
		return r, fmt.Errorf("--from: %w", err)
	}
	to, err := Moment(e.To, now, from)
	if err != nil {
		return r, fmt.Errorf("--to: %w", err)
	}
	switch {
	case to.After(now):
		return r, fmt.Errorf("--to lies in the future: it is %s now", now.Format(time.DateTime))
	case !from.Before(to):
		return r, fmt.Errorf("the range ends (%s) before it begins (%s)", to.Format(time.DateTime), from.Format(time.DateTime))
	case to.Sub(from) > maxExport:
		return r, fmt.Errorf("an export may be %d days long at most: export it in several", int(maxExport.Hours()/24))
	}
	log := slog.New(slog.DiscardHandler)
	a, err := openArchive(ctx, cfg, log)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	cam, err := a.find(ctx, e.Camera)
	if err != nil {
		return r, err
	}
	r = ExportReport{Camera: cam.ID, Key: cam.Key, Name: cam.Name, Stream: e.Stream, FromUs: from.UnixMicro(), ToUs: to.UnixMicro()}
	if err := a.awaitDurable(ctx, r); err != nil {
		return r, err
	}
	plan, err := clip.NewPlan(ctx, a.ledger, a.open, clip.Export{
		Stream: id.Stream{Camera: cam.ID, Kind: e.Stream}, FromUs: r.FromUs, ToUs: r.ToUs, Audio: !e.Mute, Apart: e.Apart,
	}, log)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	err = a.write(ctx, plan, e, &r)
	if accountErr := a.account(ctx, plan, &r); err == nil {
		err = accountErr
	}
	return r, err
}

const maxExport = 31 * 24 * time.Hour

func (a *archive) open(volume string, segment uint64) (clip.File, int64, error) {
	return a.disk.OpenRead(volume, segment)
}

// awaitDurable waits, when the end of the range has only just passed, until a running agent has it safely on the disk.
func (a *archive) awaitDurable(ctx context.Context, r ExportReport) error {
	const patience = 5 * time.Second
	stream := id.Stream{Camera: r.Camera, Kind: r.Stream}
	limit := time.NewTimer(patience - time.Since(time.UnixMicro(r.ToUs)))
	defer limit.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		ranges, err := a.ledger.Coverage(ctx, stream, r.ToUs-1, r.ToUs)
		if err != nil || len(ranges) > 0 {
			return err
		}
		select {
		case <-limit.C:
			return nil
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write writes the pieces one after the other.
func (a *archive) write(ctx context.Context, plan *clip.Plan, e Export, r *ExportReport) error {
	paths, err := e.paths(plan.Pieces, r)
	if err != nil {
		return err
	}
	for queue := plan.Pieces; len(queue) > 0; {
		piece := queue[0]
		queue = queue[1:]
		path := paths(len(r.Files), piece)
		if e.Writing != nil {
			e.Writing(path, piece)
		}
		done, rest, err := plan.Write(ctx, piece, clip.Target{Path: path, Overwrite: e.Force, Free: a.leave(path, e.Force)})
		if rest != nil {
			queue = append([]clip.Piece{*rest}, queue...)
		}
		switch {
		case errors.Is(err, mp4.ErrNoVideo): // damaged: the account says so
		case err != nil:
			return explainExport(err)
		default:
			r.Files = append(r.Files, done)
		}
	}
	return nil
}

func (a *archive) account(ctx context.Context, plan *clip.Plan, r *ExportReport) (err error) {
	if r.Gaps, r.RecordedUs, err = plan.Account(ctx); err != nil {
		return err
	}
	r.MissingUs, r.Notes = r.ToUs-r.FromUs-r.RecordedUs, plan.Notes()
	if len(r.Files) > 0 {
		return nil
	}
	at, err := plan.Nearest(ctx)
	switch {
	case err != nil:
		return err
	case at == 0:
		return fmt.Errorf("there is no %s video of this camera", r.Stream)
	}
	return fmt.Errorf("there is no video in this range; the nearest is at %s", clockText(at))
}

// leave is how much must stay free on the disk of a path: on one that records what recording keeps free, for else
// retention would delete video to make room for the export.
func (a *archive) leave(path string, force bool) int64 {
	free := int64(64 << 20)
	for _, v := range a.disk.Volumes() {
		if !force && v.Err == nil && sameDisk(filepath.Dir(path), v.Path) {
			free = max(free, v.Reserve)
		}
	}
	return free
}

func explainExport(err error) error {
	var full *clip.FullError
	switch {
	case errors.Is(err, clip.ErrExists):
		return fmt.Errorf("%w: it stays as it is. Name another with --out, or overwrite it with --force", err)
	case errors.As(err, &full) && full.Leave > 64<<20:
		return fmt.Errorf("%w: this disk records, and old video would be deleted for the room. Name a file on another disk with --out", err)
	case errors.As(err, &full):
		return fmt.Errorf("%w: name a file on another disk with --out, or ask for a shorter range", err)
	}
	return err
}

// paths returns how the files are called; it is an error when one of them exists already and may not be overwritten.
func (e *Export) paths(pieces []clip.Piece, r *ExportReport) (func(n int, p clip.Piece) string, error) {
	info, err := os.Stat(e.Out)
	folder := e.Out == "" || strings.HasSuffix(e.Out, string(os.PathSeparator)) || err == nil && info.IsDir()
	taken := map[string]bool{}
	name := func(n int, p clip.Piece) string {
		ext := filepath.Ext(e.Out)
		base := strings.TrimSuffix(e.Out, ext)
		if !folder && len(pieces) == 1 && n == 0 {
			return e.Out
		}
		if !folder {
			return fmt.Sprintf("%s-%d%s", base, n+1, ext)
		}
		stem := fmt.Sprintf("%s-%s-%s", r.Key, r.Stream, time.UnixMicro(p.FromUs).Format("20060102-150405"))
		path := filepath.Join(e.Out, stem+".mp4")
		for i := 2; taken[path]; i++ {
			path = filepath.Join(e.Out, fmt.Sprintf("%s-%d.mp4", stem, i))
		}
		return path
	}
	if folder {
		if err := os.MkdirAll(filepath.Join(e.Out, "."), 0o755); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
	}
	used := func(n int, p clip.Piece) string {
		path := name(n, p)
		taken[path] = true
		return path
	}
	for i, p := range pieces {
		path := used(i, p)
		if _, err := os.Lstat(path); err == nil && !e.Force {
			return nil, explainExport(fmt.Errorf("%s: %w", path, clip.ErrExists))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	clear(taken)
	return used, nil
}
