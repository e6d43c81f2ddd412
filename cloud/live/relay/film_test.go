package relay

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

// projector films loops without a network between.
type projector struct {
	t     *testing.T
	film  film
	mute  bool // the viewer wants no sound
	all   []byte
	mimes []string
}

// show films so many pictures of a loop with its sound, at times that begin with from.
func (p *projector) show(l *scenes.Loop, count int, from int64) {
	p.t.Helper()
	var spoken voice
	if l.Audio != nil {
		spoken = voiceOf(l.Audio.MIME(), l.Audio.ASC)
	}
	p.film.other(spoken)
	pack := newPacker(p.t, l)
	pack.zero = from
	for range count {
		at := pack.due()
		packets, later, key := pack.picture(p.t)
		var u units
		for _, packet := range packets {
			if k, opens := isKey(l.Video.Codec, packet.Payload); opens && !k || k && !key {
				p.t.Errorf("picture %d is taken for a key frame: %v", pack.frames, k)
			}
			if !u.put(l.Video.Codec, packet.Payload) {
				p.t.Fatalf("picture %d can't be put together", pack.frames)
			}
		}
		whole, ok := u.done()
		if !ok {
			p.t.Fatalf("picture %d is not whole", pack.frames)
		}
		if _, err := p.film.shoot(picture{l.Video.Codec, whole, uint32(from + at), int32(later), false}, !p.mute); err != nil {
			p.t.Fatal(err)
		}
		for _, packet := range pack.sound(p.t, at) {
			if err := p.film.hear(voice{codec: spoken.codec}, packet.Payload, packet.Timestamp); err != nil {
				p.t.Fatal(err)
			}
		}
		for _, m := range p.film.take() {
			if m.mime != "" {
				p.mimes = append(p.mimes, m.mime)
			}
			p.all = append(p.all, m.bytes...)
		}
	}
}

// packet is what ffprobe says of a sample.
type packet struct {
	Kind     string `json:"codec_type"`
	PTS      int64  `json:"pts"`
	DTS      int64  `json:"dts"`
	Duration int64  `json:"duration"`
	Flags    string `json:"flags"`
}

// lengths reads when each picture begins and how long it is said to last. ffprobe makes lengths up where it thinks that it
// knows better.
func lengths(t *testing.T, film []byte) (begins, lasts []int64) {
	t.Helper()
	for len(film) > 8 {
		size := binary.BigEndian.Uint32(film)
		if int(size) > len(film) {
			t.Fatalf("a box of %d bytes in %d", size, len(film))
		}
		box := film[:size]
		film = film[size:]
		if string(box[4:8]) != "moof" || binary.BigEndian.Uint32(box[44:]) != 1 {
			continue
		}
		at, width := int64(binary.BigEndian.Uint64(box[64:])), 12
		if binary.BigEndian.Uint32(box[80:])&0x800 != 0 { // with composition offsets
			width = 16
		}
		for i := range int(binary.BigEndian.Uint32(box[84:])) {
			length := int64(binary.BigEndian.Uint32(box[92+i*width:]))
			begins, lasts = append(begins, at), append(lasts, length)
			at += length
		}
	}
	return begins, lasts
}

// probed has ffprobe read the samples, and ffmpeg decode all of them without a complaint. It returns the samples of the
// pictures, those of the sound, and how many pictures were decoded.
func probed(t *testing.T, film []byte) (pictures, sound []packet, decoded int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.WriteFile(file, film, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-of", "json", "-show_entries", "packet=codec_type,pts,dts,duration,flags", file).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	var got struct{ Packets []packet }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Packets {
		if p.Kind == "video" {
			pictures = append(pictures, p)
		} else {
			sound = append(sound, p)
		}
	}
	cmd := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0", "-show_entries", "stream=nb_read_frames", file)
	var said strings.Builder
	cmd.Stderr = &said
	frames, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("ffprobe: %v: %s", err, said.String())
	}
	for _, c := range string(frames) {
		if c >= '0' && c <= '9' {
			decoded = decoded*10 + int(c-'0')
		}
	}
	return pictures, sound, decoded
}

