package record

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"holdfast/agent/disk"
	"holdfast/agent/media"
	"holdfast/shared/evidence"
	"holdfast/shared/mp4"
)

// segment is the file that a stream is writing. One goroutine writes; the index may be read beside it.
type segment struct {
	clock   *media.Clock
	file    *disk.File
	header  mp4.Header
	init    []byte
	params  *media.Params
	builder *mp4.PartBuilder
	buffers *buffers
	parts   []mp4.PartSum
	partUs  int64 // longest part

	held     media.Frame // the newest video frame: its duration is known when the next one comes
	interval int64       // usual distance of video frames, µs; 0 before the second
	longest  int64       // distance of two frames so far, µs
	began    time.Time   // of the part that is being built
	partMono int64       // its first sample
	seqs     [2][]uint32 // of its samples, video and audio, counted from firstSeq
	firstSeq uint64
	sound    bool  // the audio track's base is known
	soundDTS int64 // of the last audio frame
	lost     int   // frames that the format could not take

	mu    sync.Mutex
	index []mark

	noted atomic.Int64 // wall end of what the ledger calls durable
}

// mark is one part on disk.
type mark struct {
	offset, size int64
	endUs        int64
	key          bool     // it holds a key frame
	base         [2]int64 // of both tracks
	seqs         []uint32 // of its samples in the file's order
}

// create makes the file of a segment that begins with the key frame f, with its header in it.
func (r *Recorder) create(h mp4.Header, f media.Frame) (*segment, error) {
	init, err := mp4.AppendInit(nil, h)
	if err != nil {
		return nil, err
	}
	builder, err := mp4.NewPartBuilder(h)
	if err != nil {
		return nil, err
	}
	file, err := r.Disk.Create(h.Segment)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(init); err != nil {
		return nil, errors.Join(err, file.Close(), r.Disk.Discard(file.Volume(), h.Segment))
	}
	return &segment{
		clock: r.Clock, file: file, header: h, init: init, params: f.Params, builder: builder, buffers: &r.buffers,
		partUs: r.cfg.Part.Microseconds(), held: f, firstSeq: f.Seq,
		sound: h.AudioTrack() < 0 || h.Base[h.AudioTrack()] != 0,
	}, nil
}

// video takes the next video frame: the one before it gets its duration and goes into the part.
func (s *segment) video(f media.Frame) error {
	step := f.MonoUs - s.held.MonoUs
	s.longest = max(s.longest, step)
	if s.interval == 0 {
		s.interval = step
	} else {
		s.interval += (step - s.interval) / 8
	}
	err := s.put(s.held, f.DTS-s.held.DTS, f.MonoUs)
	s.held = f
	return err
}

// audio takes an audio frame. One from before the segment, or out of order, is left out.
func (s *segment) audio(f media.Frame) error {
	rate := int64(s.header.Tracks[f.Track].Timescale)
	if !s.sound {
		s.sound = true
		s.header.Base[f.Track] = f.DTS - scale(f.MonoUs-s.header.MonoUs, rate, 1e6)
	}
	if f.DTS < s.header.Base[f.Track] || s.soundDTS != 0 && f.DTS <= s.soundDTS {
		return nil
	}
	s.soundDTS = f.DTS
	duration := frameLength(&s.header.Tracks[f.Track], f)
	return s.put(f, duration, f.MonoUs+scale(duration, 1e6, rate))
}

// rounding is by how many microseconds a part may be too long: frame rates are not whole ones.
const rounding = 1000

// dueMono returns from when on, on the run's timeline, a frame ends the part that is being built.
func (s *segment) dueMono() int64 {
	from := s.held.MonoUs
	if !s.builder.Empty() {
		from = s.partMono
	}
	return from + s.partUs + rounding + 1
}

// put adds a frame that lasts until untilUs on the run's timeline, beginning a new part when it is time.
func (s *segment) put(f media.Frame, duration, untilUs int64) error {
	if !s.builder.Empty() && untilUs-s.partMono > s.partUs+rounding {
		if err := s.writePart(); err != nil {
			return err
		}
	}
	sample := mp4.Sample{
		Track: f.Track, DTS: f.DTS - s.header.Base[f.Track], CTS: int32(f.PTS - f.DTS), Duration: uint32(max(duration, 1)),
		Key: f.Key, Units: f.Units,
	}
	err := s.add(f, sample)
	if errors.Is(err, mp4.ErrTooLarge) && !s.builder.Empty() {
		if err := s.writePart(); err != nil {
			return err
		}
		err = s.add(f, sample)
	}
	if err != nil {
		s.lost++ // the format can't hold this frame: no reason to lose the others
	}
	return nil
}

func (s *segment) add(f media.Frame, sample mp4.Sample) error {
	if s.builder.Empty() {
		s.builder.Reset(uint32(len(s.parts)+1), s.wall(f.MonoUs), f.MonoUs)
	}
	if err := s.builder.Add(sample); err != nil {
		return err
	}
	if len(s.seqs[0])+len(s.seqs[1]) == 0 {
		s.partMono, s.began = f.MonoUs, time.Now()
	}
	s.seqs[f.Track] = append(s.seqs[f.Track], uint32(f.Seq-s.firstSeq))
	return nil
}

// wall returns the wall time of a moment on the run's timeline, by the offset of now.
func (s *segment) wall(monoUs int64) int64 { return s.clock.WallIn(s.header.Run, monoUs) }

