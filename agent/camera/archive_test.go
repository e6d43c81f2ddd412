package camera

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// filmed is a rig whose camera has filmed the minutes from ten minutes to six minutes ago on its card, and an archive.
type filmed struct {
	*rig
	archive *Archive
	from    time.Time
}

func newFilmed(t *testing.T, o options, change func(*ArchiveConfig)) *filmed {
	t.Helper()
	t.Parallel()
	o.camera.Main, o.camera.Card = cmp.Or(o.camera.Main, "quick"), time.Hour
	if o.camera.Main == "quick" {
		o.camera.Main = "carpark/sub"
	}
	f := &filmed{rig: newRig(t, o), from: time.Now().Add(-10 * time.Minute).Truncate(time.Second)}
	f.cam.Main().Film(f.from, f.from.Add(4*time.Minute), 1_000_000)
	source, err := NewSource(f.cam.Main().ArchiveURL(), o.user, o.pass, "tcp")
	if err != nil {
		t.Fatal(err)
	}
	if o.pin != "" {
		if source, err = source.Pin(o.pin); err != nil {
			t.Fatal(err)
		}
	}
	c := ArchiveConfig{Source: source, Camera: f.id, Rate: 100 << 20}
	if change != nil {
		change(&c)
	}
	f.archive = f.room.NewArchive(c)
	return f
}

// picture is one that came.
type picture struct {
	frame   uint64 // its number
	wallUs  int64
	sentUs  int64 // when it was filmed
	key     bool
	guessed bool
}

// fetch fetches a range, counted from the beginning of the film.
func (f *filmed) fetch(ctx context.Context, from, to time.Duration) (pictures []picture, sound int, err error) {
	f.t.Helper()
	err = f.archive.Fetch(ctx, f.from.Add(from).UnixMicro(), f.from.Add(to).UnixMicro(), func(x media.Frame, wallUs int64, guessed bool) error {
		track := x.Params.Tracks[x.Track]
		if !track.Codec.IsVideo() {
			sound++
			return nil
		}
		s, ok := fakecam.FindStamp(x.Units, track.Codec == mp4.H265)
		if !ok {
			f.t.Error("a picture without a stamp")
		}
		pictures = append(pictures, picture{s.Frame, wallUs, s.SentUs, x.Key, guessed})
		return nil
	})
	return pictures, sound, err
}

// clockSlack is how well the offset of a camera's clock is known: its reports may wait for a moment before they are read.
const clockSlack = 300_000

// covers sees that pictures hold the range without a hole, each at its time.
func (f *filmed) covers(pictures []picture, from, to time.Duration) {
	f.t.Helper()
	if len(pictures) == 0 || !pictures[0].key {
		f.t.Fatalf("%d pictures came, the first must be a key frame", len(pictures))
	}
	first, last := pictures[0], pictures[len(pictures)-1]
	if begin := f.from.Add(from).UnixMicro(); first.sentUs > begin || first.sentUs < begin-11e6 {
		f.t.Errorf("it begins %d ms behind the range", (first.sentUs-begin)/1000)
	}
	if end := f.from.Add(to).UnixMicro(); last.sentUs < end-clockSlack || last.sentUs >= end+1_000_000 {
		f.t.Errorf("it ends %d ms behind the range", (last.sentUs-end)/1000)
	}
	for i, p := range pictures {
		if i > 0 && p.frame != pictures[i-1].frame+1 {
			f.t.Fatalf("picture %d follows picture %d", p.frame, pictures[i-1].frame)
		}
		if off := p.wallUs - p.sentUs; abs(off) > clockSlack {
			f.t.Fatalf("picture %d lies %d ms beside its time", p.frame, off/1000)
		}
	}
}

func TestAnArchiveIsFetchedByTime(t *testing.T) {
	for _, loop := range []string{"carpark/sub", "shop/sub", "carpark-night/main", "checkout/main"} {
		t.Run(loop, func(t *testing.T) {
			f := newFilmed(t, options{camera: fakecam.CameraConfig{Main: loop}}, nil)
			began := time.Now()
			pictures, _, err := f.fetch(t.Context(), 30*time.Second, 90*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			f.covers(pictures, 30*time.Second, 90*time.Second)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("a minute took %v: it was not asked for as fast as possible", took)
			}
			eventually.True(t, "the session to be torn down", func() bool { return f.cam.Tally().Teardowns > 0 })
		})
	}
}