// TestFilmsOfEveryKind films cameras of every kind, and has other programs read and decode that.
func TestFilmsOfEveryKind(t *testing.T) {
	t.Parallel()
	for name, mime := range map[string][2]string{ // how it begins and ends
		"shop/main":          {`video/mp4; codecs="avc1.`, `,mp4a.40.2"`},
		"carpark-night/main": {`video/mp4; codecs="hvc1.`, `"`},
		"checkout/main":      {`video/mp4; codecs="avc1.`, `,opus"`}, // with pictures in another order than they are shown in
		"dock/main":          {`video/mp4; codecs="avc1.`, `,opus"`},
	} {
		l := load(t, name)
		p := &projector{t: t, film: film{opus: true}}
		const count = 40
		p.show(l, count, 5<<32-90_000) // RTP time wraps, not at the same moment for sound
		if len(p.mimes) != 1 || !strings.HasPrefix(p.mimes[0], mime[0]) || !strings.HasSuffix(p.mimes[0], mime[1]) {
			t.Errorf("%s is %q", name, p.mimes)
		}
		pictures, sound, decoded := probed(t, p.all)
		if len(pictures) != count || decoded != count {
			t.Fatalf("%s: %d pictures, %d of them decoded, want %d", name, len(pictures), decoded, count)
		}
		begins, lasts := lengths(t, p.all)
		end := begins[0]
		for i, got := range pictures {
			u := l.Units[i%len(l.Units)]
			if begins[i] != end || got.DTS != end {
				t.Errorf("%s: picture %d begins at %d, for ffprobe at %d, and the one before ends at %d", name, i, begins[i], got.DTS, end)
			}
			if later := got.PTS - got.DTS; later != u.PTS-u.DTS {
				t.Errorf("%s: picture %d is shown %d ticks after its time, want %d", name, i, later, u.PTS-u.DTS)
			}
			if key := got.Flags[0] == 'K'; key != u.Key {
				t.Errorf("%s: picture %d: key frame %v", name, i, key)
			}
			if i > 5 && got.DTS-pictures[5].DTS != int64(i-5)*scenes.Timescale/int64(l.FPS) {
				t.Errorf("%s: picture %d is at %d, %d after picture 5", name, i, got.DTS, got.DTS-pictures[5].DTS)
			}
			end = begins[i] + lasts[i]
		}
		if (len(sound) > 0) != (l.Audio != nil) {
			t.Errorf("%s: %d frames of sound", name, len(sound))
		}
		if len(sound) > 0 { // ffprobe counts in the units of each track
			step := int64(960) // 20 ms of Opus
			if l.Audio.Codec == mp4.AAC {
				step = 1024
			}
			for i := 1; i < len(sound); i++ {
				if sound[i].DTS != sound[i-1].DTS+step {
					t.Errorf("%s: sound %d begins at %d, %d after the one before", name, i, sound[i].DTS, sound[i].DTS-sound[i-1].DTS)
				}
			}
			ms := (sound[len(sound)-1].DTS+step)*1000/int64(p.film.audio.Timescale) - (pictures[count-1].DTS+lasts[count-1])*1000/scenes.Timescale
			if ms < -100 || ms > 100 {
				t.Errorf("%s: sound ends %d ms after the pictures", name, ms)
			}
		}
	}
}

// TestSoundThatAPlayerTakes films G.711 for a player that takes no Opus, Opus as it comes, and sound whose coding changes.
func TestSoundThatAPlayerTakes(t *testing.T) {
	t.Parallel()
	deaf := &projector{t: t}
	deaf.show(load(t, "dock/sub"), 40, 0)
	if _, sound, _ := probed(t, deaf.all); len(sound) != 0 || strings.Contains(deaf.mimes[0], "opus") {
		t.Errorf("a player that takes no Opus gets %q with %d frames of sound", deaf.mimes, len(sound))
	}
	if deaf.film.sounds() {
		t.Error("sound that can't be played is waited for")
	}

	late := &projector{t: t, film: film{opus: true}, mute: true}
	late.show(load(t, "shop/sub"), 30, 0)
	late.mute = false
	late.show(load(t, "shop/sub"), 60, 4_000_000)
	if len(late.mimes) != 2 || !strings.HasSuffix(late.mimes[1], `,mp4a.40.2"`) || late.film.samples != 1024 {
		t.Errorf("with sound from the second key frame on the openings are %q, and a frame of sound has %d samples", late.mimes, late.film.samples)
	}

	const frames = 100
	l := *load(t, "shop/sub")
	spoken := mp4.Track{Codec: mp4.Opus, Timescale: 48000, SampleRate: 48000, Channels: 2}
	quiet := []byte{31<<3 | 1<<2, 0xff, 0xfe} // RFC 6716 section 3.1: 20 ms of stereo
	l.Audio, l.Sound, l.SoundTicks = &spoken, [][]byte{quiet}, 960
	p := &projector{t: t, film: film{opus: true}}
	p.show(&l, frames, 900_000)
	pictures, sound, _ := probed(t, p.all)
	if want := len(pictures) * 50 / l.FPS; len(sound) < want-5 || len(sound) > want+5 || !strings.HasSuffix(p.mimes[0], `,opus"`) {
		t.Errorf("%d pictures come with %d frames of Opus, want about %d; %q", len(pictures), len(sound), want, p.mimes)
	}
	for i := 1; i < len(sound); i++ {
		if sound[i].DTS != sound[i-1].DTS+960 {
			t.Errorf("frame %d begins at %d, %d units after the one before", i, sound[i].DTS, sound[i].DTS-sound[i-1].DTS)
		}
	}

	changes := &projector{t: t, film: film{opus: true}}
	for i, name := range []string{"shop/sub", "dock/sub", "checkout/sub", "carpark/sub"} {
		changes.show(load(t, name), 60, int64(i)*40_000_000)
	}
	var ends []string
	for _, m := range changes.mimes {
		ends = append(ends, m[strings.LastIndexAny(m, `,"`)-len("mp4a.40.2"):])
	}
	if len(changes.mimes) < 3 || !strings.HasSuffix(changes.mimes[0], `,mp4a.40.2"`) || !strings.HasSuffix(changes.mimes[1], `,opus"`) {
		t.Errorf("the openings end in %q", ends)
	}
}

