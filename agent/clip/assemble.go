package clip

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	usage "github.com/shirou/gopsutil/v4/disk"

	"holdfast/agent/ledger"
	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// errFull says that the disk has no room for a clip.
var errFull = errors.New("the disk of the clips is full")

// full says whether an error of the system is that of a full disk.
func full(err error) bool {
	const windowsDiskFull, windowsHandleDiskFull = syscall.Errno(112), syscall.Errno(39)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		os.PathSeparator == '\\' && (errors.Is(err, windowsDiskFull) || errors.Is(err, windowsHandleDiskFull))
}

// Source is an open segment that a range is cut from.
type Source struct {
	ledger.Segment
	File   File
	Size   int64 // bytes of it that are durable
	Header mp4.Header
}

// cut is a range that is wanted of a stream.
type cut struct {
	fromUs, toUs int64
	audio        bool
}

// assembly is a range laid out over open segments.
type assembly struct {
	clip    *mp4.Clip
	sources []Source
	codec   string
	audio   string // mp4.AudioOriginal, AudioReplaced or AudioNone
	notes   []string
	log     *slog.Logger
}

func (a *assembly) close() {
	for _, s := range a.sources {
		if err := s.File.Close(); err != nil {
			a.log.Warn("close segment", "error", err)
		}
	}
}

// remark adds a note for the person, once.
func (a *assembly) remark(text string) {
	if !slices.Contains(a.notes, text) {
		a.notes = append(a.notes, text)
	}
}

func (a *assembly) note() string { return strings.Join(a.notes, " ") }

const (
	noteDamaged = "A part of the recording is damaged and left out."
	noteStepped = "The site's clock was set back in this range: what was recorded twice for the same time is shown once."
	noteSilent  = "The sound could not be converted and is left out."
)

// assemble lays the clip out over the segments. The assembly is to be closed also when there is an error.
func (r *Room) assemble(ctx context.Context, o wire.ClipOrder, segments []ledger.Segment) (*assembly, error) {
	a := &assembly{log: r.Log.With("clip", o.Clip)}
	for _, s := range segments {
		if err := a.open(r.Open, s); err != nil {
			return a, err
		}
	}
	want := cut{fromUs: o.StartUs, toUs: o.EndUs, audio: o.Audio}
	for sources := a.sources; ; {
		changed, err := a.lay(ctx, want, sources)
		if err != nil || changed < 0 {
			return a, err
		}
		at := sources[changed].StartUs
		a.remark("The camera changed its codec at " + time.UnixMicro(at).UTC().Format(time.DateTime) +
			" UTC; the clip ends there. Ask for the rest as a clip of its own.")
		want.toUs, sources = at, sources[:changed]
	}
}

// lay makes the clip of the sources. changed is the index of the source at which the clip must end because its codec
// is another one, or -1.
func (a *assembly) lay(ctx context.Context, want cut, sources []Source) (changed int, err error) {
	// Sound that is replaced is not taken in the first place, so that no change of its codec ends the clip.
	replace := want.audio && slices.ContainsFunc(sources, func(s Source) bool { return converted(&s.Header) >= 0 })
	w, err := mp4.NewClipWriter(mp4.ClipConfig{FromUs: want.fromUs, ToUs: want.toUs, DropAudio: !want.audio || replace})
	if err != nil {
		return -1, fmt.Errorf("begin clip: %w", err)
	}
	a.audio = mp4.AudioNone
	sound := newSound(want.fromUs, want.toUs)
	for i, s := range sources {
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		err := w.AddSegment(s.File, s.Size)
		switch {
		case errors.Is(err, mp4.ErrCodec) && s.StartUs > want.fromUs:
			return i, nil
		case errors.Is(err, mp4.ErrOrder):
			a.remark(noteStepped)
			continue
		case errors.Is(err, mp4.ErrFormat), errors.Is(err, mp4.ErrCodec):
			a.remark(noteDamaged)
			continue
		case err != nil:
			return -1, fmt.Errorf("add segment %d: %w", s.ID, err)
		}
		if video := s.Header.VideoTrack(); video >= 0 && a.codec == "" {
			a.codec = s.Header.Tracks[video].MIME()
		}
		if want.audio && !replace && s.Header.AudioTrack() >= 0 {
			a.audio = mp4.AudioOriginal
		}
		if replace {
			sound.add(s.File, s.Size, s.Header)
		}
	}
	if replace {
		track, samples, err := sound.finish()
		if err == nil && len(samples) > 0 {
			err = w.SetAudio(track, samples)
			a.audio = mp4.AudioReplaced
		}
		if err != nil { // sound never costs the picture
			a.remark(noteSilent)
			a.audio = mp4.AudioNone
			a.log.Warn("convert sound", "error", err)
		}
	}
	a.clip, err = w.Finish()
	return -1, err
}

