// Package scenes is the ground truth of Holdfast's tests: short loops of synthetic CCTV, ready encoded.
//
// It owns six cameras' worth of loops (main 1280x720 and sub 640x360, 15 frames a second; H.264, H.265 and
// B-frames; groups of pictures of 1, 2 and 10 s) and three room sounds. It promises that a loop begins with a
// key frame, holds whole closed groups of pictures and so can follow itself for ever, and that the picture
// changes from frame to frame. It never draws at run time: the loops were made by
//
//	go run holdfast/testenv/scenes/cmd/draw -out testenv/scenes/loops
//
// and are committed; that command is needed only to change them, and needs ffmpeg with libx264 and libx265.
package scenes

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/shared/mp4"
)

//go:embed loops
var files embed.FS

// Timescale is that of every loop's pictures: 90 kHz, as RTP has it.
const Timescale = 90000

// Unit is one access unit.
type Unit struct {
	DTS, PTS int64    // 1/90000 s since the loop began; PTS >= DTS
	Key      bool     // an IDR, decodable by itself
	NALUs    [][]byte // without start codes, without parameter sets and without SEI
}

// Loop is one stream's worth of pictures and sound that begins again where it ends.
type Loop struct {
	Name    string    // "carpark/main"
	Video   mp4.Track // its timescale is Timescale
	FPS     int
	GOP     time.Duration // from key frame to key frame
	BFrames bool
	Ticks   int64 // length, 1/90000 s
	Units   []Unit

	Audio      *mp4.Track // nil without sound; its timescale is the sample rate
	Sound      [][]byte   // frames of the codec; the sound has a loop of its own
	SoundTicks int64      // samples in each of them
}

// Camera is a place with its two streams.
type Camera struct {
	Name      string // "carpark"
	Main, Sub string // for Load
}

// sound names the room sound of a camera; the others are mute.
func sound(camera string) string {
	switch camera {
	case "shop":
		return "room.aac"
	case "corridor", "checkout":
		return "room.pcmu"
	case "dock":
		return "room.pcma"
	}
	return ""
}

// Cameras returns the places that loops exist of:
//
//	carpark        day, H.264, key frame every 2 s, no sound
//	shop           day, H.264, every 1 s, AAC-LC
//	corridor       night, H.264, every 10 s, G.711 mu-law
//	dock           day, H.264, every 2 s, G.711 A-law
//	carpark-night  night, main H.265 and sub H.264, every 2 s, no sound
//	checkout       day, main with B-frames every 2 s, sub every 1 s, G.711 mu-law
func Cameras() []Camera {
	var all []Camera
	for _, name := range [...]string{"carpark", "shop", "corridor", "dock", "carpark-night", "checkout"} {
		all = append(all, Camera{Name: name, Main: name + "/main", Sub: name + "/sub"})
	}
	return all
}

// All returns the names of every loop.
func All() []string {
	var names []string
	for _, c := range Cameras() {
		names = append(names, c.Main, c.Sub)
	}
	return names
}

// Load reads a loop by its name, such as "shop/sub".
func Load(name string) (*Loop, error) {
	if !slices.Contains(All(), name) {
		return nil, fmt.Errorf("load loop %q: there is no such loop; there are %s", name, strings.Join(All(), ", "))
	}
	raw, err := File(name)
	if err != nil {
		return nil, err
	}
	l, err := parse(name, raw)
	if err != nil {
		return nil, fmt.Errorf("load loop %q: %w", name, err)
	}
	camera, _, _ := strings.Cut(name, "/")
	if err := l.addSound(sound(camera)); err != nil {
		return nil, fmt.Errorf("load loop %q: %w", name, err)
	}
	return l, nil
}

// File returns the pictures of a loop as an MP4 file, to be played or decoded by other programs.
func File(name string) ([]byte, error) {
	raw, err := files.ReadFile("loops/" + strings.ReplaceAll(name, "/", "-") + ".mp4")
	if err != nil {
		return nil, fmt.Errorf("read loop %q: %w", name, err)
	}
	return raw, nil
}

// Duration is the length of the loop.
func (l *Loop) Duration() time.Duration { return time.Duration(l.Ticks) * time.Second / Timescale }

// Bitrate is what the pictures take on average, bit/s.
func (l *Loop) Bitrate() int {
	bytes := 0
	for _, u := range l.Units {
		for _, n := range u.NALUs {
			bytes += len(n)
		}
	}
	return int(int64(bytes) * 8 * Timescale / l.Ticks)
}
