package mp4

// unity is the transformation matrix that changes nothing (ISO/IEC 14496-12 section 8.2.2).
func unity() [9]uint32 { return [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} }

// epoch1904 is the time from 1904, where MP4 begins to count, to 1970, in seconds.
const epoch1904 = 2082844800

// movieScale is the timescale of the movie as a whole: microseconds, so that clips begin and end exactly.
const movieScale = 1_000_000

func fileTime(us int64) uint64 {
	if us <= 0 {
		return 0
	}
	return uint64(us/1e6) + epoch1904
}

func (w *writer) ftyp(brands ...string) {
	at := w.open("ftyp")
	w.bytes([]byte(brands[0]))
	w.u32(0x200)
	for _, b := range brands {
		w.bytes([]byte(b))
	}
	w.close(at)
}

func (w *writer) mvhd(createdUs int64, durationUs uint64, tracks int) {
	at := w.openFull("mvhd", 1, 0)
	w.u64(fileTime(createdUs))
	w.u64(fileTime(createdUs))
	w.u32(movieScale)
	w.u64(durationUs)
	w.u32(0x10000) // rate
	w.u16(0x100)   // volume
	w.zeros(10)
	for _, v := range unity() {
		w.u32(v)
	}
	w.zeros(24)
	w.u32(uint32(tracks) + 1)
	w.close(at)
}

// trackBox is what a trak box says, beside its sample tables.
type trackBox struct {
	id         int // from 1
	createdUs  int64
	durationUs uint64  // in the movie
	mediaTime  uint64  // length in the track's own timescale
	entries    []Track // at least one, all of one kind
	edits      []edit
}

// edit is one entry of an edit list: show the media from mediaTime on for durationUs; -1 shows nothing.
type edit struct {
	durationUs uint64
	mediaTime  int64
}

func (w *writer) trak(t trackBox, tables func()) {
	first := &t.entries[0]
	trak := w.open("trak")
	at := w.openFull("tkhd", 1, 3) // enabled, in the movie
	w.u64(fileTime(t.createdUs))
	w.u64(fileTime(t.createdUs))
	w.u32(uint32(t.id))
	w.u32(0)
	w.u64(t.durationUs)
	w.zeros(12)
	if first.Codec.IsVideo() {
		w.u16(0)
	} else {
		w.u16(0x100) // volume
	}
	w.u16(0)
	for _, v := range unity() {
		w.u32(v)
	}
	w.u32(uint32(first.Width) << 16)
	w.u32(uint32(first.Height) << 16)
	w.close(at)

	if len(t.edits) > 0 {
		edts := w.open("edts")
		at = w.openFull("elst", 1, 0)
		w.u32(uint32(len(t.edits)))
		for _, e := range t.edits {
			w.u64(e.durationUs)
			w.i64(e.mediaTime)
			w.u32(0x10000) // rate
		}
		w.close(at)
		w.close(edts)
	}
	w.mdia(t, tables)
	w.close(trak)
}

func (w *writer) mdia(t trackBox, tables func()) {
	video := t.entries[0].Codec.IsVideo()
	mdia := w.open("mdia")
	at := w.openFull("mdhd", 1, 0)
	w.u64(fileTime(t.createdUs))
	w.u64(fileTime(t.createdUs))
	w.u32(t.entries[0].Timescale)
	w.u64(t.mediaTime)
	w.u16(0x55c4) // language: undetermined
	w.u16(0)
	w.close(at)

	handler, name := "soun", "sound"
	if video {
		handler, name = "vide", "video"
	}
	at = w.openFull("hdlr", 0, 0)
	w.u32(0)
	w.bytes([]byte(handler))
	w.zeros(12)
	w.bytes([]byte(name + "\x00"))
	w.close(at)

	minf := w.open("minf")
	if video {
		at = w.openFull("vmhd", 0, 1)
		w.zeros(8)
	} else {
		at = w.openFull("smhd", 0, 0)
		w.zeros(4)
	}
	w.close(at)
	dinf := w.open("dinf")
	dref := w.openFull("dref", 0, 0)
	w.u32(1)
	w.close(w.openFull("url ", 0, 1)) // the media is in this file
	w.close(dref)
	w.close(dinf)
	stbl := w.open("stbl")
	stsd := w.openFull("stsd", 0, 0)
	w.u32(uint32(len(t.entries)))
	for i := range t.entries {
		w.appendEntry(&t.entries[i])
	}
	w.close(stsd)
	tables()
	w.close(stbl)
	w.close(minf)
	w.close(mdia)
}
