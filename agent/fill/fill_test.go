package fill

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
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
	answer func(fromUs, toUs int64, take take) error
}

type take = func(f media.Frame, wallUs int64, guessed bool) error

func (a *archive) Fetch(_ context.Context, fromUs, toUs int64, take func(f media.Frame, wallUs int64, guessed bool) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return a.answer(fromUs, toUs, take)
}

func (a *archive) times() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *archive) say(answer func(fromUs, toUs int64, take take) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func params() *media.Params {
	return &media.Params{Tracks: []mp4.Track{{
		Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 64, Height: 36,
	}}}
}

// film is a source's footage: ten pictures a second, a key frame every two seconds, the n-th picture since 1970 with its
// number in it.
type film struct {
	params *media.Params
	from   int64 // µs; what lies before was not filmed
	to     int64
	ahead  int64 // by how much its clock is off
	guess  bool
}

const stepUs = 100_000

// at returns the picture of a moment.
func (m *film) at(n int64) media.Frame {
	unit := binary.BigEndian.AppendUint64([]byte{0x41}, uint64(n))
	key := n%20 == 0
	if key {
		unit[0] = 0x65
	}
	return media.Frame{Params: m.params, PTS: n * 9000, DTS: n * 9000, Key: key, Units: [][]byte{unit}, Bytes: len(unit)}
}

func (m *film) fetch(fromUs, toUs int64, take take) error {
	n := (fromUs - m.ahead) / stepUs / 20 * 20
	if first := m.from / stepUs; n < first {
		n = (first + 19) / 20 * 20
	}
	sent := false
	for ; n*stepUs < min(m.to, toUs); n++ {
		sent = true
		if err := take(m.at(n), n*stepUs+m.ahead, m.guess); err != nil {
			return err
		}
	}
	if !sent {
		return ErrNothing
	}
	return nil
}

type site struct {
	t      *testing.T
	on     Floors
	stream id.Stream
	key    ed25519.PrivateKey
	now    int64
	from   int64 // where gaps begin: an hour ago, half a second behind a key frame
}

func newSite(t *testing.T, dir string) *site {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	d, err := disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "v"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	c := media.NewClock()
	c.Begin(1)
	s.on, s.now = Floors{Ledger: l, Disk: d, Clock: c, Log: log}, c.Now()
	s.from = (s.now-3600e6)/(20*stepUs)*20*stepUs + 5*stepUs
	return s
}

func (s *site) close() {
	s.t.Helper()
	if err := errors.Join(s.on.Disk.Close(), s.on.Ledger.Close()); err != nil {
		s.t.Error(err)
	}
}

// filler offers the stream's gaps to sources by these names.
func (s *site) filler(change func(*Config), sources ...any) *Filler {
	c := Config{Key: s.key, Site: id.New[id.Site](), Offers: map[id.Stream][]Offer{}}
	for i := 0; i < len(sources); i += 2 {
		c.Offers[s.stream] = append(c.Offers[s.stream], Offer{Name: sources[i].(string), Source: sources[i+1].(Source)})
	}
	if change != nil {
		change(&c)
	}
	return New(c, s.on)
}

func (s *site) round(f *Filler) {
	s.t.Helper()
	if err := f.Round(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// gap declares a gap of so many seconds.
func (s *site) gap(seconds int64, reason wire.Reason) int64 {
	s.t.Helper()
	n, err := s.on.Ledger.BeginGap(s.t.Context(), ledger.Gap{Stream: s.stream, Run: 1, StartUs: s.from, EndUs: s.from + seconds*1e6, Reason: reason})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// record writes what the agent recorded of a film, in one segment.
func (s *site) record(m *film, fromUs, toUs int64) {
	s.t.Helper()
	p := params()
	h := mp4.Header{
		Segment: s.on.Ledger.NextSegment(), Camera: string(s.stream.Camera), Stream: string(s.stream.Kind), Run: 1, StartUs: fromUs,
		Base: []int64{0}, Tracks: p.Tracks,
	}
	out, err := mp4.AppendInit(nil, h)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := mp4.NewPartBuilder(h)
	if err != nil {
		s.t.Fatal(err)
	}
	first, parts := fromUs/stepUs, []mp4.PartSum{}
	for n := first; n*stepUs < toUs; n++ {
		if (n-first)%10 == 0 {
			b.Reset(uint32(len(parts)+1), n*stepUs, (n-first)*stepUs)
		}
		f := m.at(n)
		if err := b.Add(mp4.Sample{DTS: (n - first) * 9000, Duration: 9000, Key: f.Key, Units: f.Units}); err != nil {
			s.t.Fatal(err)
		}
		if (n-first)%10 == 9 || (n+1)*stepUs >= toUs {
			var sum mp4.PartSum
			out, sum = b.AppendTo(out)
			parts = append(parts, sum)
		}
	}
	file, err := s.on.Disk.Create(h.Segment)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := file.Write(out); err != nil {
		s.t.Fatal(err)
	}
	if err := file.Flush(); err != nil {
		s.t.Fatal(err)
	}
	row := ledger.Segment{
		ID: h.Segment, Volume: file.Volume(), Stream: s.stream, Run: 1, StartUs: fromUs, EndUs: toUs, Bytes: file.Size(),
		Parts: len(parts), Root: mp4.NewStatement(h, nil, parts).Root,
	}
	if _, err := s.on.Ledger.CloseSegment(s.t.Context(), row, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// filled returns the seconds that are recorded with this origin.
func (s *site) filled(origin string) (seconds float64) {
	s.t.Helper()
	ranges, err := s.on.Ledger.Coverage(s.t.Context(), s.stream, s.now-7200e6, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range ranges {
		if r.Recorded && r.Origin == origin {
			seconds += float64(r.EndUs-r.StartUs) / 1e6
		}
	}
	return seconds
}

// pictures counts the pictures that segments show, by number, and sees that every fetched one verifies.
func (s *site) pictures() map[int64]int {
	s.t.Helper()
	segments, err := s.on.Ledger.Segments(s.t.Context(), s.stream, 0, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[int64]int{}
	for _, seg := range segments {
		file, size, err := s.on.Disk.OpenRead(seg.Volume, seg.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		if seg.Origin != "" {
			rep, err := mp4.VerifySegment(file, size, s.key.Public().(ed25519.PublicKey))
			if err != nil || !rep.OK || rep.Statement.Root != seg.Root || rep.Header.Origin != seg.Origin {
				s.t.Errorf("segment %d: %v, %v", seg.ID, rep.Problems, err)
			}
		}
		for part, err := range mp4.Parts(file, min(size, seg.Bytes)) {
			if err != nil {
				s.t.Fatal(err)
			}
			if part.Sum.EndUs <= seg.StartUs {
				continue // for decoding alone
			}
			samples, err := mp4.ReadSamples(file, part)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, x := range samples {
				n := int64(binary.BigEndian.Uint64(x.Units[0][1:]))
				out[n]++
				if at := part.Sum.StartUs - part.Sum.MediaUs + x.DTS*100/9; at-n*stepUs > 1000 || n*stepUs-at > 1000 {
					s.t.Errorf("picture %d lies %d ms beside its time", n, (at-n*stepUs)/1000)
				}
			}
		}
		if err := file.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// whole sees that every picture of a range is shown once.
func (s *site) whole(fromUs, toUs int64) {
	s.t.Helper()
	shown := s.pictures()
	for n := fromUs / stepUs; n*stepUs < toUs; n++ {
		if shown[n] != 1 {
			s.t.Errorf("picture %d, %.1f s into the range, is shown %d times", n, float64(n*stepUs-fromUs)/1e6, shown[n])
		}
	}
	if want := int((toUs - fromUs) / stepUs); len(shown) != want {
		s.t.Errorf("%d pictures are shown, want %d", len(shown), want)
	}
}

func (s *site) files() (n int) {
	s.t.Helper()
	if err := s.on.Disk.Scan(0, func(disk.Found) error { n++; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestAGapIsFilledWithItsOrigin(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	gap := s.gap(150, wire.Unreachable)
	m := &film{params: params(), to: s.now}
	nothing := &archive{answer: func(int64, int64, take) error { return fmt.Errorf("channel 3: %w", ErrNothing) }}
	nvr := &archive{answer: m.fetch}
	f := s.filler(nil, "card", nothing, "nvr", nvr)
	s.round(f)
	s.whole(s.from, s.from+150e6)
	if got := s.filled("nvr"); got != 150 {
		t.Errorf("%v seconds are filled, want 150", got)
	}
	if answer := f.Answer(gap); !strings.Contains(answer, "card: channel 3") || !strings.Contains(answer, "nvr: gave 150 of 150 seconds") {
		t.Errorf("the answer is %q", answer)
	}
	if s.files() != 3 {
		t.Errorf("%d files, want three of a minute at most", s.files())
	}
	s.round(f)
	if nothing.times() != 1 || nvr.times() != 1 {
		t.Errorf("asked %d and %d times", nothing.times(), nvr.times())
	}
}

// TestWhatWasRecordedSaysWhereFootageJoins: a source with a wrong clock lands where it belongs, to the picture.
func TestWhatWasRecordedSaysWhereFootageJoins(t *testing.T) {
	for name, m := range map[string]*film{
		"right":           {},
		"a little behind": {ahead: -130_000},
		"ahead":           {ahead: 1_900_000},
		"behind":          {ahead: -1_900_000},
		"no clock":        {guess: true, ahead: -700_000},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			defer s.close()
			m.params, m.to = params(), s.now
			begin, end := s.from-25*stepUs, s.from+115*stepUs
			s.record(m, begin, s.from)
			// The gap ends at a key frame.
			if _, err := s.on.Ledger.BeginGap(t.Context(), ledger.Gap{Stream: s.stream, Run: 1, StartUs: s.from, EndUs: end, Reason: wire.Unreachable}); err != nil {
				t.Fatal(err)
			}
			s.record(m, end, end+3e6)
			s.round(s.filler(nil, "nvr", &archive{answer: m.fetch}))
			s.whole(begin, end+3e6)
			if got := s.filled("nvr"); got != 11.5 {
				t.Errorf("%v seconds are filled, want 11.5", got)
			}
		})
	}
}

func TestFootageThatIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(s *site) func(int64, int64, take) error
		words  string
	}{
		"another time": {func(s *site) func(int64, int64, take) error {
			m := &film{params: params(), to: s.now}
			return func(from, to int64, take take) error { return m.fetch(from-600e6, to-600e6, take) }
		}, "nothing that can be decoded"},
		"no key frame": {func(s *site) func(int64, int64, take) error {
			m := &film{params: params()}
			return func(from, _ int64, take take) error {
				for n := from/stepUs/20*20 + 21; n%20 != 0; n++ {
					if err := take(m.at(n), n*stepUs, false); err != nil {
						return err
					}
				}
				return nil
			}
		}, "nothing that can be decoded"},
		"no times": {func(s *site) func(int64, int64, take) error {
			return (&film{params: params(), to: s.now, guess: true}).fetch
		}, "does not say when its pictures were taken"},
		"an error": {func(*site) func(int64, int64, take) error {
			return func(int64, int64, take) error { return errors.New("session limit reached") }
		}, "session limit reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			defer s.close()
			gap := s.gap(60, wire.Unreachable)
			f := s.filler(nil, "nvr", &archive{answer: c.answer(s)})
			s.round(f)
			if got := s.filled("nvr"); got != 0 {
				t.Errorf("%v seconds came in", got)
			}
			if answer := f.Answer(gap); !strings.Contains(answer, c.words) {
				t.Errorf("the answer is %q", answer)
			}
			garbage, err := s.on.Ledger.Garbage(t.Context())
			if err != nil || len(garbage) != s.files() {
				t.Errorf("%d files, of which %d are garbage, %v", s.files(), len(garbage), err)
			}
		})
	}
}

// TestHolesStayDeclared: footage with a hole fills what it can, and the next source is asked for the rest alone.
func TestHolesStayDeclared(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	gap := s.gap(60, wire.HostOff)
	m := &film{params: params(), to: s.now}
	hole := [2]int64{s.from + 21e6, s.from + 34e6}
	first := &archive{answer: func(from, to int64, take take) error {
		if err := m.fetch(from, hole[0], take); err != nil {
			return err
		}
		return (&film{params: m.params, from: hole[1], to: s.now}).fetch(hole[1], to, take)
	}}
	var wanted []int64
	second := &archive{answer: func(from, to int64, take take) error {
		wanted = append(wanted, from+marginUs, to-marginUs)
		return m.fetch(from, to, take)
	}}
	f := s.filler(nil, "card", first, "nvr", second)
	s.round(f)
	s.whole(s.from, s.from+60e6)
	if len(wanted) != 2 || wanted[0] < hole[0]-1e6 || wanted[0] > hole[0]+1e6 || wanted[1] < hole[1] || wanted[1] > hole[1]+2e6 {
		t.Errorf("the second source was asked for %v, the hole is %v", wanted, hole)
	}
	if answer := f.Answer(gap); !strings.Contains(answer, "card: gave 4") || !strings.Contains(answer, "nvr: gave 1") {
		t.Errorf("the answer is %q", answer)
	}
}

// TestALongGapIsFetchedInPieces: the source is let go after each, and what came before a failure stays.
func TestALongGapIsFetchedInPieces(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		defer s.close()
		gap := s.gap(300, wire.AgentCrashed)
		m := &film{params: params(), to: s.now}
		nvr := &archive{}
		longest := int64(0)
		nvr.answer = func(from, to int64, take take) error {
			longest = max(longest, to-from)
			if nvr.asked == 3 {
				if err := m.fetch(from, from+30e6, take); err != nil {
					return err
				}
				return errors.New("the line was cut")
			}
			return m.fetch(from, to, take)
		}
		f := s.filler(func(c *Config) { c.Piece = time.Minute }, "nvr", nvr)
		s.round(f)
		if got := s.filled("nvr"); got < 140 || got > 160 || nvr.times() != 3 {
			t.Errorf("%v seconds came in by %d fetches before the line was cut", got, nvr.times())
		}
		if answer := f.Answer(gap); !strings.Contains(answer, "the line was cut") {
			t.Errorf("the answer is %q", answer)
		}
		s.round(f)
		if nvr.times() != 3 {
			t.Error("the source was asked again at once")
		}
		<-time.After(31 * time.Minute)
		s.round(f)
		s.whole(s.from, s.from+300e6)
		if got := s.filled("nvr"); got != 300 || longest > 60e6+keyUs+2*marginUs {
			t.Errorf("%v seconds are filled; up to %d s were fetched at once", got, longest/1e6)
		}
	})
}

func TestGapsThatAreNotOffered(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	s.gap(10, wire.Disabled)
	for _, end := range []int64{0, s.now - 5e6} {
		if _, err := s.on.Ledger.BeginGap(t.Context(), ledger.Gap{Stream: s.stream, Run: 1, StartUs: s.now - 60e6, EndUs: end, Reason: wire.Unreachable}); err != nil {
			t.Fatal(err)
		}
	}
	s.record(&film{}, s.now-3600e6, s.now-3500e6)
	rows, err := s.on.Ledger.Segments(t.Context(), s.stream, s.now-3600e6, s.now)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d segments, %v", len(rows), err)
	}
	if err := s.on.Ledger.Condemn(t.Context(), rows, wire.Expired); err != nil {
		t.Fatal(err)
	}
	nvr := &archive{}
	f := s.filler(nil, "nvr", nvr)
	if s.round(f); nvr.times() != 0 {
		t.Errorf("asked %d times; a chosen gap, one that lasts, one that has just ended and what was deleted are nobody's to fill", nvr.times())
	}
}

func TestASourceIsNotAskedForWhatItNoLongerKeeps(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	gap := s.gap(10, wire.Unreachable)
	card := &archive{}
	f := s.filler(func(c *Config) {
		c.Offers[s.stream][0].Keep = 30 * time.Minute
		c.Back = 72 * time.Hour
	}, "card", card)
	s.round(f)
	if answer := f.Answer(gap); card.times() != 0 || !strings.Contains(answer, "card: does not go back that far") {
		t.Errorf("asked %d times, the answer is %q", card.times(), answer)
	}
}

func TestASourceThatFailsIsAskedAgainLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		defer s.close()
		s.gap(10, wire.Stalled)
		m := &film{params: params(), to: s.now}
		nvr := &archive{answer: func(int64, int64, take) error { return errors.New("no answer") }}
		f := s.filler(nil, "nvr", nvr)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		<-time.After(29 * time.Minute)
		if nvr.times() != 1 {
			t.Errorf("asked %d times in half an hour", nvr.times())
		}
		nvr.say(func(int64, int64, take) error { return fmt.Errorf("all in use: %w", ErrBusy) })
		<-time.After(3 * time.Minute)
		if nvr.times() != 2 {
			t.Errorf("asked %d times after half an hour", nvr.times())
		}
		nvr.say(m.fetch)
		<-time.After(6 * time.Minute)
		if nvr.times() != 3 || s.filled("nvr") != 10 {
			t.Errorf("asked %d times, %v seconds filled: who was busy is asked again soon", nvr.times(), s.filled("nvr"))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// TestAnswersOutliveTheProcess: after a restart nobody is asked again who had nothing.
func TestAnswersOutliveTheProcess(t *testing.T) {
	s := newSite(t, t.TempDir())
	defer s.close()
	gap := s.gap(10, wire.Unreachable)
	nvr := &archive{answer: func(int64, int64, take) error { return fmt.Errorf("nothing there: %w", ErrNothing) }}
	s.round(s.filler(nil, "nvr", nvr))
	again := s.filler(nil, "nvr", nvr)
	s.round(again)
	if answer := again.Answer(gap); nvr.times() != 1 || !strings.Contains(answer, "nvr: nothing there") {
		t.Errorf("asked %d times, the answer is %q", nvr.times(), answer)
	}
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