// TestFilmOfACameraThatChanges has the parameters of the pictures change, and the way to code them.
func TestFilmOfACameraThatChanges(t *testing.T) {
	t.Parallel()
	p := &projector{t: t, film: film{opus: true}}
	for i, name := range []string{"dock/main", "dock/sub", "carpark-night/main", "carpark-night/main"} {
		p.show(load(t, name), 30, int64(i)*4_000_000)
	}
	if len(p.mimes) != 3 {
		t.Errorf("the openings are %q, want three", p.mimes)
	}
}

// TestTiming has pictures come as they do from real cameras: what is said of one's length is never contradicted by the next.
func TestTiming(t *testing.T) {
	t.Parallel()
	var clock timing
	end, in := int64(0), int64(1<<32-50_000) // RTP time wraps soon
	step := func(what string, ticks int64, burst, jump bool) (at, lasts int64) {
		t.Helper()
		in += ticks
		at, lasts = clock.place(uint32(in), burst, jump)
		if !jump && at != end || at < end || lasts < leastTicks {
			t.Errorf("%s: a picture at %d for %d follows one that ends at %d", what, at, lasts, end)
		}
		end = at + lasts
		return at, lasts
	}
	for range 100 {
		step("a burst", 5000, true, false)
	}
	if end != 100*leastTicks {
		t.Errorf("a burst of 100 pictures takes %d ticks", end)
	}
	var first int64
	for i := range 50 {
		at, _ := step("every 66 ms, more or less", 6000+int64(i%3-1)*900, false, false)
		if i == 10 {
			first = at - in
		}
		if off := at - in - first; i > 10 && (off > 2000 || off < -2000) {
			t.Errorf("picture %d is off by %d ticks", i, off)
		}
	}
	if _, lasts := step("one late", 20_000, false, false); lasts > 2*6900 {
		t.Errorf("the picture after one that came late lasts %d ticks", lasts)
	}
	for range 10 {
		step("and on", 6000, false, false)
	}
	before := end
	if at, _ := step("silence without sound", 900_000, false, false); at != before {
		t.Error("the film waits for what never was")
	}
	step("and on", 6000, false, false)
	if at, _ := step("silence with sound, then a key frame", 900_000, false, true); at < before+800_000 {
		t.Errorf("a key frame that the sound is far ahead of is at %d, after %d", at, before)
	}
	clock.cut()
	in = 0
	step("another timeline", 17, false, false)
	for range 30 {
		_, lasts := step("another pace", 180_000, false, false)
		if lasts > 4*180_000 {
			t.Errorf("a picture lasts %d ticks", lasts)
		}
	}
}