// TestSoundOfAnArchive: the card holds sound of what was filmed live.
func TestSoundOfAnArchive(t *testing.T) {
	f := newFilmed(t, options{camera: fakecam.CameraConfig{Main: "shop/sub"}}, nil)
	eventually.True(t, "five seconds of film", func() bool { return f.cam.Main().Sent() > 80 })
	f.from = time.Now().Add(-4 * time.Second)
	pictures, sound, err := f.fetch(t.Context(), 0, 3*time.Second)
	if err != nil || len(pictures) < 40 || sound < 30 {
		t.Errorf("%d pictures and %d frames of sound came, %v", len(pictures), sound, err)
	}
}

// TestAnArchiveWithAWrongClock: the offset is known from the live stream's reports, or from the date of an answer.
func TestAnArchiveWithAWrongClock(t *testing.T) {
	for name, live := range map[string]bool{"from the live stream": true, "from the date": false} {
		t.Run(name, func(t *testing.T) {
			ready := func(r *rig) { r.turn(fakecam.Knobs{NTPOffsetMs: -3_720_000}) }
			f := newFilmed(t, options{ready: ready}, nil)
			slack := time.Second
			if live {
				slack = 0
				f.watch("main").frames(20)
				eventually.True(t, "the camera's word about its clock", func() bool { return f.archive.clockAhead() < -time.Hour })
			} else {
				f.room.Apply([]wire.CameraDesire{{Camera: f.id, Disable: true}}) // nobody watches it live
				eventually.True(t, "the stream to be forgotten", func() bool { return f.archive.clockAhead().Abs() < time.Second })
			}
			pictures, _, err := f.fetch(t.Context(), 30*time.Second, 60*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pictures {
				if off := time.Duration(p.wallUs-p.sentUs) * time.Microsecond; off.Abs() > slack+clockSlack*time.Microsecond {
					t.Fatalf("a picture lies %v beside its time", off)
				}
			}
		})
	}
}

func TestAnArchiveThatDoesNotKnowONVIF(t *testing.T) {
	f := newFilmed(t, options{}, nil)
	f.turn(fakecam.Knobs{ArchivePlain: true, ArchivePace: 20})
	pictures, _, err := f.fetch(t.Context(), 30*time.Second, 50*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f.covers(pictures, 30*time.Second, 50*time.Second)
	if pictures[0].guessed {
		t.Error("the device told by Range and RTP-Info where it begins")
	}
	f.turn(fakecam.Knobs{ArchivePlain: true, ArchivePace: 20, ArchiveTimeless: true})
	pictures, _, err = f.fetch(t.Context(), 30*time.Second, 40*time.Second)
	if err != nil || len(pictures) == 0 || !pictures[0].guessed {
		t.Errorf("%d pictures came, %v; their times are guessed", len(pictures), err)
	}
}

func TestAnArchiveThatAsksForALogin(t *testing.T) {
	f := newFilmed(t, options{camera: fakecam.CameraConfig{User: "holdfast", Password: "right"}, user: "holdfast", pass: "right"}, nil)
	if err := f.cam.ExpireNonce(); err != nil {
		t.Fatal(err)
	}
	pictures, _, err := f.fetch(t.Context(), 0, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f.covers(pictures, 0, 20*time.Second)
	if n := f.cam.Tally().BadLogins; n != 0 {
		t.Errorf("%d wrong logins", n)
	}
}

// TestWhatArchivesAnswer: each way in which an archive fails has a sentence of its own, and says whether to ask again.
func TestWhatArchivesAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		knobs fakecam.Knobs
		words string
		means error // nil: ask again, some time
		some  bool  // footage came before
	}{
		"live":             {fakecam.Knobs{ArchiveLive: true}, "plays live pictures", nil, false},
		"other times":      {fakecam.Knobs{ArchiveShiftMs: -7_200_000}, "was asked for", nil, false},
		"tomorrow":         {fakecam.Knobs{ArchiveShiftMs: 86_400_000}, "was asked for", nil, false},
		"hangs up":         {fakecam.Knobs{ArchiveEndMs: 20_000}, "seconds before the end", nil, true},
		"no session":       {fakecam.Knobs{ArchiveRefuse: 453, ArchiveRefuseAt: "SETUP"}, "takes no more viewers (453)", ErrBusy, false},
		"forgets":          {fakecam.Knobs{ArchiveRefuse: 454, ArchiveRefuseAt: "PLAY"}, "has forgotten the session (454)", nil, false},
		"not that range":   {fakecam.Knobs{ArchiveRefuse: 457, ArchiveRefuseAt: "PLAY"}, "keeps no video of that time (457)", ErrNoFootage, false},
		"cannot":           {fakecam.Knobs{ArchiveRefuse: 501, ArchiveRefuseAt: "PLAY"}, "can't replay by time at this address (501)", nil, false},
		"not found":        {fakecam.Knobs{ArchiveRefuse: 404, ArchiveRefuseAt: "DESCRIBE"}, "has no archive at", nil, false},
		"no power":         {fakecam.Knobs{Offline: true}, "closed the connection", nil, false},
		"says nothing":     {fakecam.Knobs{Silent: true}, "does not answer", nil, false},
		"slower than life": {fakecam.Knobs{ArchivePace: 0.001}, "fell silent", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFilmed(t, options{}, nil)
			eventually.True(t, "a key frame of now on the card", func() bool { return f.cam.Main().Sent() > 60 })
			f.stop()
			f.turn(c.knobs)
			pictures, _, err := f.fetch(t.Context(), 30*time.Second, 90*time.Second)
			if err == nil || !strings.Contains(err.Error(), c.words) || !strings.HasSuffix(err.Error(), ".") {
				t.Fatalf("it is said as %q", err)
			}
			if errors.Is(err, ErrBusy) != errors.Is(c.means, ErrBusy) || errors.Is(err, ErrNoFootage) != errors.Is(c.means, ErrNoFootage) {
				t.Errorf("%q means %v, want %v", err, err, c.means)
			}
			if len(pictures) > 0 != c.some {
				t.Errorf("%d pictures came", len(pictures))
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is no sentence", err)
			}
		})
	}
}

