package mp4

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"holdfast/shared/evidence"
)

// material is real encoded media: made by ffmpeg, taken apart by ffprobe, so that it owes nothing to the code under test.
type material struct {
	tracks  []Track
	samples []Sample // both tracks, in order of time
}

const (
	width, height = 128, 96
	fps           = 25
)

// encoded returns d seconds of a test picture and tone. It is made once per process for each combination.
func encoded(t testing.TB, video, audio string, seconds int, pattern string) material {
	t.Helper()
	name := fmt.Sprint(video, "|", audio, "|", seconds, "|", pattern)
	made, _ := cache.LoadOrStore(name, sync.OnceValues(func() (material, error) {
		return encode(video, audio, seconds, pattern)
	}))
	m, err := made.(func() (material, error))()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var cache sync.Map

func encode(video, audio string, seconds int, pattern string) (m material, err error) {
	dir, err := os.MkdirTemp("", "mp4-material")
	if err != nil {
		return m, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	x264 := []string{"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p"}
	codecs := map[string][]string{
		"h264": x264,
		"h264b": {
			"-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0", "-g", "50", "-sc_threshold", "0",
			"-x264-params", "bframes=3", "-pix_fmt", "yuv420p",
		},
		"h265": {
			"-c:v", "libx265", "-preset", "ultrafast", "-g", "50", "-tag:v", "hvc1", "-pix_fmt", "yuv420p",
			"-x265-params", "log-level=none:bframes=0:keyint=50:min-keyint=50:scenecut=0:pools=1",
		},
		"h265b": {
			"-c:v", "libx265", "-preset", "ultrafast", "-g", "50", "-tag:v", "hvc1", "-pix_fmt", "yuv420p",
			"-x265-params", "log-level=none:bframes=3:keyint=50:min-keyint=50:scenecut=0:open-gop=0:pools=1",
		},
		"":     nil,
		"aac":  {"-c:a", "aac", "-ar", "16000", "-ac", "1"},
		"aac2": {"-c:a", "aac", "-ar", "48000", "-ac", "2"},
		"opus": {"-c:a", "libopus", "-ar", "48000", "-ac", "1", "-frame_duration", "20"},
		"pcmu": {"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"},
		"pcma": {"-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"},
	}
	file := filepath.Join(dir, "m.mov")
	if audio == "opus" {
		file = filepath.Join(dir, "m.mp4")
	}
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("%s=size=%dx%d:rate=%d", pattern, width, height, fps)}
	if audio != "" {
		args = append(args, "-f", "lavfi", "-i", "sine=frequency=700:sample_rate=48000")
	}
	args = append(append(args, codecs[video]...), codecs[audio]...)
	args = append(args, "-t", strconv.Itoa(seconds), "-video_track_timescale", "90000", file)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		return m, fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	if err := m.take(file, video, audio); err != nil {
		return m, err
	}
	slices.SortStableFunc(m.samples, func(a, b Sample) int {
		return int(toUs(a.DTS, m.tracks[a.Track].Timescale) - toUs(b.DTS, m.tracks[b.Track].Timescale))
	})
	return m, nil
}

type probe struct {
	Packets []packet
	Streams []struct {
		TimeBase string `json:"time_base"`
	}
}

type packet struct {
	Stream             int `json:"stream_index"`
	PTS, DTS, Duration int64
	Size               string
	Flags              string
}

// take reads the tracks of a file: packets as ffprobe lists them, their bytes as ffmpeg copies them.
func (m *material) take(file string, codecs ...string) error {
	out, err := exec.Command("ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", file).Output()
	if err != nil {
		return fmt.Errorf("ffprobe: %w", err)
	}
	var p probe
	if err := json.Unmarshal(out, &p); err != nil {
		return err
	}
	args := []string{"-v", "error", "-i", file}
	for i := range p.Streams {
		args = append(args, "-map", fmt.Sprint("0:", i), "-c", "copy", "-f", "data", fmt.Sprint(file, i))
	}
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for i := range p.Streams {
		data, err := os.ReadFile(fmt.Sprint(file, i))
		if err != nil {
			return err
		}
		packets := slices.DeleteFunc(slices.Clone(p.Packets), func(k packet) bool { return k.Stream != i })
		if err := m.takeTrack(codecs[i], p.Streams[i].TimeBase, whole, packets, data); err != nil {
			return err
		}
	}
	return nil
}

func (m *material) takeTrack(codec, base string, file []byte, packets []packet, data []byte) error {
	_, scale, _ := strings.Cut(base, "/")
	n, err := strconv.Atoi(scale)
	if err != nil {
		return err
	}
	track := Track{Timescale: uint32(n)}
	if err := track.config(codec, file); err != nil {
		return err
	}
	index := len(m.tracks)
	m.tracks = append(m.tracks, track)
	if track.Codec == PCMU || track.Codec == PCMA {
		const frame = 160 // ffmpeg reads them in pieces of its own: we want 20 ms
		packets = nil
		for at := 0; at+frame <= len(data); at += frame {
			m.samples = append(m.samples, Sample{
				Track: index, DTS: int64(at), Duration: frame, Key: true,
				Units: [][]byte{data[at : at+frame]},
			})
		}
	}
	for i, k := range packets {
		size, err := strconv.Atoi(k.Size)
		if err != nil {
			return err
		}
		s := Sample{
			Track: index, DTS: k.DTS - packets[0].DTS, CTS: int32(k.PTS - k.DTS), Duration: uint32(k.Duration),
			Key: strings.HasPrefix(k.Flags, "K"), Units: [][]byte{data[:size]},
		}
		if i+1 < len(packets) {
			s.Duration = uint32(packets[i+1].DTS - k.DTS)
		}
		if track.Codec.IsVideo() {
			if s.Units, err = splitUnits(data[:size]); err != nil {
				return err
			}
		}
		m.samples = append(m.samples, s)
		data = data[size:]
	}
	return nil
}

// config fills in the codec parameters from the boxes that ffmpeg wrote.
func (t *Track) config(codec string, file []byte) error {
	body := func(typ string) *reader {
		return &reader{b: file[bytes.Index(file, []byte(typ))+4:]}
	}
	switch codec {
	case "h264", "h264b":
		t.Codec, t.Width, t.Height = H264, width, height
		parseAVCC(body("avcC"), t)
	case "h265", "h265b":
		t.Codec, t.Width, t.Height = H265, width, height
		r := body("hvcC")
		r.take(22)
		sets := map[byte]*[]byte{32: &t.VPS, 33: &t.SPS, 34: &t.PPS}
		for n := r.u8(); n > 0; n-- {
			typ := r.u8() & 0x3f
			for k := r.u16(); k > 0; k-- {
				set := r.take(int(r.u16()))
				if p := sets[typ]; p != nil {
					*p = set
				}
			}
		}
	case "aac", "aac2":
		t.Codec, t.SampleRate, t.Channels = AAC, 16000, 1
		if codec == "aac2" {
			t.SampleRate, t.Channels = 48000, 2
		}
		asc, err := mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: t.SampleRate, ChannelConfig: uint8(t.Channels)}.Marshal()
		if err != nil {
			return err
		}
		t.ASC = asc
	case "opus":
		t.Codec, t.SampleRate, t.Channels = Opus, 48000, 1
	case "pcmu":
		t.Codec, t.SampleRate, t.Channels = PCMU, 8000, 1
	case "pcma":
		t.Codec, t.SampleRate, t.Channels = PCMA, 8000, 1
	}
	return t.Validate()
}

