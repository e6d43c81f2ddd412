package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// archive is a source whose answers the test chooses.
type archive struct {
	mu     sync.Mutex
	asked  int
	answer func(want Want, w io.Writer) error
}

func (a *archive) Fetch(_ context.Context, want Want, w io.Writer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return a.answer(want, w)
}

func (a *archive) times() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// footage writes a segment of seconds long from the beginning of the range.
func footage(seconds int, change func(*mp4.Header)) func(Want, io.Writer) error {
	return func(want Want, w io.Writer) error {
		h := mp4.Header{
			Segment: want.Segment, Camera: string(want.Stream.Camera), Stream: string(want.Stream.Kind), Origin: "nvr", Run: 1,
			StartUs: want.FromUs, Base: []int64{0}, Tracks: []mp4.Track{{
				Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 64, Height: 36,
			}},
		}
		change(&h)
		init, err := mp4.AppendInit(nil, h)
		if err != nil {
			return err
		}
		b, err := mp4.NewPartBuilder(h)
		if err != nil {
			return err
		}
		for i := range seconds {
			b.Reset(uint32(i+1), h.StartUs+int64(i)*1e6, int64(i)*1e6)
			if err := b.Add(mp4.Sample{DTS: int64(i) * 90000, Duration: 90000, Key: true, Units: [][]byte{{0x65, 1}}}); err != nil {
				return err
			}
			init, _ = b.AppendTo(init)
		}
		_, err = w.Write(init)
		return err
	}
}

type site struct {
	t      *testing.T
	on     Floors
	stream id.Stream
	now    int64
}

func newSite(t *testing.T, dir string) *site {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "v"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	c := media.NewClock()
	c.Begin(1)
	return &site{
		t: t, on: Floors{Ledger: l, Disk: d, Clock: c, Log: log}, stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, now: c.Now(),
	}
}

func (s *site) close() {
	s.t.Helper()
	if err := errors.Join(s.on.Disk.Close(), s.on.Ledger.Close()); err != nil {
		s.t.Error(err)
	}
}

// gap declares a gap of so many seconds, an hour ago.
func (s *site) gap(seconds int64, reason wire.Reason) int64 {
	s.t.Helper()
	from := s.now - 3600e6
	n, err := s.on.Ledger.BeginGap(s.t.Context(), ledger.Gap{Stream: s.stream, Run: 1, StartUs: from, EndUs: from + seconds*1e6, Reason: reason})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// filled returns the seconds of the gap that are recorded, and that they have the origin.
func (s *site) filled() (seconds int64) {
	s.t.Helper()
	ranges, err := s.on.Ledger.Coverage(s.t.Context(), s.stream, s.now-7200e6, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range ranges {
		if r.Recorded {
			seconds += (r.EndUs - r.StartUs) / 1e6
			if r.Origin != "nvr" {
				s.t.Errorf("the footage has origin %q", r.Origin)
			}
		}
	}
	return seconds
}

func (s *site) files() (n int) {
	s.t.Helper()
	if err := s.on.Disk.Scan(0, func(disk.Found) error { n++; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func same(*mp4.Header) {}

func TestAGapIsFilledWithItsOrigin(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	gap := s.gap(10, wire.Unreachable)
	nothing := &archive{answer: func(Want, io.Writer) error { return fmt.Errorf("channel 3: %w", ErrNothing) }}
	nvr := &archive{answer: footage(8, same)}
	f := New(Config{Streams: []id.Stream{s.stream}, Sources: map[string]Source{"card": nothing, "nvr": nvr}}, s.on)
	if err := f.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.filled(); got != 8 {
		t.Errorf("%d seconds are filled, want 8", got)
	}
	if answer := f.Answer(gap); !strings.Contains(answer, "card: channel 3") || !strings.Contains(answer, "gave 8 of 10 seconds") {
		t.Errorf("the answer is %q", answer)
	}
	if err := f.Round(t.Context()); err != nil || nothing.times() != 1 || nvr.times() != 1 {
		t.Errorf("asked %d and %d times, %v", nothing.times(), nvr.times(), err)
	}
}

func TestFootageThatIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(Want, io.Writer) error
		words  string
	}{
		"no origin":      {footage(5, func(h *mp4.Header) { h.Origin = "" }), "where it comes from"},
		"another camera": {footage(5, func(h *mp4.Header) { h.Camera = "cam-x" }), "another camera"},
		"another time":   {footage(5, func(h *mp4.Header) { h.StartUs -= 60e6 }), "another time"},
		"too long":       {footage(30, same), "another time"},
		"no segment":     {func(_ Want, w io.Writer) error { _, err := w.Write([]byte("<html>")); return err }, "not a holdfast media file"},
		"torn": {func(want Want, w io.Writer) error {
			var b strings.Builder
			if err := footage(5, same)(want, &b); err != nil {
				return err
			}
			_, err := w.Write([]byte(b.String()[:b.Len()-1]))
			return err
		}, "damaged"},
		"an error": {func(Want, io.Writer) error { return errors.New("session limit reached") }, "session limit reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			defer s.close()
			gap := s.gap(10, wire.Unreachable)
			f := New(Config{Streams: []id.Stream{s.stream}, Sources: map[string]Source{"nvr": &archive{answer: c.answer}}}, s.on)
			if err := f.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.filled(); got != 0 {
				t.Errorf("%d seconds came in", got)
			}
			if answer := f.Answer(gap); !strings.Contains(answer, c.words) {
				t.Errorf("the answer is %q, want %q in it", answer, c.words)
			}
			garbage, err := s.on.Ledger.Garbage(t.Context())
			if err != nil || len(garbage) != s.files() {
				t.Errorf("%d files, of which %d are garbage, %v", s.files(), len(garbage), err)
			}
		})
	}
}

func TestGapsThatAreNotOffered(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	s.gap(10, wire.Disabled)
	if _, err := s.on.Ledger.BeginGap(t.Context(), ledger.Gap{Stream: s.stream, Run: 1, StartUs: s.now - 60e6, Reason: wire.Unreachable}); err != nil {
		t.Fatal(err)
	}
	nvr := &archive{answer: footage(5, same)}
	f := New(Config{Streams: []id.Stream{s.stream}, Sources: map[string]Source{"nvr": nvr}}, s.on)
	if err := f.Round(t.Context()); err != nil || nvr.times() != 0 {
		t.Errorf("asked %d times, %v; a chosen gap and one that lasts are nobody's to fill", nvr.times(), err)
	}
}

func TestASourceThatFailsIsAskedAgainLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		defer s.close()
		s.gap(10, wire.Stalled)
		nvr := &archive{answer: func(Want, io.Writer) error { return errors.New("busy") }}
		f := New(Config{Streams: []id.Stream{s.stream}, Sources: map[string]Source{"nvr": nvr}}, s.on)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		<-time.After(29 * time.Minute)
		if nvr.times() != 1 {
			t.Errorf("asked %d times in half an hour", nvr.times())
		}
		nvr.mu.Lock()
		nvr.answer = footage(10, same)
		nvr.mu.Unlock()
		<-time.After(3 * time.Minute)
		if nvr.times() != 2 || s.filled() != 10 {
			t.Errorf("asked %d times, %d seconds filled", nvr.times(), s.filled())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestWithoutSourcesNothingIsPretended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{}, Floors{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		if answer := f.Answer(1); !strings.Contains(answer, "no other source") {
			t.Errorf("the answer is %q", answer)
		}
	})
}
