package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/powercut/uml"
	"holdfast/testenv/scenes"
)

// frameEvery is how often frames that were sent are told to the host.
const frameEvery = 100 * time.Millisecond

// cameras starts the cameras and tells of what they send until the machine ends.
func (g *guest) cameras(a uml.Cameras) error {
	loop, err := ballast(a.Kbit, a.FPS)
	if err != nil {
		return err
	}
	cfg := fakecam.Config{
		Listen: uml.RTSP, LogFrames: 256, Gather: 2 * time.Millisecond, Loops: map[string]*scenes.Loop{loop.Name: loop},
	}
	for i := range a.Count {
		cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{
			Name: fmt.Sprintf("cam-%02d", i+1), Number: uint32(a.First + i + 1), Main: loop.Name, Mute: true,
		})
	}
	s, err := fakecam.New(cfg)
	if err != nil {
		return err
	}
	go func() { fmt.Fprintln(os.Stderr, "guest: the cameras ended:", s.Run(context.Background())) }()
	go g.tellFrames(s)
	return nil
}

func (g *guest) tellFrames(s *fakecam.Server) {
	told := map[uint32]uint64{}
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	go g.tellIdle()
	for range tick.C {
		var line bytes.Buffer
		for _, c := range s.Cameras() {
			n := c.Number()
			for _, f := range c.Main().Log(told[n]+1, c.Main().Sent()) {
				fmt.Fprintf(&line, "%d:%d:%d:%d ", n, f.Frame, f.AtUs, f.RTP)
				told[n] = f.Frame
			}
		}
		if line.Len() > 0 {
			g.say(uml.LineFrames, bytes.TrimSpace(line.Bytes()))
		}
	}
}

// tellIdle tells how long the processor had nothing to do: with what the host knows, that says what the host kept from
// the machine.
func (g *guest) tellIdle() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			continue
		}
		fields := bytes.Fields(text[:max(0, bytes.IndexByte(text, '\n'))]) // cpu, user, nice, system, idle, iowait
		if len(fields) < 6 {
			continue
		}
		var ticks int64
		for _, f := range fields[4:6] {
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err == nil {
				ticks += n
			}
		}
		g.say(uml.LineIdle, strconv.AppendInt(nil, ticks*10_000, 10))
	}
}

// ballast returns a loop of small pictures that are cheap to decode: of each group of pictures the first fps, shown in a
// second, each with as much ballast beside it as the wanted bits a second ask for. A frame costs calls of the system,
// which are dear in the machine; its bytes cost little.
func ballast(kbit, fps int) (*scenes.Loop, error) {
	full, err := scenes.Load("shop/sub")
	if err != nil {
		return nil, err
	}
	l := *full
	l.Name, l.FPS, l.GOP = "ballast", fps, time.Second
	l.Audio, l.Sound, l.Units, l.Ticks = nil, nil, nil, 0
	taken := 0
	for _, u := range full.Units {
		if u.Key {
			taken = 0
		}
		if taken++; taken > fps {
			continue
		}
		u.DTS, u.PTS = l.Ticks, l.Ticks
		l.Ticks += scenes.Timescale / int64(fps)
		size := 0
		for _, n := range u.NALUs {
			size += len(n)
		}
		if more := kbit*1000/8/fps - size; more > 0 {
			u.NALUs = append([][]byte{padding(more)}, u.NALUs...)
		}
		l.Units = append(l.Units, u)
	}
	return &l, nil
}

// padding is an SEI message user_data_unregistered (ITU-T H.264 annex D) of about n bytes that mean nothing.
func padding(n int) []byte {
	out := []byte{6, 5}
	for size := n; ; size -= 255 {
		if size < 255 {
			out = append(out, byte(size))
			break
		}
		out = append(out, 255)
	}
	return append(append(out, bytes.Repeat([]byte{0x5a}, n)...), 0x80)
}