func TestAnArchiveThatHasNothing(t *testing.T) {
	f := newFilmed(t, options{}, nil)
	for _, from := range []time.Duration{-time.Minute, 4*time.Minute + 30*time.Second} {
		pictures, _, err := f.fetch(t.Context(), from, from+20*time.Second)
		if !errors.Is(err, ErrNoFootage) || !strings.Contains(err.Error(), "has no video of that time") {
			t.Errorf("%d pictures of %v came, %v", len(pictures), from, err)
		}
	}
}

// TestAnArchiveWithHoles: what is missing is missing, and all else comes at its time.
func TestAnArchiveWithHoles(t *testing.T) {
	f := newFilmed(t, options{}, nil)
	f.turn(fakecam.Knobs{ArchiveHoleMs: 5000})
	pictures, _, err := f.fetch(t.Context(), 30*time.Second, 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	holes := 0
	for i, p := range pictures {
		if i > 0 && p.frame != pictures[i-1].frame+1 {
			holes++
			if !p.key {
				t.Errorf("picture %d behind a hole is no key frame", p.frame)
			}
		}
		if off := p.wallUs - p.sentUs; abs(off) > clockSlack {
			t.Fatalf("picture %d lies %d ms beside its time", p.frame, off/1000)
		}
	}
	if holes != 3 {
		t.Errorf("%d holes, want 3", holes)
	}
}

// TestAnEncryptedArchive: what the certificate must be is as for the camera's pictures of now.
func TestAnEncryptedArchive(t *testing.T) {
	t.Parallel()
	ca, pool := authority(t)
	own, other := selfSigned(t), selfSigned(t)
	for name, c := range map[string]struct {
		cert  *tls.Certificate
		pin   string
		words string // of the refusal
	}{
		"by an authority": {issue(t, ca, time.Hour, "127.0.0.1"), "", ""},
		"by a pin":        {own, fakecam.Fingerprint(own), ""},
		"of nobody known": {own, "", "does not trust"},
		"of another pin":  {own, fakecam.Fingerprint(other), "another certificate"},
		"of another name": {issue(t, ca, time.Hour, "till-2.example"), "", "another name"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFilmed(t, options{
				camera: fakecam.CameraConfig{TLS: c.cert, User: "viewer", Password: "s3cret-word"}, user: "viewer", pass: "s3cret-word", pin: c.pin,
				adjust: func(cfg *Config) { cfg.CAs = pool },
			}, nil)
			if u := f.cam.Main().ArchiveURL(); !strings.HasPrefix(u, "rtsps://") {
				t.Fatalf("the archive is at %s", u)
			}
			described := f.cam.Tally().Describes
			if c.words != "" {
				f.stop() // who asks is the archive alone
				described = f.cam.Tally().Describes
			}
			pictures, _, err := f.fetch(t.Context(), 30*time.Second, 60*time.Second)
			if c.words == "" {
				if err != nil {
					t.Fatal(err)
				}
				f.covers(pictures, 30*time.Second, 60*time.Second)
				eventually.True(t, "the session to be torn down", func() bool { return f.cam.Tally().Teardowns > 0 })
			} else if err == nil || !strings.Contains(err.Error(), c.words) || len(pictures) > 0 || f.cam.Tally().Describes > described {
				t.Errorf("%d pictures came, it is said as %v", len(pictures), err)
			}
			if text := fmt.Sprint(err, f.archive.cfg.Source) + f.log.String(); strings.Contains(text, "s3cret-word") {
				t.Error("the password is told")
			}
		})
	}
}

