package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Header is what a segment says about itself in its opening boxes. It holds one video track, one audio track, or one of
// each.
type Header struct {
	Segment uint64 // the segment's ID
	Site    string // IDs as text, at most MaxText bytes each
	Camera  string
	Stream  string // "main", "sub"
	Origin  string // empty when recorded from the camera itself, else the source of the footage, such as "nvr"
	Run     int64  // the agent's run, the owner of the timeline of MonoUs

	// StartUs (wall, microseconds since 1970) and MonoUs (on the run's timeline) are the times of media time 0, which
	// all tracks share: a sample's picture is due at MonoUs plus its DTS plus its CTS.
	StartUs int64
	MonoUs  int64

	// Discontinuity says that the source's timeline broke just before this segment.
	Discontinuity bool

	Tracks []Track
	Base   []int64 // per track: the source's own media time at media time 0 of the segment, in the track's timescale
}

const headerDiscontinuity = 1

// Validate reports everything that keeps h from being written, or nil.
func (h *Header) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, text := range []string{h.Site, h.Camera, h.Stream, h.Origin} {
		if len(text) > MaxText {
			fault("text of %d bytes, at most %d allowed", len(text), MaxText)
		}
	}
	if len(h.Tracks) == 0 {
		fault("no tracks")
	}
	if len(h.Base) != len(h.Tracks) {
		fault("%d base times for %d tracks", len(h.Base), len(h.Tracks))
	}
	var video, audio int
	for i := range h.Tracks {
		if err := h.Tracks[i].Validate(); err != nil {
			fault("track %d: %w", i, err)
		}
		if h.Tracks[i].Codec.IsVideo() {
			video++
		} else {
			audio++
		}
	}
	if video > 1 || audio > 1 {
		fault("%d video and %d audio tracks, at most one of each allowed", video, audio)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("segment header: %w", err)
	}
	return nil
}

// VideoTrack returns the index of the video track, or -1.
func (h *Header) VideoTrack() int { return h.track(true) }

// AudioTrack returns the index of the audio track, or -1.
func (h *Header) AudioTrack() int { return h.track(false) }

// track returns the index of the video track, or of the audio track, or -1.
func (h *Header) track(video bool) int {
	for i := range h.Tracks {
		if h.Tracks[i].Codec.IsVideo() == video {
			return i
		}
	}
	return -1
}

// AppendInit appends the opening boxes of a segment (ftyp, moov with our header box inside) to dst.
func AppendInit(dst []byte, h Header) ([]byte, error) {
	if err := h.Validate(); err != nil {
		return dst, fmt.Errorf("write init: %w", err)
	}
	w := writer{b: dst}
	moov := w.opening(h.StartUs, h.Tracks)
	box := w.headerBox(&h)
	// The checksum covers all of the opening, so the sizes must be final before it is made.
	w.u32(0)
	w.close(box)
	w.close(moov)
	end := len(w.b) - 4
	binary.BigEndian.PutUint32(w.b[end:], checksum(w.b[len(dst):end]))
	if len(w.b)-len(dst) > MaxInit {
		return dst, fmt.Errorf("write init of %d bytes: %w", len(w.b)-len(dst), ErrTooLarge)
	}
	return w.b, nil
}

// opening writes the boxes before the first part, for tracks whose samples are in parts (ISO/IEC 14496-12 section 8.8). The
// moov that it returns is open.
func (w *writer) opening(createdUs int64, tracks []Track) int {
	w.ftyp("isom", "iso6", "mp41")
	moov := w.open("moov")
	w.mvhd(createdUs, 0, len(tracks))
	for i := range tracks {
		w.trak(trackBox{id: i + 1, createdUs: createdUs, entries: tracks[i : i+1]}, func() {
			for _, table := range []string{"stts", "stsc"} {
				at := w.openFull(table, 0, 0)
				w.u32(0)
				w.close(at)
			}
			at := w.openFull("stsz", 0, 0)
			w.zeros(8)
			w.close(at)
			at = w.openFull("stco", 0, 0)
			w.u32(0)
			w.close(at)
		})
	}
	mvex := w.open("mvex")
	for i := range tracks {
		at := w.openFull("trex", 0, 0)
		w.u32(uint32(i + 1))
		w.u32(1)
		w.zeros(12)
		w.close(at)
	}
	w.close(mvex)
	return moov
}

// headerBox opens our box inside moov and fills it up to the checksum.
func (w *writer) headerBox(h *Header) int {
	box := w.openUUID(uuidHeader)
	flags := uint32(0)
	if h.Discontinuity {
		flags |= headerDiscontinuity
	}
	w.u32(1<<24 | flags)
	w.u64(h.Segment)
	w.i64(h.Run)
	w.i64(h.StartUs)
	w.i64(h.MonoUs)
	for _, text := range []string{h.Site, h.Camera, h.Stream, h.Origin} {
		w.text(text)
	}
	w.u8(byte(len(h.Tracks)))
	for i, t := range h.Tracks {
		w.u8(byte(t.Codec))
		w.i64(h.Base[i])
		w.u32(uint32(t.SampleRate))
		w.u16(uint16(t.Channels))
	}
	return box
}

