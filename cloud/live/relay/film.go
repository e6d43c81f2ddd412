package relay

import (
	"fmt"
	"strings"
	"time"

	"holdfast/shared/mp4"
)

// film makes MP4 of what a pull brings, for one viewer.
type film struct {
	out     *mp4.Film // nil before the first key frame
	video   *mp4.Track
	audio   *mp4.Track // nil without sound
	spoken  voice      // that audio is made of
	samples int64      // of a frame of it; 0: each says that
	larynx  larynx
	end     int64     // of the sound so far, in its own timescale
	heard   time.Time // when sound came last
	voice   voice     // that it came with
	plays   bool      // the player can play that
	opus    bool      // the player takes Opus
	timing  timing
	some    bool // a fragment waits
	shown   time.Time
	due     []message
}

// message is what a viewer is sent next: a fragment, or what a player needs before those that follow.
type message struct {
	mime  string // of an opening; empty of a fragment
	bytes []byte
}

// picture is one picture of which all packets have come.
type picture struct {
	codec mp4.Codec
	units [][]byte
	stamp uint32
	later int32 // ticks
	burst bool
}

// shoot takes a picture, and says when it is in the film, in ticks; below 0: not at all. wanted says whether the viewer wants
// sound.
func (f *film) shoot(p picture, wanted bool) (at int64, err error) {
	set, units, key := sift(p.codec, p.units)
	if len(units) == 0 || f.out == nil && (set == nil || !key) {
		return -1, nil
	}
	if key && set != nil {
		audio, samples := (*mp4.Track)(nil), int64(0)
		if wanted && f.sounds() {
			audio, samples = f.voice.film(f.opus)
		}
		if f.out == nil || !set.Equal(f.video) || !same(audio, f.audio) {
			if err := f.open(set, audio); err != nil {
				return -1, err
			}
		}
		if audio != nil {
			f.samples = samples
			if f.spoken != f.voice {
				f.spoken, f.larynx = f.voice, larynx{}
			}
		}
	}
	if p.codec != f.video.Codec {
		return -1, nil // its key frame is still to come
	}
	if key {
		f.flush() // a fragment that begins with a key frame is one that a player may keep from
	}
	at, lasts := f.timing.place(p.stamp, p.burst, key && f.audio != nil)
	err = f.out.Add(mp4.Sample{DTS: at, CTS: p.later, Duration: uint32(lasts), Key: key, Units: units})
	if err != nil {
		return -1, fmt.Errorf("film a picture: %w", err)
	}
	f.some, f.shown = true, time.Now()
	return at, nil
}

// other says that what follows is another stream, with this sound.
func (f *film) other(v voice) {
	f.timing.cut()
	f.voice, f.heard, f.shown = v, time.Time{}, time.Time{}
	if f.plays = f.playable(v); f.plays {
		f.heard = time.Now()
	}
}

// playable says whether the player can play sound that is coded so.
func (f *film) playable(v voice) bool {
	t, _ := v.film(f.opus)
	return t != nil
}

func same(a, b *mp4.Track) bool { return a == nil && b == nil || a != nil && b != nil && a.Equal(b) }

// open begins with other tracks; time goes on.
func (f *film) open(video, audio *mp4.Track) error {
	tracks := []mp4.Track{*video}
	if audio != nil {
		tracks = append(tracks, *audio)
	}
	out, opened, err := mp4.NewFilm(tracks)
	if err != nil {
		return err
	}
	f.flush()
	f.out, f.video, f.audio, f.end = out, video, audio, 0
	f.due = append(f.due, message{f.mime(), opened})
	return nil
}

// soundLasts is how long a film that has sound waits for it when none comes: a player waits with its pictures.
const soundLasts = time.Second

// sounds says whether sound that can be played comes with the pictures.
func (f *film) sounds() bool { return !f.heard.IsZero() && f.shown.Sub(f.heard) < soundLasts }

// hear takes a packet of sound. What is coded in another way than the film's is not in it before its next key frame.
func (f *film) hear(v voice, payload []byte, stamp uint32) error {
	if v.codec == mp4.AAC && v.config == "" {
		v.config = f.voice.config
	}
	if v != f.voice {
		f.voice, f.plays = v, f.playable(v)
	}
	if !f.plays {
		return nil
	}
	f.heard = time.Now()
	moment, ok := f.timing.moment(stamp, v.clock())
	if f.audio == nil || f.spoken != v || !ok {
		return nil
	}
	rate := int64(f.audio.Timescale)
	at := moment * rate / videoClock
	off := at - f.end
	switch most := rate / 5; {
	case at < 0 || off < -most && f.end > 0: // it is ahead of the pictures by so much: they have lost time
		return nil
	case f.end == 0 || off > most:
		f.end = at
	}
	frames, err := f.larynx.frames(v.codec, payload)
	if err != nil {
		return fmt.Errorf("film sound: %w", err)
	}
	for _, frame := range frames {
		n := lasts(frame, f.samples)
		if n == 0 {
			continue
		}
		if err := f.out.Add(mp4.Sample{Track: 1, DTS: f.end, Duration: uint32(n), Units: [][]byte{frame}}); err != nil {
			return fmt.Errorf("film sound: %w", err)
		}
		f.end += n
		f.some = true
	}
	return nil
}

func (f *film) flush() {
	if f.some {
		f.due, f.some = append(f.due, message{bytes: f.out.Append(nil)}), false
	}
}

// take returns what was filmed since the last time.
func (f *film) take() []message {
	f.flush()
	due := f.due
	f.due = nil
	return due
}

// mime is the film's media type (RFC 6381).
func (f *film) mime() string {
	codecs := []string{f.video.MIME()}
	if f.audio != nil {
		codecs = append(codecs, f.audio.MIME())
	}
	return `video/mp4; codecs="` + strings.Join(codecs, ",") + `"`
}
