package mp4

import (
	"fmt"
)

// clipTrack is one track of a clip as its tables tell it.
type clipTrack struct {
	entries []Track // Timescale not filled in
	scale   uint32
	edits   []edit
	samples []clipSample // at counts from 0; off is in the file

	stts, ctts, stsz, stsc, co64, stss *reader
}

// parseClipTracks reads the tracks in the body of a moov box: at most one of video and one of audio.
func parseClipTracks(moov []byte) (video, audio *clipTrack, err error) {
	err = children(moov, func(typ fourcc, body []byte) error {
		if typ != cc("trak") {
			return nil
		}
		t := &clipTrack{}
		if err := t.parse(body); err != nil {
			return err
		}
		slot := &audio
		if t.entries[0].Codec.IsVideo() {
			slot = &video
		}
		if *slot != nil {
			return fmt.Errorf("more than one track of a kind: %w", ErrFormat)
		}
		*slot = t
		return nil
	})
	return video, audio, err
}

func (t *clipTrack) parse(trak []byte) error {
	err := children(trak, func(typ fourcc, body []byte) error {
		switch typ {
		case cc("edts"):
			return children(body, t.parseEdits)
		case cc("mdia"):
			return children(body, t.parseMedia)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(t.entries) == 0 || t.scale == 0 || t.stts == nil || t.stsz == nil || t.stsc == nil || t.co64 == nil {
		return fmt.Errorf("tables missing: %w", ErrFormat)
	}
	for i := range t.entries {
		if t.entries[i].Codec.IsVideo() != t.entries[0].Codec.IsVideo() {
			return fmt.Errorf("video and audio in one track: %w", ErrFormat)
		}
	}
	return t.expand()
}

func (t *clipTrack) parseEdits(typ fourcc, body []byte) error {
	if typ != cc("elst") {
		return nil
	}
	r := reader{b: body}
	if r.u32() != 1<<24 {
		return fmt.Errorf("version or flags not known: %w", ErrFormat)
	}
	for n := r.count(20); n > 0; n-- {
		t.edits = append(t.edits, edit{durationUs: r.u64(), mediaTime: r.i64()})
		r.u32()
	}
	if len(t.edits) > 2 || r.short {
		return fmt.Errorf("%d edits: %w", len(t.edits), ErrFormat)
	}
	return nil
}

func (t *clipTrack) parseMedia(typ fourcc, body []byte) error {
	switch typ {
	case cc("mdhd"):
		r := reader{b: body}
		r.take(20)
		t.scale = r.u32()
	case cc("minf"):
		return descend(body, []fourcc{cc("stbl")}, t.parseTable)
	}
	return nil
}

func (t *clipTrack) parseTable(typ fourcc, body []byte) error {
	slot := map[fourcc]**reader{
		cc("stts"): &t.stts, cc("ctts"): &t.ctts, cc("stsz"): &t.stsz,
		cc("stsc"): &t.stsc, cc("co64"): &t.co64, cc("stss"): &t.stss,
	}[typ]
	if slot != nil {
		r := &reader{b: body}
		// Both versions of ctts read alike here, as offsets that fit 31 bits.
		if v := r.u32(); v != 0 && (typ != cc("ctts") || v != 1<<24) || *slot != nil {
			return fmt.Errorf("version or flags not known: %w", ErrFormat)
		}
		*slot = r
		return nil
	}
	if typ != cc("stsd") || len(body) < 8 {
		return nil
	}
	return children(body[8:], func(typ fourcc, body []byte) error {
		var entry Track
		if len(t.entries) >= maxEntries {
			return fmt.Errorf("too many sample entries: %w", ErrFormat)
		}
		err := parseEntry(typ, body, &entry)
		t.entries = append(t.entries, entry)
		return err
	})
}

// expand turns the tables into a list of samples. Every table must be as long as the number of samples asks for.
func (t *clipTrack) expand() error {
	if t.stsz.u32() != 0 {
		return fmt.Errorf("sizes not in a table: %w", ErrFormat)
	}
	t.samples = make([]clipSample, t.stsz.count(4))
	n := len(t.samples)
	if n == 0 {
		return fmt.Errorf("no samples: %w", ErrFormat)
	}
	for i := range t.samples {
		t.samples[i].size = t.stsz.u32()
	}
	at := int64(0)
	if err := runsOf(t.stts, n, func(i int, v uint32) {
		t.samples[i].at, t.samples[i].duration = at, v
		at += int64(v)
	}); err != nil {
		return err
	}
	if t.ctts != nil {
		if err := runsOf(t.ctts, n, func(i int, v uint32) { t.samples[i].cts = int32(v) }); err != nil {
			return err
		}
	}
	if t.stss != nil {
		for k := t.stss.count(4); k > 0; k-- {
			i := t.stss.u32()
			if i < 1 || int64(i) > int64(n) {
				return fmt.Errorf("key frame %d of %d samples: %w", i, n, ErrFormat)
			}
			t.samples[i-1].key = true
		}
	}
	return t.place()
}

// runsOf reads a table of runs that must cover n samples exactly.
func runsOf(r *reader, n int, set func(i int, v uint32)) error {
	i := 0
	for k := r.count(8); k > 0; k-- {
		run, v := r.u32(), r.u32()
		if int64(run) > int64(n-i) {
			return fmt.Errorf("table longer than the samples: %w", ErrFormat)
		}
		for range run {
			set(i, v)
			i++
		}
	}
	if i != n || r.short {
		return fmt.Errorf("table of %d samples of %d: %w", i, n, ErrFormat)
	}
	return nil
}

// place finds each sample's bytes by stsc and co64.
func (t *clipTrack) place() error {
	chunks := t.co64.count(8)
	offsets := *t.co64
	i, entry, per := 0, uint32(0), uint32(0)
	runs := t.stsc.count(12)
	nextRun := uint32(1)
	take := func() {
		if runs > 0 {
			nextRun = t.stsc.u32()
			runs--
		} else {
			nextRun = 0
		}
	}
	take()
	for c := 1; c <= chunks; c++ {
		if nextRun == uint32(c) {
			per, entry = t.stsc.u32(), t.stsc.u32()
			take()
		}
		if entry < 1 || entry > uint32(len(t.entries)) || int64(per) > int64(len(t.samples)-i) {
			return fmt.Errorf("chunk %d: %w", c, ErrFormat)
		}
		off := offsets.i64()
		for range per {
			t.samples[i].off, t.samples[i].entry = off, uint8(entry-1)
			off += int64(t.samples[i].size)
			i++
		}
	}
	if i != len(t.samples) {
		return fmt.Errorf("chunks hold %d of %d samples: %w", i, len(t.samples), ErrFormat)
	}
	return nil
}

// shift counts the samples' times from the beginning of the shown range, by the edit list, which must show durationUs
// (or less, when part is true).
func (t *clipTrack) shift(durationUs int64, part bool) error {
	edits, lead := t.edits, int64(0)
	if len(edits) == 2 && edits[0].mediaTime == -1 && edits[0].durationUs < 1<<50 {
		lead = int64(edits[0].durationUs)
		edits = edits[1:]
	}
	if len(edits) != 1 || edits[0].mediaTime < 0 || edits[0].mediaTime > maxMedia || edits[0].durationUs > 1<<50 {
		return fmt.Errorf("edit list of another kind than ours: %w", ErrFormat)
	}
	shown := lead + int64(edits[0].durationUs)
	if shown > durationUs || shown < durationUs && !part {
		return fmt.Errorf("edit list shows %d µs, not %d: %w", shown, durationUs, ErrFormat)
	}
	by := fromUs(lead, t.scale) - edits[0].mediaTime
	for i := range t.samples {
		t.samples[i].at += by
	}
	return nil
}
