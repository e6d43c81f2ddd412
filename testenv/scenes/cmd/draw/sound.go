package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"holdfast/testenv/scenes/render"
)

const (
	soundSeconds = 8
	aacRate      = 16000
	aacFrame     = 1024
	g711Rate     = 8000
)

// sounds makes the room tones: eight seconds that join their own beginning.
func sounds(ctx context.Context, out string) error {
	for name, codec := range map[string]string{"room.pcmu": "mulaw", "room.pcma": "alaw"} {
		err := ffmpeg(ctx, room(g711Rate), "-v", "error", "-y", "-f", "s16le", "-ar", fmt.Sprint(g711Rate), "-ac", "1", "-i", "-",
			"-c:a", "pcm_"+codec, "-f", codec, filepath.Join(out, name))
		if err != nil {
			return err
		}
	}
	return aac(ctx, filepath.Join(out, "room.aac"))
}

// aac encodes three rounds and keeps the middle one: its first frame overlaps a frame like its last.
func aac(ctx context.Context, path string) error {
	one := room(aacRate)
	pcm := append(append(append([]byte{}, one...), one...), one...)
	err := ffmpeg(ctx, pcm, "-v", "error", "-y", "-f", "s16le", "-ar", fmt.Sprint(aacRate), "-ac", "1", "-i", "-",
		"-c:a", "aac", "-b:a", "32k", "-f", "adts", path)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read encoded sound: %w", err)
	}
	var packets mpeg4audio.ADTSPackets
	if err := packets.Unmarshal(raw); err != nil {
		return fmt.Errorf("read ADTS: %w", err)
	}
	round := soundSeconds * aacRate / aacFrame
	kept, err := packets[round : 2*round].Marshal()
	if err != nil {
		return fmt.Errorf("write ADTS: %w", err)
	}
	return os.WriteFile(path, kept, 0o644)
}

// room returns a quiet room as 16-bit samples: air, the hum of a cooler, and now and then a small knock. All of
// it is made of tones with a whole number of swings in eight seconds, so that the end meets the beginning.
func room(rate int) []byte {
	n := soundSeconds * rate
	wave := make([]float64, n)
	tone := func(cycles int, level float64, seed int) {
		phase := 2 * math.Pi * render.Pick(cycles, seed, 1)
		step := 2 * math.Pi * float64(cycles) / float64(n)
		for i := range wave {
			wave[i] += level * math.Sin(step*float64(i)+phase)
		}
	}
	for k := range 420 {
		hz := 60 * math.Pow(50, render.Pick(k, 2, 3))
		tone(int(hz*soundSeconds), 11*math.Pow(hz/200, -0.6), k)
	}
	for h, level := range []float64{60, 90, 30, 24, 10} {
		tone(50*(h+1)*soundSeconds, level, 1000+h)
	}
	for k := range 5 {
		knock(wave, rate, k)
	}
	pcm := make([]byte, 2*n)
	for i, v := range wave {
		binary.LittleEndian.PutUint16(pcm[2*i:], uint16(int16(min(max(v, -32000), 32000))))
	}
	return pcm
}

func knock(wave []float64, rate, k int) {
	start := int((0.3 + 1.5*float64(k) + render.Pick(k, 7, 7)) * float64(rate))
	hz := 350 + 900*render.Pick(k, 8, 8)
	for i := range rate / 5 {
		t := float64(i) / float64(rate)
		wave[(start+i)%len(wave)] += 900 * math.Exp(-t*45) * math.Sin(2*math.Pi*hz*t)
	}
}
