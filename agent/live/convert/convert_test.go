package convert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"holdfast/shared/mp4"
	"holdfast/testenv/scenes"
)

func load(t *testing.T) *scenes.Loop {
	t.Helper()
	loop, err := scenes.Load("carpark-night/main")
	if err != nil {
		t.Fatal(err)
	}
	if loop.Video.Codec != mp4.H265 {
		t.Fatalf("the scene is %v, want H.265", loop.Video.Codec)
	}
	return loop
}

// TestAViewThatEndsBeforeItBegins is no failure of the program.
func TestAViewThatEndsBeforeItBegins(t *testing.T) {
	p, err := New(Config{Program: "ffmpeg", Height: 360, Kbit: 2000}, &load(t).Video)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx, func(Picture) { t.Error("a picture") }); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestNoPictureWaitsForTheNext gives pictures in one by one, each only when the one before has come out.
func TestNoPictureWaitsForTheNext(t *testing.T) {
	loop := load(t)
	p, err := New(Config{Program: "ffmpeg", Height: 360, Kbit: 2000}, &loop.Video)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	out := make(chan Picture, 1)
	running.Go(func() {
		if err := p.Run(ctx, func(p Picture) { out <- p }); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	defer running.Wait()
	defer cancel()
	const beginMs = 20_000_000 // more than FLV's first three bytes hold
	var keys []int
	for i := range 45 {
		u := loop.Units[i%len(loop.Units)]
		at := beginMs + int64(i)*67
		if err := p.Write(at, u.Key, u.NALUs); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-out:
			if got.AtMs != at || got.Key != u.Key {
				t.Fatalf("picture %d went in at %d, key %v, and came out at %d, key %v", i, at, u.Key, got.AtMs, got.Key)
			}
			if got.Key {
				keys = append(keys, i)
			}
			var sps h264.SPS
			if err := sps.Unmarshal(got.Track.SPS); err != nil || sps.Height() != 360 || sps.Width() != 640 {
				t.Fatalf("what comes out is %d x %d: %v", sps.Width(), sps.Height(), err)
			}
			if sps.ProfileIdc != 66 {
				t.Errorf("what comes out has profile %d, want baseline", sps.ProfileIdc)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("picture %d does not come out by itself", i)
		}
	}
	if !slices.Equal(keys, []int{0, 30}) {
		t.Errorf("key frames are %v, want those of the source, 0 and 30", keys)
	}
}

// TestWhatIsNoProgram has what should be ffmpeg be missing, or something else.
func TestWhatIsNoProgram(t *testing.T) {
	loop := load(t)
	for program, want := range map[string]string{
		"holdfast-no-such-program": "holdfast-no-such-program",
		"true":                     "ended",
		"false":                    "ended",
		"echo":                     "not as FLV does",
	} {
		p, err := New(Config{Program: program, Height: 360, Kbit: 2000}, &loop.Video)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Run(t.Context(), func(Picture) { t.Errorf("%s gives pictures", program) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Run = %v, want something with %q", program, err, want)
		}
		if err := p.Write(0, true, loop.Units[0].NALUs); err == nil {
			t.Errorf("%s takes a picture after its end", program)
		}
	}
}

// TestReadTakesNothingForGranted cuts a stream at every place, and changes every byte of its tags.
func TestReadTakesNothingForGranted(t *testing.T) {
	tag := func(at uint32, body ...byte) []byte {
		n := len(body)
		b := []byte{tagVideo, byte(n >> 16), byte(n >> 8), byte(n), byte(at >> 16), byte(at >> 8), byte(at), byte(at >> 24), 0, 0, 0}
		return append(append(b, body...), 0, 0, 0, byte(n+tagHead))
	}
	stream := slices.Concat([]byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00"),
		tag(0, 0x17, 0, 0, 0, 0, 1, 66, 0xc0, 31, 0xff, 0xe1, 0, 4, 0x67, 66, 0xc0, 31, 1, 0, 2, 0x68, 1),
		tag(1<<24|5, 0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 9, 0, 0, 0, 2, 6, 1))
	read := func(b []byte) (all []Picture, err error) {
		err = read(bytes.NewReader(b), func(p Picture) { all = append(all, p) })
		return all, err
	}
	all, err := read(stream)
	if len(all) != 1 || !errors.Is(err, io.EOF) || all[0].AtMs != 1<<24|5 || !all[0].Key || len(all[0].Units) != 1 || !bytes.Equal(all[0].Units[0], []byte{0x65, 9}) {
		t.Fatalf("read = %+v, %v", all, err)
	}
	for n := range stream {
		if all, err := read(stream[:n]); err == nil || len(all) > 0 {
			t.Errorf("cut off after %d bytes: %+v, %v", n, all, err)
		}
		for _, b := range []byte{0, 0xff} {
			changed := bytes.Clone(stream)
			changed[n] = b
			if all, _ := read(changed); len(all) > 1 {
				t.Errorf("byte %d is %#x, and %d pictures come out", n, b, len(all))
			}
		}
	}
}