const t0 = 1_700_000_000_000_000 // wall time at which test recordings begin

func header(segment uint64, tracks []Track, startUs int64) Header {
	return Header{
		Segment: segment, Site: "site_a", Camera: "cam_b", Stream: "main", Run: 3,
		StartUs: startUs, MonoUs: startUs - t0 + 5_000_000, Tracks: tracks, Base: make([]int64, len(tracks)),
	}
}

func testKey() (ed25519.PublicKey, ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	return key.Public().(ed25519.PublicKey), key
}

// recorded is a segment with its parts, as a recorder would make it.
type recorded struct {
	header Header
	init   []byte
	file   []byte
	parts  []PartSum
	ends   []int // offset of the end of each part
}

// record writes samples into a segment of parts of at most partUs, beginning at startUs. Without a key it stays open.
func record(t testing.TB, h Header, samples []Sample, partUs int64, key ed25519.PrivateKey) recorded {
	t.Helper()
	rec := recorded{header: h}
	var err error
	if rec.init, err = AppendInit(nil, h); err != nil {
		t.Fatal(err)
	}
	rec.file = bytes.Clone(rec.init)
	b, err := NewPartBuilder(h)
	if err != nil {
		t.Fatal(err)
	}
	end := func() {
		if b.Empty() {
			return
		}
		part, sum := b.AppendTo(nil)
		rec.file = append(rec.file, part...)
		rec.parts = append(rec.parts, sum)
		rec.ends = append(rec.ends, len(rec.file))
	}
	startUs := int64(0)
	for _, s := range samples {
		atUs := toUs(s.DTS, h.Tracks[s.Track].Timescale)
		hole := atUs > startUs+b.Duration().Microseconds()+100_000 // a part never goes on behind a gap
		if b.Empty() || b.Duration().Microseconds() >= partUs || hole {
			startUs = atUs
			end()
			b.Reset(uint32(len(rec.parts)+1), h.StartUs+atUs, h.MonoUs+atUs)
		}
		if err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	end()
	if key != nil {
		rec.seal(t, key)
	}
	return rec
}

func (rec *recorded) seal(t testing.TB, key ed25519.PrivateKey) {
	t.Helper()
	signed, err := evidence.Sign(NewStatement(rec.header, rec.init, rec.parts), key)
	if err != nil {
		t.Fatal(err)
	}
	rec.file = AppendSeal(rec.file, Seal{
		Signed: signed, InitSize: int64(len(rec.init)), Video: rec.header.VideoTrack(), Parts: rec.parts,
	})
}

func (rec *recorded) reader() (*bytes.Reader, int64) {
	return bytes.NewReader(rec.file), int64(len(rec.file))
}

// cut returns the samples of [fromUs, toUs) of media time, counted from fromUs: what a recorder puts into one segment.
func (m *material) cut(fromUs, untilUs int64) []Sample {
	var out []Sample
	for _, s := range m.samples {
		scale := m.tracks[s.Track].Timescale
		if us := toUs(s.DTS, scale); us >= fromUs && us < untilUs {
			s.DTS -= fromUsExact(fromUs, scale)
			out = append(out, s)
		}
	}
	return out
}

func fromUsExact(us int64, scale uint32) int64 { return fromUs(us, scale) }

// ffmpegSilent decodes all of a file and wants not one word about it.
func ffmpegSilent(t testing.TB, file string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Fatalf("ffmpeg on %s: %v: %s", filepath.Base(file), err, out)
	}
}