// open opens a segment. One that retention has deleted meanwhile is a gap by now, and one that is no segment any more
// is left out.
func (a *assembly) open(open func(volume string, segment uint64) (File, int64, error), s ledger.Segment) error {
	f, size, err := open(s.Volume, s.ID)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open segment %d: %w", s.ID, err)
	}
	if s.Bytes > 0 {
		size = min(size, s.Bytes) // what is behind is not durable yet
	}
	header, _, err := mp4.ReadHeader(f, size)
	switch {
	case errors.Is(err, mp4.ErrFormat):
		a.remark(noteDamaged)
		return f.Close()
	case err != nil:
		return errors.Join(fmt.Errorf("read segment %d: %w", s.ID, err), f.Close())
	}
	a.sources = append(a.sources, Source{Segment: s, File: f, Size: size, Header: header})
	return nil
}

// partBytes is the smallest part that S3 takes; on a narrow line a small part is little to send again.
const partBytes = 5 << 20

// store writes the clip into its file, makes it durable and returns its sums.
func (r *Room) store(ctx context.Context, clip id.Clip, made *mp4.Clip) (wire.ClipBegin, error) {
	if at, err := usage.UsageWithContext(ctx, r.cfg.Dir); err == nil && int64(at.Free) < made.Size()+r.cfg.Free {
		return wire.ClipBegin{}, fmt.Errorf("store clip of %d MB with %d MB free: %w", made.Size()/1e6, at.Free/1e6, errFull)
	}
	tmp := r.path(clip) + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return wire.ClipBegin{}, fmt.Errorf("store cut clip: %w", err)
	}
	sums := newSummer(made.Size(), r.part)
	if err = errors.Join(pour(ctx, made, f, sums), f.Close()); err == nil {
		err = os.Rename(tmp, r.path(clip))
	}
	if err == nil {
		err = atomicfile.SyncDir(r.cfg.Dir)
	}
	if err != nil {
		return wire.ClipBegin{}, errors.Join(fmt.Errorf("store cut clip: %w", err), remove(tmp))
	}
	return sums.begin(), nil
}

// pour writes a clip into f and makes it durable; sums sees what passes. It ends early with ctx.
func pour(ctx context.Context, made *mp4.Clip, f *os.File, sums io.Writer) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	stoppable := writer(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return buffered.Write(p)
	})
	if _, err := made.WriteTo(io.MultiWriter(stoppable, sums)); err != nil {
		return err
	}
	return errors.Join(buffered.Flush(), f.Sync())
}

// writer is a function that implements io.Writer.
type writer func(p []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }

// summer sums a clip and its parts while it passes.
type summer struct {
	b     wire.ClipBegin
	whole hash.Hash
	part  hash.Hash
	left  int64 // of the part
}

func newSummer(bytes, part int64) *summer {
	return &summer{b: wire.ClipBegin{Bytes: bytes, PartBytes: part}, whole: sha256.New(), part: sha256.New(), left: part}
}

// Write implements io.Writer; it never fails.
func (s *summer) Write(p []byte) (int, error) {
	_, _ = s.whole.Write(p) // a hash takes everything
	for rest := p; len(rest) > 0; {
		n := min(int64(len(rest)), s.left)
		_, _ = s.part.Write(rest[:n])
		rest = rest[n:]
		if s.left -= n; s.left == 0 {
			s.next()
		}
	}
	return len(p), nil
}

func (s *summer) next() {
	s.b.Parts = append(s.b.Parts, s.part.Sum(nil))
	s.part, s.left = sha256.New(), s.b.PartBytes
}

// begin returns what is announced to the cloud, once everything has passed.
func (s *summer) begin() wire.ClipBegin {
	if s.left < s.b.PartBytes {
		s.next()
	}
	s.b.SHA256 = s.whole.Sum(nil)
	return s.b
}