// TestUnitsOfAnything puts packets together that no agent sends: nothing panics, and what is broken is said to be.
func TestUnitsOfAnything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		codec   mp4.Codec
		packets [][]byte
		units   int // -1: broken
	}{
		"nothing":                     {mp4.H264, [][]byte{{}}, -1},
		"a unit":                      {mp4.H264, [][]byte{{0x65, 1}}, 1},
		"two in one":                  {mp4.H264, [][]byte{{24, 0, 2, 0x67, 1, 0, 1, 0x68}}, 2},
		"two in one, cut off":         {mp4.H264, [][]byte{{24, 0, 2, 0x67, 1, 0, 9, 0x68}}, -1},
		"pieces":                      {mp4.H264, [][]byte{{0x7c, 0x85, 1}, {0x7c, 0x05, 2}, {0x7c, 0x45, 3}}, 1},
		"pieces without a beginning":  {mp4.H264, [][]byte{{0x7c, 0x05, 2}, {0x7c, 0x45, 3}}, -1},
		"pieces without an end":       {mp4.H264, [][]byte{{0x7c, 0x85, 1}, {0x7c, 0x05, 2}}, -1},
		"a beginning inside a unit":   {mp4.H264, [][]byte{{0x7c, 0x85, 1}, {0x7c, 0x85, 2}}, -1},
		"a unit inside a unit":        {mp4.H264, [][]byte{{0x7c, 0x85, 1}, {0x65, 2}}, -1},
		"H.265":                       {mp4.H265, [][]byte{{0x26, 1, 7}}, 1},
		"H.265, two in one":           {mp4.H265, [][]byte{{0x60, 1, 0, 2, 0x40, 1, 0, 2, 0x42, 1}}, 2},
		"H.265, pieces":               {mp4.H265, [][]byte{{0x62, 1, 0x93, 7}, {0x62, 1, 0x53, 8}}, 1},
		"H.265, too short":            {mp4.H265, [][]byte{{0x62, 1}}, -1},
		"H.265, a piece without more": {mp4.H265, [][]byte{{0x62, 1, 0x93}}, -1},
	} {
		var u units
		ok := true
		for _, p := range c.packets {
			ok = ok && u.put(c.codec, p)
		}
		all, whole := u.done()
		if ok && whole != (c.units > 0) || !ok && c.units > 0 || c.units > 0 && len(all) != c.units {
			t.Errorf("%s: %d units, whole %v, fitting %v; want %d", name, len(all), whole, ok, c.units)
		}
	}
	var s sounds
	for _, p := range [][]byte{{}, {0, 16}, {0, 0, 0, 0}, {0xff, 0xff, 1, 2, 3}, {0, 16, 0xff, 0xf8, 1}, {0, 32, 0, 8, 0, 16, 1, 2}} {
		s.put(p)
	}
	if frames := s.put([]byte{0, 16, 0, 16, 7, 8}); len(frames) != 1 || len(frames[0]) != 2 {
		t.Errorf("after nonsense a frame reads as %v", frames)
	}
	if a, b := s.put([]byte{0, 16, 0, 32, 7, 8}), s.put([]byte{0, 16, 0, 32, 9, 10}); a != nil || len(b) != 1 || string(b[0]) != "\x07\x08\x09\x0a" {
		t.Errorf("a frame in two packets reads as %v, %v", a, b)
	}
}

// FuzzUnits looks for packets that make the relay panic.
func FuzzUnits(f *testing.F) {
	f.Add([]byte{0x7c, 0x85, 1}, true)
	f.Add([]byte{0x60, 1, 0, 2, 0x40, 1}, false)
	f.Fuzz(func(t *testing.T, payload []byte, h264 bool) {
		codec := mp4.H265
		if h264 {
			codec = mp4.H264
		}
		var u units
		u.put(codec, []byte{0x7c, 0x85, 1}) // for H.264 the first piece of a unit
		if u.put(codec, payload) {
			if all, ok := u.done(); ok {
				if set, _, _ := sift(codec, all); set != nil {
					if _, _, err := mp4.NewFilm([]mp4.Track{*set}); err != nil {
						t.Errorf("the track %s of %d bytes can't be filmed: %v", set.MIME(), len(payload), err)
					}
				}
			}
		}
		var s sounds
		s.put(payload)
		if track, _ := aac(payload); track != nil {
			if err := track.Validate(); err != nil {
				t.Errorf("the sound of %d bytes of configuration can't be filmed: %v", len(payload), err)
			}
		}
		var l larynx
		for _, c := range []mp4.Codec{mp4.Opus, mp4.PCMU, mp4.PCMA} {
			frames, err := l.frames(c, payload)
			if err != nil {
				t.Error(err)
			}
			for _, frame := range frames {
				if n := lasts(frame, 0); n < 0 || n > 5760 {
					t.Errorf("a frame of %d bytes lasts %d", len(frame), n)
				}
			}
		}
	})
}
