package mp4

import "fmt"

// Finish lays the clip out. The error wraps ErrNoVideo when no sample falls into the range.
func (w *ClipWriter) Finish() (*Clip, error) {
	if len(w.parts) == 0 || len(w.video) == 0 {
		return nil, fmt.Errorf("clip of [%d, %d) µs: %w", w.cfg.FromUs, w.cfg.ToUs, ErrNoVideo)
	}
	l := w.newLayout()
	for i := range w.parts {
		l.add(&w.parts[i])
	}
	total := w.cfg.ToUs - w.cfg.FromUs
	l.addReplaced(0, total)
	ended := toUs(l.video.samples[len(l.video.samples)-1].end()+l.delay, l.video.scale)
	if err := l.trim(); err != nil {
		return nil, err
	}
	l.gap(ended, total)
	if lead := toUs(l.video.firstShown(), l.video.scale); lead > JoinToleranceUs {
		l.gaps = append([]ClipGap{{w.cfg.FromUs, w.cfg.FromUs + lead}}, l.gaps...)
	}

	c := &Clip{FromUs: w.cfg.FromUs, ToUs: w.cfg.ToUs, Gaps: l.gaps, Sealed: true}
	c.PreRollUs = max(0, -toUs(l.video.firstShown(), l.video.scale))
	for _, src := range w.sources {
		c.Sealed = c.Sealed && src.leaves != nil
	}
	if err := l.assemble(c); err != nil {
		return nil, fmt.Errorf("clip of [%d, %d) µs: %w", c.FromUs, c.ToUs, err)
	}
	return c, nil
}

// assemble makes the file out of what is laid out.
func (l *layout) assemble(c *Clip) error {
	// The sizes of the tables do not depend on the offsets in them, so a first pass finds where the payload begins.
	begin := int64(len(l.head(0)))
	c.pieces.memory(l.head(begin))
	for _, p := range l.payload.list {
		p.at += begin
		c.pieces.list = append(c.pieces.list, p)
	}
	c.pieces.size = begin + l.payload.size
	proof, err := l.evidence(begin, c)
	if err != nil {
		return err
	}
	c.pieces.memory(proof)
	return nil
}

// head returns the boxes in front of the payload, and the head of the mdat box, for a payload that begins at begin.
func (l *layout) head(begin int64) []byte {
	w := writer{}
	total := uint64(l.w.cfg.ToUs - l.w.cfg.FromUs)
	w.ftyp("isom", "iso2", "mp41")
	moov := w.open("moov")
	w.mvhd(l.w.cfg.FromUs, total, 2)
	l.trak(&w, 1, &l.video, l.w.video, begin)
	if len(l.audio.samples) > 0 {
		l.trak(&w, 2, &l.audio, l.w.audio, begin)
	}
	w.close(moov)
	w.u32(1) // the size follows in 64 bits
	w.bytes([]byte("mdat"))
	w.i64(16 + l.payload.size)
	return w.b
}

func (l *layout) trak(w *writer, id int, lane *lane, entries []Track, begin int64) {
	first, last := lane.samples[0].at, lane.last()
	total := l.w.cfg.ToUs - l.w.cfg.FromUs
	if last.end() < fromUs(total, lane.scale) { // the sound stops before
		total = toUs(last.end(), lane.scale)
	}
	box := trackBox{id: id, createdUs: l.w.cfg.FromUs, durationUs: uint64(total), entries: entries}
	shown := edit{durationUs: uint64(total), mediaTime: -first}
	if lead := lane.firstShown(); lead > 0 {
		leadUs := uint64(toUs(lead, lane.scale))
		box.edits = append(box.edits, edit{durationUs: leadUs, mediaTime: -1})
		shown = edit{durationUs: uint64(total) - leadUs, mediaTime: lead - first}
	}
	box.edits = append(box.edits, shown)
	for i := range lane.samples {
		box.mediaTime += uint64(lane.samples[i].duration)
	}
	w.trak(box, func() {
		w.timeTables(lane)
		if entries[0].Codec.IsVideo() {
			w.keyTable(lane)
		}
		w.placeTables(lane, begin)
	})
}

// timeTables writes stts and ctts (ISO/IEC 14496-12 section 8.6.1).
func (w *writer) timeTables(l *lane) {
	at := w.openFull("stts", 0, 0)
	w.runs(len(l.samples), func(i int) uint32 { return l.samples[i].duration })
	w.close(at)
	reordered, negative := false, false
	for i := range l.samples {
		reordered = reordered || l.samples[i].cts != 0
		negative = negative || l.samples[i].cts < 0
	}
	if !reordered {
		return
	}
	version := byte(0)
	if negative {
		version = 1
	}
	at = w.openFull("ctts", version, 0)
	w.runs(len(l.samples), func(i int) uint32 { return uint32(l.samples[i].cts) })
	w.close(at)
}

// runs writes a table of values of n samples as runs of equal ones, behind their count.
func (w *writer) runs(n int, value func(int) uint32) {
	count := len(w.b)
	w.u32(0)
	runs := uint32(0)
	for i := 0; i < n; {
		j := i + 1
		for j < n && value(j) == value(i) {
			j++
		}
		w.u32(uint32(j - i))
		w.u32(value(i))
		runs++
		i = j
	}
	w.put32(count, runs)
}

// keyTable writes stss: where decoding can begin.
func (w *writer) keyTable(l *lane) {
	at := w.openFull("stss", 0, 0)
	count := len(w.b)
	w.u32(0)
	n := uint32(0)
	for i := range l.samples {
		if l.samples[i].key {
			w.u32(uint32(i) + 1)
			n++
		}
	}
	w.put32(count, n)
	w.close(at)
}

// maxChunk bounds the samples of a chunk, which players like to read in one piece.
const maxChunk = 64

// placeTables writes stsz, stsc and co64 (ISO/IEC 14496-12 section 8.7). Samples that follow one another in the file and
// share a sample entry are one chunk.
func (w *writer) placeTables(l *lane, begin int64) {
	at := w.openFull("stsz", 0, 0)
	w.u32(0)
	w.u32(uint32(len(l.samples)))
	for i := range l.samples {
		w.u32(l.samples[i].size)
	}
	w.close(at)

	type chunk struct {
		off            int64
		samples, entry uint32
	}
	var chunks []chunk
	next := int64(-1)
	for i := range l.samples {
		s := &l.samples[i]
		entry := uint32(s.entry) + 1
		if k := len(chunks) - 1; k >= 0 && s.off == next && chunks[k].entry == entry && chunks[k].samples < maxChunk {
			chunks[k].samples++
		} else {
			chunks = append(chunks, chunk{begin + s.off, 1, entry})
		}
		next = s.off + int64(s.size)
	}
	at = w.openFull("stsc", 0, 0)
	count := len(w.b)
	w.u32(0)
	n := uint32(0)
	for i, c := range chunks {
		if i == 0 || c.samples != chunks[i-1].samples || c.entry != chunks[i-1].entry {
			w.u32(uint32(i) + 1)
			w.u32(c.samples)
			w.u32(c.entry)
			n++
		}
	}
	w.put32(count, n)
	w.close(at)
	at = w.openFull("co64", 0, 0)
	w.u32(uint32(len(chunks)))
	for _, c := range chunks {
		w.i64(c.off)
	}
	w.close(at)
}
