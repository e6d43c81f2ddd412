package record

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is one agent's recording half on real files and a real ledger. It survives several runs of the recorder.
type site struct {
	t       *testing.T
	dir     string
	key     ed25519.PrivateKey
	streams []id.Stream
	boot    string

	faultMu sync.Mutex
	fault   disk.Fault
	faulty  bool // the disk has failed before

	rooms interface{ Hub(id.Stream) *media.Hub } // nil: the test writes to hubs of its own

	max int64 // bytes of video at most, for retention

	log *slog.Logger // nil: nobody reads it

	cfg    Config
	ledger *ledger.Ledger
	disk   *disk.Disk
	clock  *media.Clock
	board  *health.Board
	hubs   []*media.Hub
	rec    *Recorder
	stop   context.CancelFunc
	done   sync.WaitGroup
	err    error
}

func newSite(t *testing.T, dir string, streams int) *site {
	_, key, _ := ed25519.GenerateKey(nil) // it fails only when its reader does
	s := &site{t: t, dir: dir, key: key, boot: "boot-1"}
	for range streams {
		s.streams = append(s.streams, id.Stream{Camera: id.New[id.Camera](), Kind: id.Main})
	}
	return s
}

// setFault makes the disk fail as fn says; nil ends that.
func (s *site) setFault(fn disk.Fault) {
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	s.fault = fn
	s.faulty = s.faulty || fn != nil
}

func (s *site) ask(op disk.Op, segment uint64) error {
	s.faultMu.Lock()
	fn := s.fault
	s.faultMu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(op, segment)
}

// start opens everything and begins a run.
func (s *site) start() {
	s.t.Helper()
	ctx := s.t.Context()
	log := s.log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.ledger, err = ledger.Open(ctx, filepath.Join(s.dir, "ledger.db"), log); err != nil {
		s.t.Fatal(err)
	}
	if s.rooms == nil {
		s.clock = media.NewClock()
	}
	s.board = health.NewBoard(s.clock.Now, nil)
	s.disk, err = disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(s.dir, "video"), Create: true, Free: 1, Max: s.max}},
		State:   filepath.Join(s.dir, "volumes.json"), Fault: s.ask, Rest: time.Second,
	}, s.board, log)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := s.cfg
	cfg.Key, cfg.BootID, cfg.Version, cfg.Site = s.key, s.boot, "test", "site-test"
	s.hubs = nil
	for _, name := range s.streams {
		hub := media.NewHub(name)
		if s.rooms != nil {
			hub = s.rooms.Hub(name)
		}
		s.hubs = append(s.hubs, hub)
	}
	cfg.Hubs = s.hubs
	if s.rec, err = New(cfg, Floors{Ledger: s.ledger, Disk: s.disk, Clock: s.clock, Board: s.board, Log: log}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.rec.Begin(ctx); err != nil {
		s.t.Fatal(err)
	}
	run, cancel := context.WithCancel(context.Background())
	flush, stopFlush := context.WithCancel(context.Background())
	s.stop = func() { cancel() }
	s.done.Go(func() {
		s.err = s.rec.Run(run)
		stopFlush()
	})
	s.done.Go(func() { _ = s.disk.Run(flush) })
}

// finish stops the recorder in order; ledger and files can still be looked at. It returns the moment of the
// end.
func (s *site) finish() (nowUs int64) {
	s.t.Helper()
	nowUs = s.clock.Now()
	s.stop()
	s.done.Wait()
	if s.err != nil {
		s.t.Errorf("Run = %v", s.err)
	}
	return nowUs
}

// end stops the recorder in order and closes everything.
func (s *site) end() {
	s.t.Helper()
	s.finish()
	s.close()
}

func (s *site) close() {
	s.t.Helper()
	if err := s.disk.Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.ledger.Close(); err != nil {
		s.t.Error(err)
	}
}