// TestAnArchiveElsewhereIsNotDialled: an archive lies in the networks that cameras may lie in, or it is not asked, whatever
// its name becomes.
func TestAnArchiveElsewhereIsNotDialled(t *testing.T) {
	for _, scheme := range []string{"rtsp", "rtsps"} {
		t.Run(scheme, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.2:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := ln.Close(); err != nil {
					t.Error(err)
				}
			}()
			source, err := NewSource(scheme+"://"+ln.Addr().String()+"/film", "viewer", "s3cret-word", "tcp")
			if err != nil {
				t.Fatal(err)
			}
			f := newFilmed(t, options{adjust: func(c *Config) {
				c.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			}}, func(c *ArchiveConfig) { c.Source = source })
			_, _, err = f.fetch(t.Context(), 0, 10*time.Second)
			if err == nil || !strings.Contains(err.Error(), "camera_networks") || strings.Contains(err.Error(), "s3cret-word") {
				t.Errorf("it is said as %v", err)
			}
			if err := ln.(*net.TCPListener).SetDeadline(time.Now()); err != nil {
				t.Fatal(err)
			}
			if c, err := ln.Accept(); err == nil {
				t.Errorf("%v was dialled", c.LocalAddr())
			}
		})
	}
}

// TestAFetchGivesWay: it ends at once when a recording needs its session, says so, and leaves what came.
func TestAFetchGivesWay(t *testing.T) {
	f := newFilmed(t, options{adjust: func(c *Config) { c.Sessions = map[string]int{"127.0.0.1": 1} }}, nil)
	f.room.Apply([]wire.CameraDesire{{Camera: f.id, Disable: true}})
	eventually.True(t, "the camera to be off", func() bool { return f.cam.Sessions() == 0 })
	f.turn(fakecam.Knobs{ArchivePace: 1, ArchivePlain: true}) // an hour would not be enough
	came, gone := make(chan struct{}), make(chan error)
	var once sync.Once
	go func() {
		gone <- f.archive.Fetch(t.Context(), f.from.UnixMicro(), f.from.Add(3*time.Minute).UnixMicro(), func(media.Frame, int64, bool) error {
			once.Do(func() { close(came) })
			return nil
		})
	}()
	<-came
	f.room.Apply(nil)
	if err := <-gone; !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "goes first") {
		t.Errorf("it is said as %v", err)
	}
	f.watch(id.Main).frames(10)
	eventually.True(t, "the replay to be torn down", func() bool { return f.cam.Tally().Lost == 0 && f.cam.Tally().Teardowns > 0 })
}

