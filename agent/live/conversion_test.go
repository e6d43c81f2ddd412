package live

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/agent/health"
	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// h264Only is what a browser asks for that shows no H.265.
func (s *stage) h264Only() wish {
	w := s.wish()
	w.Codecs, w.bare = []string{"h264"}, true
	return w
}

// TestABrowserWithoutH265 has the site convert an H.265 camera's pictures for one viewer, which is as many as it may.
func TestABrowserWithoutH265(t *testing.T) {
	s := newStageOf(t, Config{Convert: Convert{On: true, Height: 360}}, "carpark-night/main")
	v := watch(t, s.room, s.h264Only())
	if v.answer.Codec != baseline || !strings.Contains(v.answer.Note, "converts the main stream to H.264, 360 lines high") {
		t.Errorf("the viewer is told %q, %q", v.answer.Codec, v.answer.Note)
	}
	gop := int(s.loop.GOP.Seconds()) * s.loop.FPS
	pictures := v.seen(2*gop + 10)
	t.Logf("the first picture came %v after the offer", pictures[0].at.Sub(v.asked).Round(time.Millisecond))
	last := -1
	for i, p := range pictures {
		if i > 0 && int32(p.rtp-pictures[i-1].rtp) <= 0 {
			t.Errorf("RTP time goes from %d to %d at picture %d", pictures[i-1].rtp, p.rtp, i)
		}
		if !p.key {
			continue
		}
		if last >= 0 && i-last != gop {
			t.Errorf("picture %d is a key frame, and the one before was %d: want %d apart, as the camera has them", i, last, gop)
		}
		last = i
	}
	if !pictures[0].key || last < gop {
		t.Errorf("the first picture is a key frame: %v, the last key frame is picture %d", pictures[0].key, last)
	}
	note := v.note("position", func(n rtc.Note) bool { return n.Live })
	v.until("the picture that the viewer is told of", func() bool {
		return slices.ContainsFunc(v.pictures, func(p picture) bool { return p.rtp == note.RTP })
	})

	_, err := try(t, s.room, s.h264Only())
	assertFailure(t, err, wire.FailedBusy, "must be converted", "limit")
	both := watch(t, s.room, s.wish()) // shows H.265 itself
	both.seen(2)
	s.room.Close(v.session)
	eventually.True(t, "the first viewer's session to end", func() bool { return len(s.room.Open()) == 1 })
	watch(t, s.room, s.h264Only()).seen(2)
}

// script makes a program of shell commands, in place of ffmpeg.
func script(t *testing.T, commands string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+commands+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAProgramThatHangs has the view close while the program takes nothing any more: the place is free for another camera.
func TestAProgramThatHangs(t *testing.T) {
	t.Parallel()
	s := newStageOf(t, Config{Convert: Convert{On: true, Program: script(t, "exec sleep 1000")}}, "carpark-night/main")
	w := s.h264Only()
	w.View = id.New[id.Session]()
	v := watch(t, s.room, w)
	begun := time.Now()
	eventually.True(t, "the pipe to be full", func() bool { return time.Since(begun) > 3*time.Second })
	s.room.Close(w.View)
	eventually.True(t, "the view to end", func() bool { return !slices.Contains(s.room.Open(), w.View) })
	if open := s.room.Open(); !slices.Contains(open, v.session) {
		t.Errorf("the connection has ended too: %v are open", open)
	}
}

// TestAConversionThatFails tells the viewer why, and the board that the program is missing.
func TestAConversionThatFails(t *testing.T) {
	program := script(t, "echo 'Unknown encoder libx264' >&2; exit 1")
	s := newStageOf(t, Config{Convert: Convert{On: true, Program: program}}, "carpark-night/main")
	v := watch(t, s.room, s.h264Only())
	v.note("end", func(n rtc.Note) bool { return strings.Contains(n.Text, "Unknown encoder libx264") })
	eventually.True(t, "the session to end", func() bool { return len(s.room.Open()) == 0 })

	s.room.board = health.NewBoard(func() int64 { return 1 }, func(health.Condition) {})
	s.room.cfg.Convert.Program = program + "-that-is-not-there"
	s.room.findProgram()
	conditions := s.room.board.Conditions()
	if len(conditions) != 1 || conditions[0].State != wire.Failing || !strings.Contains(conditions[0].Text, "live.convert.program") {
		t.Errorf("the board says %+v", conditions)
	}
}

// TestNothingIsConvertedUnasked has a site that does not allow it say why nothing is shown.
func TestNothingIsConvertedUnasked(t *testing.T) {
	t.Parallel()
	s := newStageOf(t, Config{}, "carpark-night/main")
	_, err := try(t, s.room, s.h264Only())
	assertFailure(t, err, wire.FailedCodec, "H.265")
}
