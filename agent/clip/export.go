package clip

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	usage "github.com/shirou/gopsutil/v4/disk"

	"holdfast/shared/atomicfile"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// Exported is one file of an export.
type Exported struct {
	Path      string   `json:"path"`
	FromUs    int64    `json:"from_us"` // what it shows, to the frame by its edit list
	ToUs      int64    `json:"to_us"`
	PreRollUs int64    `json:"pre_roll_us,omitempty"` // in the file before what it shows, since decoding begins at a key frame
	Bytes     int64    `json:"bytes"`
	SHA256    string   `json:"sha256"`
	Codec     string   `json:"codec"`           // RFC 6381 codecs string of the picture
	Audio     string   `json:"audio"`           // original, replaced or none
	Sealed    bool     `json:"sealed"`          // all of it is signed by the site: it can be verified
	Notes     []string `json:"notes,omitempty"` // for a person
}

// Target says where a piece is written.
type Target struct {
	Path      string
	Overwrite bool
	Free      int64 // bytes that must be left free on its disk
}

// ErrExists is returned for a file that exists already.
var ErrExists = errors.New("the file exists already")

// FullError says that a disk has no room for a file.
type FullError struct {
	Need, Free, Leave int64 // bytes: of the file, free now, to be left free
}

// Error says it with the numbers.
func (e *FullError) Error() string {
	return fmt.Sprintf("the file takes %d MB, %d MB are free there and %d MB must be left", e.Need/1e6, e.Free/1e6, e.Leave/1e6)
}

// Write writes a piece into a file: under another name first, so that a file with the final name is always whole. The
// error wraps ErrExists, *FullError, or mp4.ErrNoVideo when the piece's segments hold nothing that can be shown. rest is
// what could not go into the same file, nil in the usual case.
func (p *Plan) Write(ctx context.Context, piece Piece, to Target) (out Exported, rest *Piece, err error) {
	a := &assembly{log: p.log}
	changed, err := a.lay(ctx, cut{fromUs: piece.FromUs, toUs: piece.ToUs, audio: p.Audio}, piece.sources)
	if err == nil && changed >= 0 {
		rest = &Piece{FromUs: max(piece.sources[changed].StartUs, piece.FromUs), ToUs: piece.ToUs, sources: piece.sources[changed:]}
		piece = Piece{FromUs: piece.FromUs, ToUs: rest.FromUs, sources: piece.sources[:changed]}
		_, err = a.lay(ctx, cut{fromUs: piece.FromUs, toUs: piece.ToUs, audio: p.Audio}, piece.sources)
	}
	if err != nil {
		return out, rest, fmt.Errorf("export: %w", err)
	}
	out = Exported{
		Path: to.Path, FromUs: a.clip.FromUs, ToUs: a.clip.ToUs, PreRollUs: a.clip.PreRollUs, Bytes: a.clip.Size(), Codec: a.codec, Audio: a.audio,
		Sealed: a.clip.Sealed, Notes: a.notes,
	}
	if out.SHA256, err = save(ctx, a.clip, to); err != nil {
		return out, rest, fmt.Errorf("export to %s: %w", to.Path, err)
	}
	p.show(a.clip)
	return out, rest, nil
}

// save writes a clip and returns its SHA-256.
func save(ctx context.Context, made *mp4.Clip, to Target) (sum string, err error) {
	if _, err := os.Lstat(to.Path); err == nil && !to.Overwrite {
		return "", ErrExists
	}
	dir := filepath.Dir(to.Path)
	if at, err := usage.UsageWithContext(ctx, dir); err == nil && int64(at.Free) < made.Size()+to.Free {
		return "", &FullError{Need: made.Size(), Free: int64(at.Free), Leave: to.Free}
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if to.Overwrite {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	partial := to.Path + ".part"
	f, err := os.OpenFile(partial, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s: %w: another export is writing it, or one was broken off", partial, ErrExists)
	}
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	if err = errors.Join(pour(ctx, made, f, hash), f.Close()); err == nil {
		err = os.Rename(partial, to.Path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(partial))
	}
	return hex.EncodeToString(hash.Sum(nil)), atomicfile.SyncDir(dir)
}

// show notes what a file shows.
func (p *Plan) show(made *mp4.Clip) {
	at := made.FromUs
	for _, g := range made.Gaps {
		p.shown = append(p.shown, extent{at, max(g.FromUs, at)})
		at = max(g.ToUs, at)
	}
	p.shown = append(p.shown, extent{at, max(made.ToUs, at)})
}

const (
	lostDetail   = "It was recorded, but its file is damaged or gone. To see more:  holdfast-agent check --level full"
	beforeDetail = "It lies before the oldest video that is kept."
	laterDetail  = "It lies behind the newest video that is safely on the disk."
)

// Account returns, once the pieces are written, every range that no file shows, with its reason, and how much the files
// show: both together are the range that was asked for.
func (p *Plan) Account(ctx context.Context) (missing []wire.GapFact, recordedUs int64, err error) {
	declared, err := gaps(ctx, p.ledger, p.Stream, p.FromUs, p.ToUs)
	if err != nil {
		return nil, 0, err
	}
	stats, err := p.ledger.StreamStats(ctx)
	if err != nil {
		return nil, 0, err
	}
	for i := range declared {
		switch g := &declared[i]; {
		case g.ID != 0:
		case g.EndUs <= stats[p.Stream].FirstUs+1000:
			g.Detail = beforeDetail
		case g.StartUs >= stats[p.Stream].DurableUs-1000:
			g.Detail = laterDetail
		}
	}
	known := slices.Clone(p.shown)
	for _, g := range declared {
		known = append(known, extent{g.StartUs, g.EndUs})
	}
	missing = declared
	for _, hole := range holes(known, p.FromUs, p.ToUs) {
		if hole.toUs-hole.fromUs > mp4.JoinToleranceUs {
			missing = append(missing, wire.GapFact{Stream: p.Stream, StartUs: hole.fromUs, EndUs: hole.toUs, Reason: wire.Lost, Detail: lostDetail})
		}
	}
	slices.SortFunc(missing, func(a, b wire.GapFact) int { return int(min(max(a.StartUs-b.StartUs, -1), 1)) })
	recordedUs = p.ToUs - p.FromUs
	for _, g := range missing {
		recordedUs -= g.EndUs - g.StartUs
	}
	return missing, recordedUs, nil
}

// holes returns what of [fromUs, toUs) is in none of the ranges.
func holes(ranges []extent, fromUs, toUs int64) (out []extent) {
	slices.SortFunc(ranges, func(a, b extent) int { return int(min(max(a.fromUs-b.fromUs, -1), 1)) })
	at := fromUs
	for _, r := range ranges {
		if r.fromUs > at {
			out = append(out, extent{at, min(r.fromUs, toUs)})
		}
		at = max(at, r.toUs)
	}
	if at < toUs {
		out = append(out, extent{at, toUs})
	}
	return out
}

// Nearest returns a moment of the video nearest to the range, 0 when the stream has none.
func (p *Plan) Nearest(ctx context.Context) (int64, error) {
	return nearest(ctx, p.ledger, p.Stream, p.FromUs, p.ToUs)
}

// Notes returns what planning has to say to a person.
func (p *Plan) Notes() string { return strings.Join(p.from.notes, " ") }