// writePart writes what was collected as one part, in one write.
func (s *segment) writePart() error {
	if s.builder.Empty() {
		return nil
	}
	at := s.file.Size()
	sum, err := s.buffers.write(s.file, s.builder)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, sum)
	seqs := make([]uint32, 0, len(s.seqs[0])+len(s.seqs[1]))
	seqs = append(append(seqs, s.seqs[0]...), s.seqs[1]...)
	s.seqs[0], s.seqs[1] = s.seqs[0][:0], s.seqs[1][:0]
	s.builder.Reset(uint32(len(s.parts)+1), 0, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mark{offset: at, size: sum.Bytes, endUs: sum.EndUs, key: sum.KeySample >= 0, seqs: seqs}
	copy(m.base[:], s.header.Base)
	s.index = append(s.index, m)
	return nil
}

// writers is how many parts are on their way to one volume at once: a disk takes them one after another.
const writers = 4

// buffers are what parts are put together in before they are written. However many streams wait for a disk that
// stands still, only as many buffers as writers are filled for it: what waits are the frames.
type buffers struct {
	pool sync.Pool

	mu    sync.Mutex
	turns map[string]chan struct{} // by volume
}

// write writes what was collected in a builder.
func (b *buffers) write(file *disk.File, from *mp4.PartBuilder) (mp4.PartSum, error) {
	turn := b.turn(file.Volume())
	turn <- struct{}{}
	defer func() { <-turn }()
	buf, _ := b.pool.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer b.pool.Put(buf) // the file keeps nothing of it
	var sum mp4.PartSum
	*buf, sum = from.AppendTo((*buf)[:0])
	_, err := file.Write(*buf)
	return sum, err
}

func (b *buffers) turn(volume string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turns == nil {
		b.turns = map[string]chan struct{}{}
	}
	if b.turns[volume] == nil {
		b.turns[volume] = make(chan struct{}, writers)
	}
	return b.turns[volume]
}

// finish writes the last part, whose last frame ends at endMono, then the seal, and makes all of it durable.
// It returns the digest of what was signed.
func (s *segment) finish(endMono int64, sign func(evidence.Statement) (evidence.Signed, error)) (digest [32]byte, err error) {
	rate := int64(s.header.Tracks[0].Timescale)
	if err := s.put(s.held, scale(endMono-s.held.MonoUs, rate, 1e6), endMono); err != nil {
		return digest, err
	}
	if err := s.writePart(); err != nil {
		return digest, err
	}
	signed, err := sign(mp4.NewStatement(s.header, s.init, s.parts))
	if err != nil {
		return digest, fmt.Errorf("seal segment %d: %w", s.header.Segment, err)
	}
	seal := mp4.AppendSeal(nil, mp4.Seal{
		Signed: signed, InitSize: int64(len(s.init)), Video: s.header.VideoTrack(), Parts: s.parts,
	})
	if _, err := s.file.Write(seal); err != nil {
		return digest, err
	}
	if err := s.file.Flush(); err != nil {
		return digest, err
	}
	return signed.Digest(), s.file.Close()
}

// heldEnd is when the newest video frame ends, going by the usual distance of frames.
func (s *segment) heldEnd() int64 {
	interval := s.interval
	if interval <= 0 {
		interval = 40_000
	}
	return s.held.MonoUs + interval
}

// Bounds of what counts as a hole. Cameras that send less when nothing moves go down to one frame a second, and a
// hole costs all frames up to the next key frame; a silence of ten seconds the camera room itself declares.
const (
	leastHoleUs = 2_500_000
	mostHoleUs  = 12_000_000
)

// hole says whether a frame comes so late that something is missing before it.
func (s *segment) hole(f media.Frame) bool {
	limit := int64(mostHoleUs) // the frame rate is not known yet, and may be low
	if s.interval > 0 {
		limit = min(max(leastHoleUs, 3*s.interval, 2*s.longest), mostHoleUs)
	}
	step := f.MonoUs - s.held.MonoUs
	return step > limit || step <= 0 || f.DTS <= s.held.DTS
}

// stale says whether the open part has waited so long that it must be written although it is short: the
// stream stands still.
func (s *segment) stale() bool {
	waited := max(time.Since(s.began).Microseconds(), s.clock.MonoIn(s.header.Run)-s.partMono)
	return !s.builder.Empty() && waited > s.partUs*3/2
}

// safe returns how much of the first bytes of the file are whole parts, and the wall time at which the last of
// them ends; 0 and 0 when there is none.
func (s *segment) safe(bytes int64) (whole, endUs int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := sort.Search(len(s.index), func(i int) bool { return s.index[i].offset+s.index[i].size > bytes })
	if n == 0 {
		return 0, 0
	}
	last := s.index[n-1]
	return last.offset + last.size, last.endUs
}

// unsaved returns the lowest Seq of the frames that are not on disk yet.
func (s *segment) unsaved() uint64 {
	lowest := s.held.Seq
	for _, seqs := range s.seqs {
		if len(seqs) > 0 {
			lowest = min(lowest, s.seq(seqs[0]))
		}
	}
	return lowest
}

// seq turns a distance from firstSeq back; audio may lie a little before it.
func (s *segment) seq(distance uint32) uint64 { return s.firstSeq + uint64(int64(int32(distance))) }

// scale returns v*m/d without overflow for the times that occur.
func scale(v, m, d int64) int64 { return v/d*m + v%d*m/d }

// frameLength returns the duration of an audio frame in its track's timescale.
func frameLength(t *mp4.Track, f media.Frame) int64 {
	switch t.Codec {
	case mp4.AAC:
		return 1024
	case mp4.Opus:
		return opus.PacketDuration2(f.Units[0])
	default:
		return int64(f.Bytes / max(t.Channels, 1))
	}
}
