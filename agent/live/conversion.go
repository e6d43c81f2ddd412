package live

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/live/convert"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// Convert says whether, and how, pictures are converted for browsers that can't show what the camera makes of them. It takes
// about a processor for each viewer, so it is off where nobody has allowed it.
type Convert struct {
	On      bool
	Program string // ffmpeg; empty: the one in the system's path
	Viewers int    // at once; 0 means 1
	Height  int    // larger pictures are made that high, in pixels; 0 means 720
}

// convertKbit bounds what converted pictures take of a line, kilobits a second.
const convertKbit = 4000

func (c Convert) withDefaults() Convert {
	if c.Program == "" {
		c.Program = "ffmpeg"
	}
	if c.Viewers == 0 {
		c.Viewers = 1
	}
	if c.Height == 0 {
		c.Height = 720
	}
	return c
}

// findProgram says on the board whether pictures can be converted, where that is wished.
func (r *Room) findProgram() {
	if !r.cfg.Convert.On || r.board == nil {
		return
	}
	c := health.Condition{Name: "convert", State: wire.OK}
	if _, err := exec.LookPath(r.cfg.Convert.Program); err != nil {
		c.State = wire.Failing
		c.Text = fmt.Sprintf("Video can't be converted for browsers that don't show H.265: %v. Install ffmpeg 5.1 or later, or set live.convert.program in holdfast.yaml.", err)
	}
	r.board.Set(c)
}

// converts says whether a stream that the browser can't show may be converted for it.
func (r *Room) converts(p *mp4.Track, codecs []string) bool {
	return r.cfg.Convert.On && p.Codec == mp4.H265 && takes(codecs, mp4.H264)
}

// admits says why a choice can't be shown on a slot because of what it takes of the machine; nil when it can. What is shown
// there now ends for it. mu is held.
func (r *Room) admits(c choice, on *slot) error {
	if !c.convert {
		return nil
	}
	others, before := 0, on.session.Load()
	for _, s := range r.sessions {
		if s.into != nil && s != before {
			others++
		}
	}
	if others < r.cfg.Convert.Viewers {
		return nil
	}
	return wire.Fail(wire.FailedBusy, "The %s stream must be converted for this browser, and the site does so for %d viewers already, which is its limit. "+
		"Close a view and try again, or use a browser that shows H.265.", c.stream.Kind, others)
}

// conversion is how a session's pictures become others. A nil conversion has nothing to close.
type conversion struct {
	s    *session
	ctx  context.Context // the session's: what waits for the program does so no longer than that
	from mp4.Codec

	// Only the session's goroutine touches these.
	track  *mp4.Track // of what the program is fed with
	fed    *convert.Process
	end    context.CancelFunc
	ended  chan struct{} // closed when the program has
	lastMs int64         // time of the picture that was given last
}

// atMs is the time on the session's timeline of the next picture when it is due at outUs.
func (c *conversion) atMs(outUs int64) int64 { return max(outUs/1000, c.lastMs+1) }

// stampAt is the RTP timestamp of the next picture when it is sent at outUs.
func (c *conversion) stampAt(outUs int64) uint32 { return stampOfMs(c.atMs(outUs)) }

func stampOfMs(ms int64) uint32 { return uint32(ms * 90) } // RTP time wraps

// take gives a picture to the program. When that fails the session ends, and its viewer is told.
func (c *conversion) take(f shot, outUs int64) {
	if c.fed == nil || !c.track.Equal(f.track) {
		if !f.key {
			return
		}
		c.close()
		if err := c.begin(f.track); err != nil {
			c.fail(err)
			return
		}
	}
	c.lastMs = c.atMs(outUs)
	c.s.pics.stamp = stampOfMs(c.lastMs)
	if err := c.fed.Write(c.lastMs, f.key, f.units); err != nil {
		c.s.log.Debug("convert a picture", "error", err) // why the program has ended is told where it runs
	}
}

// begin starts the program for what comes with these parameters.
func (c *conversion) begin(track *mp4.Track) error {
	cfg := c.s.room.cfg.Convert
	p, err := convert.New(convert.Config{Program: cfg.Program, Height: cfg.Height, Kbit: convertKbit}, track)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(c.ctx)
	ended := make(chan struct{})
	c.fed, c.track, c.end, c.ended = p, track, end, ended
	go func() {
		defer close(ended)
		if err := p.Run(ctx, c.send); err != nil {
			c.fail(err)
		}
	}()
	return nil
}

// send sends what has come out of the program.
func (c *conversion) send(p convert.Picture) {
	f := shot{track: p.Track, key: p.Key, units: p.Units}
	c.s.post(f.bytes(), func() error { return c.s.pics.write(f, stampOfMs(p.AtMs)) })
}

// fail ends the session for a reason that its viewer reads.
func (c *conversion) fail(err error) {
	c.s.log.Error("video can't be converted for a viewer", "error", err)
	ctx, cancel := context.WithTimeout(c.s.toll.ctx, time.Second)
	defer cancel()
	text := "The site's agent can't convert this video for your browser: " + err.Error() + ". Choose the sub-stream, or open the camera in a browser that shows H.265."
	c.s.Control.Part(ctx, rtc.Note{Type: "end", Text: text})
	c.s.end()
}

// close ends the program, and waits until it has.
func (c *conversion) close() {
	if c == nil || c.fed == nil {
		return
	}
	c.end()
	<-c.ended
	c.fed = nil
}