// TestAFetchGivesWayToAViewer: somebody who looks at a small stream gets the session that a fetch has.
func TestAFetchGivesWayToAViewer(t *testing.T) {
	f := newFilmed(t, options{
		camera: fakecam.CameraConfig{Main: "carpark/sub", Sub: "shop/sub"},
		adjust: func(c *Config) { c.Sessions = map[string]int{"127.0.0.1": 2} },
	}, nil)
	f.turn(fakecam.Knobs{ArchivePace: 1, ArchivePlain: true})
	f.watch(id.Main).frames(3)
	came, gone := make(chan struct{}), make(chan error)
	var once sync.Once
	go func() {
		gone <- f.archive.Fetch(t.Context(), f.from.UnixMicro(), f.from.Add(3*time.Minute).UnixMicro(), func(media.Frame, int64, bool) error {
			once.Do(func() { close(came) })
			return nil
		})
	}()
	<-came
	f.watch(id.Sub).frames(5)
	if err := <-gone; !errors.Is(err, ErrBusy) {
		t.Errorf("it is said as %v", err)
	}
}

// TestAFetchDoesNotTakeARecordingsSession: it waits for a while, and says so.
func TestAFetchDoesNotTakeARecordingsSession(t *testing.T) {
	f := newFilmed(t, options{adjust: func(c *Config) { c.Sessions = map[string]int{"127.0.0.1": 1} }}, nil)
	f.watch("main").frames(3)
	if _, _, err := f.fetch(t.Context(), 0, 10*time.Second); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "all are in use") {
		t.Errorf("while the only session records it is said as %v", err)
	}
}

func TestAFetchIsPaced(t *testing.T) {
	f := newFilmed(t, options{}, func(c *ArchiveConfig) { c.Rate = 100_000 })
	began, bytes := time.Now(), 0
	err := f.archive.Fetch(t.Context(), f.from.UnixMicro(), f.from.Add(4*time.Minute).UnixMicro(), func(x media.Frame, _ int64, _ bool) error {
		if bytes += x.Bytes; bytes > 400_000 {
			return errUnwanted
		}
		return nil
	})
	if rate := float64(bytes) / time.Since(began).Seconds(); !errors.Is(err, errUnwanted) || rate > 130_000 || rate < 50_000 {
		t.Errorf("%d bytes came at %.0f bytes a second, %v", bytes, rate, err)
	}
}

func TestTimesInTheAddress(t *testing.T) {
	at := time.Date(2026, 3, 7, 18, 5, 9, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"starttime={start}", "starttime=20260307T180509Z"},
		{"s={start:YYYY_MM_DD_hh_mm_ss}&x=1", "s=2026_03_07_18_05_09&x=1"},
		{"s={start:YYYY-MM-DD hh:mm:ss}", "s=2026-03-07%2018%3A05%3A09"},
		{"s={start:YYYY", "s={start:YYYY"},
	} {
		if got := putTime(c.text, "start", at); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.text, got, c.want)
		}
	}
	if got := putTime("{start}", "start", at.In(berlin)); got != "20260307T190509" {
		t.Errorf("local time becomes %s", got)
	}
	for address, words := range map[string]string{
		"rtsp://a/b?x={start}":           "write both",
		"rtsp://a/b?x={begin}":           "neither",
		"rtsp://a/b?x={start}&y={end}":   "",
		"rtsp://a/{start:YYYY}/{end:MM}": "",
		"rtsp://a/b":                     "",
	} {
		s, err := NewSource(address, "", "", "tcp")
		if err != nil {
			t.Fatal(err)
		}
		err = CheckArchive(s)
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