type probed struct {
	Streams []struct {
		CodecName string `json:"codec_name"`
		CodecType string `json:"codec_type"`
		Frames    string `json:"nb_read_frames"`
		Start     string `json:"start_time"`
		Duration  string `json:"duration"`
	}
	Frames []struct {
		MediaType string `json:"media_type"`
		PTS       string `json:"pts_time"`
		Key       int    `json:"key_frame"`
	}
	Format struct {
		Start    string `json:"start_time"`
		Duration string `json:"duration"`
	}
}

func ffprobe(t testing.TB, file string) (p probed) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_frames", "-show_format", "-of", "json", file)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("ffprobe on %s: %v: %s", filepath.Base(file), err, &said)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func save(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f.mp4")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// decodedSound decodes the sound of a file to 8000 samples of 16 bits a second.
func decodedSound(file string) ([]byte, error) {
	type result struct {
		pcm []byte
		err error
	}
	made, _ := cache.LoadOrStore(file, sync.OnceValue(func() result {
		out, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-map", "0:a", "-ar", "8000", "-ac", "1", "-f", "s16le", "-").Output()
		return result{out, err}
	}))
	got := made.(func() result)()
	return got.pcm, got.err
}

func decodedSeconds(file string) (float64, error) {
	pcm, err := decodedSound(file)
	return float64(len(pcm)) / 16000, err
}
