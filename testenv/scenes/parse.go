package scenes

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"holdfast/shared/mp4"
)

// parse reads the pictures out of an MP4 file with one video track.
func parse(name string, raw []byte) (*Loop, error) {
	var p pmp4.Presentation
	if err := p.Unmarshal(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("read MP4: %w", err)
	}
	if len(p.Tracks) != 1 || p.Tracks[0].TimeScale != Timescale {
		return nil, fmt.Errorf("want one track of timescale %d", Timescale)
	}
	t := p.Tracks[0]
	l := &Loop{Name: name}
	if err := l.setVideo(t.Codec); err != nil {
		return nil, err
	}
	for i, s := range t.Samples {
		payload, err := s.GetPayload()
		if err != nil {
			return nil, fmt.Errorf("read frame %d: %w", i, err)
		}
		var nalus h264.AVCC // H.265 is laid out alike in MP4
		if err := nalus.Unmarshal(payload); err != nil {
			return nil, fmt.Errorf("split frame %d: %w", i, err)
		}
		u := Unit{DTS: l.Ticks, PTS: l.Ticks + int64(s.PTSOffset), Key: !s.IsNonSyncSample, NALUs: nalus}
		l.BFrames = l.BFrames || u.PTS != u.DTS
		l.Units = append(l.Units, u)
		l.Ticks += int64(s.Duration)
	}
	return l, l.check()
}

func (l *Loop) setVideo(c codecs.Codec) error {
	l.Video.Timescale = Timescale
	switch c := c.(type) {
	case *codecs.H264:
		var sps h264.SPS
		if err := sps.Unmarshal(c.SPS); err != nil {
			return fmt.Errorf("read SPS: %w", err)
		}
		l.Video.Codec, l.Video.SPS, l.Video.PPS = mp4.H264, c.SPS, c.PPS
		l.Video.Width, l.Video.Height = sps.Width(), sps.Height()
	case *codecs.H265:
		var sps h265.SPS
		if err := sps.Unmarshal(c.SPS); err != nil {
			return fmt.Errorf("read SPS: %w", err)
		}
		l.Video.Codec, l.Video.VPS, l.Video.SPS, l.Video.PPS = mp4.H265, c.VPS, c.SPS, c.PPS
		l.Video.Width, l.Video.Height = sps.Width(), sps.Height()
	default:
		return fmt.Errorf("want H.264 or H.265, got %T", c)
	}
	return nil
}

// check makes sure that the loop can follow itself, and finds its rate and its groups of pictures.
func (l *Loop) check() error {
	if len(l.Units) < 2 || l.Ticks == 0 {
		return errors.New("the loop is empty")
	}
	var keys []int
	for i, u := range l.Units {
		if u.Key != l.isKey(u) {
			return fmt.Errorf("frame %d: the container's key mark and the NAL units differ", i)
		}
		if u.Key {
			keys = append(keys, i)
		}
	}
	if len(keys) == 0 || keys[0] != 0 {
		return errors.New("the loop does not begin with a key frame")
	}
	gop := len(l.Units) / len(keys)
	for i, k := range keys {
		if k != i*gop {
			return fmt.Errorf("key frame %d is frame %d: groups of pictures differ in length", i, k)
		}
	}
	if l.Ticks%int64(len(l.Units)) != 0 || len(l.Units)%gop != 0 {
		return errors.New("the loop is no whole number of frames and groups of pictures")
	}
	step := l.Ticks / int64(len(l.Units))
	l.FPS = int(Timescale / step)
	l.GOP = time.Duration(int64(gop)*step) * time.Second / Timescale
	return nil
}

func (l *Loop) isKey(u Unit) bool {
	if l.Video.Codec == mp4.H265 {
		return h265.IsRandomAccess(u.NALUs)
	}
	return h264.IsRandomAccess(u.NALUs)
}

// g711Frame is 40 ms at 8 kHz, what most cameras put into a packet.
const g711Frame = 320

func (l *Loop) addSound(file string) error {
	if file == "" {
		return nil
	}
	raw, err := files.ReadFile("loops/" + file)
	if err != nil {
		return fmt.Errorf("read sound: %w", err)
	}
	if strings.HasSuffix(file, ".aac") {
		return l.addAAC(raw)
	}
	l.Audio = &mp4.Track{Codec: mp4.PCMU, Timescale: 8000, SampleRate: 8000, Channels: 1}
	if strings.HasSuffix(file, ".pcma") {
		l.Audio.Codec = mp4.PCMA
	}
	l.SoundTicks = g711Frame
	for at := 0; at+g711Frame <= len(raw); at += g711Frame {
		l.Sound = append(l.Sound, raw[at:at+g711Frame])
	}
	return nil
}

func (l *Loop) addAAC(raw []byte) error {
	var packets mpeg4audio.ADTSPackets
	if err := packets.Unmarshal(raw); err != nil {
		return fmt.Errorf("read ADTS: %w", err)
	}
	for _, p := range packets {
		l.Sound = append(l.Sound, p.AU)
	}
	config := mpeg4audio.AudioSpecificConfig{
		Type: packets[0].Type, SampleRate: packets[0].SampleRate, ChannelConfig: packets[0].ChannelConfig,
	}
	asc, err := config.Marshal()
	if err != nil {
		return fmt.Errorf("make AudioSpecificConfig: %w", err)
	}
	l.Audio = &mp4.Track{
		Codec: mp4.AAC, Timescale: uint32(config.SampleRate), ASC: asc, SampleRate: config.SampleRate,
		Channels: int(config.ChannelConfig), // up to six channels, the configuration is their number
	}
	l.SoundTicks = mpeg4audio.SamplesPerAccessUnit
	return nil
}