// kill ends the recorder as a crash would: nothing is closed, sealed or said. What the ledger and the files
// held at that moment is put back after everything has been shut down. In a bubble nothing else runs meanwhile.
func (s *site) kill() (nowUs int64) {
	s.t.Helper()
	synctest.Wait()
	nowUs = s.clock.Now()
	frozen := s.t.TempDir()
	if err := os.CopyFS(frozen, os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	s.stop()
	s.done.Wait()
	s.close()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS(frozen)); err != nil {
		s.t.Fatal(err)
	}
	return nowUs
}

// params describes a stream with video at 90 kHz and, with sound, G.711.
func params(sound bool) *media.Params {
	p := &media.Params{Tracks: []mp4.Track{{
		Codec: mp4.H264, Timescale: 90000, SPS: []byte{0x67, 0x42, 0xc0, 0x28, 0xd9}, PPS: []byte{0x68, 0xcb, 0x83}, Width: 640, Height: 360,
	}}}
	if sound {
		p.Tracks = append(p.Tracks, mp4.Track{Codec: mp4.PCMU, Timescale: 8000, SampleRate: 8000, Channels: 1})
	}
	return p
}

// actor makes frames as the camera room would: 25 a second, a key frame every two seconds.
type actor struct {
	hub    *media.Hub
	clock  *media.Clock
	params *media.Params
	gop    int
	size   int
	n      int      // frames made
	sent   []uint64 // numbers stamped into the frames that were written
	monoUs []int64
	wallUs []int64
}

func newCamera(s *site, i int, p *media.Params) *actor {
	return &actor{hub: s.hubs[i], clock: s.clock, params: p, gop: 50, size: 400}
}

// attach has the camera go on in the site's next run, with a key frame first.
func (c *actor) attach(s *site, i int, p *media.Params) {
	c.hub, c.clock, c.params = s.hubs[i], s.clock, p
	c.n = (c.n/c.gop + 1) * c.gop
}

const frameUs = 40_000

// shoot writes the next frame, captured now. Its number is stamped into its bytes.
func (c *actor) shoot() {
	key := c.n%c.gop == 0
	c.write(key)
}

func (c *actor) write(key bool) {
	unit := make([]byte, c.size)
	unit[0] = 0x41
	if key {
		unit[0] = 0x65
	}
	binary.BigEndian.PutUint64(unit[1:], uint64(c.n))
	mono := c.clock.Mono()
	c.hub.Write(media.Frame{
		Params: c.params, PTS: mono * 9 / 100, DTS: mono * 9 / 100, MonoUs: mono, Key: key, Units: [][]byte{unit}, Bytes: len(unit),
	})
	c.sent = append(c.sent, uint64(c.n))
	c.monoUs = append(c.monoUs, mono)
	c.wallUs = append(c.wallUs, c.clock.Wall(mono))
	c.n++
}

// film shoots for so long.
func (c *actor) film(d time.Duration) {
	for range int(d / (frameUs * time.Microsecond)) {
		c.shoot()
		<-time.After(frameUs * time.Microsecond)
	}
}

// account returns everything that is known of a stream between the beginning of the first run and now.
func (s *site) account(i int, fromUs, toUs int64) []ledger.Range {
	s.t.Helper()
	ranges, err := s.ledger.Coverage(s.t.Context(), s.streams[i], fromUs, toUs)
	if err != nil {
		s.t.Fatal(err)
	}
	return ranges
}

// assertAccounted checks that recorded time and declared gaps fill [fromUs, toUs) to within one frame and do
// not overlap, and returns the reasons of the gaps in order and the recorded time.
func (s *site) assertAccounted(i int, fromUs, toUs int64) (reasons []wire.Reason, recorded time.Duration) {
	s.t.Helper()
	ranges := s.account(i, fromUs, toUs)
	at := fromUs
	for _, r := range ranges {
		if hole := r.StartUs - at; hole > frameUs || hole < 0 {
			s.t.Errorf("nothing is known of %d ms before %+v", hole/1000, r)
		}
		at = r.EndUs
		if r.Recorded {
			recorded += time.Duration(r.EndUs-r.StartUs) * time.Microsecond
		} else {
			reasons = append(reasons, r.Gap.Reason)
		}
	}
	if toUs-at > frameUs {
		s.t.Errorf("nothing is known of the last %d ms", (toUs-at)/1000)
	}
	return reasons, recorded
}