// ReadHeader reads the opening boxes of a segment of size bytes and says how many bytes they take: the first part
// begins there. The error wraps ErrFormat when the file is not a segment or its opening is torn or damaged.
func ReadHeader(r io.ReaderAt, size int64) (Header, int64, error) {
	init, err := readInit(r, size)
	if err != nil {
		return Header{}, 0, fmt.Errorf("read segment header: %w", err)
	}
	h, err := parseInit(init)
	if err != nil {
		return Header{}, 0, fmt.Errorf("read segment header: %w", err)
	}
	return h, int64(len(init)), nil
}

// readInit returns the bytes of ftyp and moov.
func readInit(r io.ReaderAt, size int64) ([]byte, error) {
	var end int64
	for _, want := range []fourcc{cc("ftyp"), cc("moov")} {
		head, err := readAt(r, size, end, boxHead)
		if err != nil {
			return nil, err
		}
		n, typ := binary.BigEndian.Uint32(head), fourcc(binary.BigEndian.Uint32(head[4:]))
		if typ != want || n < boxHead || end+int64(n) > MaxInit {
			return nil, fmt.Errorf("box %q of %d bytes where %q was expected: %w", typ, n, want, ErrFormat)
		}
		end += int64(n)
	}
	return readAt(r, size, 0, int(end))
}

// parseInit reads whole opening boxes. The header keeps slices of init.
func parseInit(init []byte) (Header, error) {
	var h Header
	if len(init) > MaxInit {
		return h, fmt.Errorf("opening of %d bytes: %w", len(init), ErrFormat)
	}
	if len(init) < 4 || checksum(init[:len(init)-4]) != binary.BigEndian.Uint32(init[len(init)-4:]) {
		return h, fmt.Errorf("checksum of the opening does not hold: %w", ErrFormat)
	}
	found := false
	err := children(init, func(typ fourcc, body []byte) error {
		if typ != cc("moov") {
			return nil
		}
		return children(body, func(typ fourcc, body []byte) error {
			switch {
			case typ == cc("trak"):
				t, err := parseTrack(body)
				h.Tracks = append(h.Tracks, t)
				return err
			case typ == cc("uuid") && len(body) >= 20 && string(body[:16]) == uuidHeader && !found:
				found = true
				return parseHeaderBox(body[16:len(body)-4], &h)
			}
			return nil
		})
	})
	if err != nil {
		return Header{}, err
	}
	if !found {
		return Header{}, fmt.Errorf("no header box of ours: %w", ErrFormat)
	}
	if err := h.Validate(); err != nil {
		return Header{}, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	return h, nil
}

// parseHeaderBox reads the body of our box, which comes after all tracks in moov.
func parseHeaderBox(body []byte, h *Header) error {
	r := reader{b: body}
	version := r.u32()
	if version>>24 != 1 {
		return fmt.Errorf("version %d, this program knows 1: %w", version>>24, ErrFormat)
	}
	h.Discontinuity = version&headerDiscontinuity != 0
	h.Segment = r.u64()
	for _, p := range []*int64{&h.Run, &h.StartUs, &h.MonoUs} {
		*p = r.i64()
	}
	for _, p := range []*string{&h.Site, &h.Camera, &h.Stream, &h.Origin} {
		*p = r.text()
	}
	if int(r.u8()) != len(h.Tracks) {
		return fmt.Errorf("it counts other tracks than there are: %w", ErrFormat)
	}
	for i := range h.Tracks {
		t := &h.Tracks[i]
		if Codec(r.u8()) != t.Codec {
			return fmt.Errorf("track %d is %v, it says otherwise: %w", i, t.Codec, ErrFormat)
		}
		h.Base = append(h.Base, r.i64())
		t.SampleRate, t.Channels = int(r.u32()), int(r.u16())
	}
	if r.short {
		return fmt.Errorf("too short: %w", ErrFormat)
	}
	return nil
}

// parseTrack reads the codec parameters in a trak box with one sample entry.
func parseTrack(trak []byte) (t Track, err error) {
	entries := 0
	err = descend(trak, []fourcc{cc("mdia")}, func(typ fourcc, body []byte) error {
		switch typ {
		case cc("mdhd"):
			r := reader{b: body}
			r.take(20)
			t.Timescale = r.u32()
		case cc("minf"):
			return descend(body, []fourcc{cc("stbl"), cc("stsd")}, func(typ fourcc, body []byte) error {
				entries++
				return parseEntry(typ, body, &t)
			})
		}
		return nil
	})
	if err == nil && entries != 1 {
		err = fmt.Errorf("%d sample entries: %w", entries, ErrFormat)
	}
	return t, err
}

// descend goes down the path of boxes in body and calls f for the children of the last. stsd is known to have a count
// before its children.
func descend(body []byte, path []fourcc, f func(typ fourcc, body []byte) error) error {
	if len(path) == 0 {
		return children(body, f)
	}
	return children(body, func(typ fourcc, body []byte) error {
		if typ != path[0] {
			return nil
		}
		if typ == cc("stsd") {
			if len(body) < 8 {
				return fmt.Errorf("too short: %w", ErrFormat)
			}
			body = body[8:]
		}
		return descend(body, path[1:], f)
	})
}