// stamps returns the frame numbers found on disk in [fromUs, toUs), in the order of the segments.
func (s *site) stamps(i int, fromUs, toUs int64) (out []uint64) {
	s.t.Helper()
	segments, err := s.ledger.Segments(s.t.Context(), s.streams[i], fromUs, toUs)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, seg := range segments {
		file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		for part, err := range mp4.Parts(file, size) {
			if err != nil {
				s.t.Fatal(err)
			}
			samples, err := mp4.ReadSamples(file, part)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, sample := range samples {
				if sample.Track == 0 {
					out = append(out, binary.BigEndian.Uint64(sample.Units[0][1:]))
				}
			}
		}
		if err := file.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// assertFrames checks that every frame made is on disk or lies in a declared gap, once and in order.
func (s *site) assertFrames(i int, c *actor, fromUs, toUs int64) {
	s.t.Helper()
	found := s.stamps(i, fromUs, toUs)
	for k := 1; k < len(found); k++ {
		if found[k] <= found[k-1] {
			s.t.Errorf("frame %d lies behind frame %d on disk", found[k], found[k-1])
		}
	}
	on := map[uint64]bool{}
	for _, n := range found {
		on[n] = true
	}
	ranges := s.account(i, fromUs, toUs)
	lost := 0
	for k, n := range c.sent {
		at := c.wallUs[k]
		if on[n] || inGap(ranges, at) {
			continue
		}
		if lost++; lost < 5 {
			s.t.Errorf("frame %d is neither on disk nor in a declared gap", n)
		}
	}
	if lost > 0 {
		s.t.Errorf("%d of %d frames are unaccounted for", lost, len(c.sent))
	}
}

// inGap says whether a moment lies in a gap, to within one frame.
func inGap(ranges []ledger.Range, at int64) bool {
	for _, r := range ranges {
		if !r.Recorded && at >= r.StartUs-frameUs && at < r.EndUs+frameUs {
			return true
		}
	}
	return false
}

// assertSealed verifies every closed segment against the site's key and its row, and the length of its parts.
func (s *site) assertSealed() {
	s.t.Helper()
	s.seals(1_050_000)
}

// assertSealedLoosely is assertSealed for cameras whose single pictures last longer than a part should.
func (s *site) assertSealedLoosely() {
	s.t.Helper()
	s.seals(4_500_000)
}

func (s *site) seals(longest int64) {
	s.t.Helper()
	segments, err := s.ledger.SegmentsAfter(s.t.Context(), 0, 1_000_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, seg := range segments {
		file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		rep, err := mp4.VerifySegment(file, size, s.key.Public().(ed25519.PublicKey))
		// A disk that failed while a segment was mended may leave it without a seal.
		sealed := rep.OK && rep.Statement.Root == seg.Root
		if err != nil || !sealed && (!seg.Recovered || rep.Sealed || !s.faulty) {
			s.t.Errorf("segment %d does not verify: %v %v", seg.ID, err, rep.Problems)
		}
		if size != seg.Bytes || rep.Parts != seg.Parts {
			s.t.Errorf("segment %d: the file has %d bytes, %d parts; its row says %d, %d", seg.ID, size, rep.Parts, seg.Bytes, seg.Parts)
		}
		for part, err := range mp4.Parts(file, size) {
			if err != nil {
				s.t.Error(err)
			}
			if d := part.Sum.EndUs - part.Sum.StartUs; d > longest {
				s.t.Errorf("segment %d has a part of %d ms", seg.ID, d/1000)
			}
		}
		if err := file.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// count returns the video and audio samples of a segment.
func (s *site) count(seg ledger.Segment) (video, audio int) {
	s.t.Helper()
	file, size, err := s.disk.OpenRead(seg.Volume, seg.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for part, err := range mp4.Parts(file, size) {
		if err != nil {
			s.t.Fatal(err)
		}
		video += int(part.Sum.VideoSamples)
		audio += int(part.Sum.AudioSamples)
	}
	if err := file.Close(); err != nil {
		s.t.Fatal(err)
	}
	return video, audio
}
