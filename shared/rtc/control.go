package rtc

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// Op is a viewer's word over the control channel. In recorded video "scrub" shows the key frame at or before a moment and
// "step" a picture so many further on, and both pause. Each is answered by a "picture", and so is "pause". An agent from
// before them ignores both: it says no Steps in its positions.
type Op struct {
	Type  string  `json:"type"`            // "seek", "scrub", "step", "play", "pause", "live", "rate", "ping"
	AtUs  int64   `json:"at_us"`           // of "seek" and "scrub": wall time, microseconds since 1970; of "rate": the moment that the viewer sees, where it is to turn there; of "ping": anything, said again in the "pong"
	Rate  float64 `json:"rate"`            // of "rate": 0.25 to 16, or -16 to -1 for backwards, and Slack beyond; without sound where it is not 1, key frames alone above 4 and below 0
	Count int     `json:"count,omitempty"` // of "step": so many pictures on, or back where it is below 0, MaxStep at most
	Anew  bool    `json:"-"`               // of "seek": not the viewer's wish, what it sees begins anew where it is
}

// Elsewhere says whether a word is a wish to see another moment: a newer one takes its place.
func (o Op) Elsewhere() bool { return o.Type == "seek" || o.Type == "scrub" || o.Type == "live" }

// Note is the agent's word over the control channel. A "note" says why the viewer gets less than it asked for; empty
// when that is over. With Every it says that pictures are left out, and that a viewer may wait so long for the next one
// while nothing is wrong. A "relay" asks the viewer to take the camera from the cloud's relay from now on, and to end this view
// once it has the picture from there. A "picture" is what a "step", a "scrub" or a "pause" led to: AtUs and RTP name the
// picture that was sent last, Text says that there is none beyond it; without RTP there is none of that moment, and Text says
// why. A "stop" says that backward playback has come to the beginning, and pauses there.
//
// With SentUs, RTP and AgeUs a viewer knows how old a picture is when it is shown: "pong" gives it the offset of the two
// clocks, and a live "position" names a picture and when it came from the camera. A recorded "position" names a picture, too:
// with its RTP, AtUs and Rate a viewer knows the moment of every picture that follows, whenever it arrives.
type Note struct {
	Type   string  `json:"type"` // "position", "gap", "state", "note", "relay", "end", "pong", "picture", "stop"
	AtUs   int64   `json:"at_us,omitempty"`
	SentUs int64   `json:"sent_us,omitempty"`  // of "pong" and a live "position": now, by the agent's clock
	RTP    uint32  `json:"rtp,omitempty"`      // timestamp of a picture: of a live "position" and a "picture" the one sent last, of a recorded "position" the one at AtUs
	AgeUs  int64   `json:"age_us,omitempty"`   // of a live "position": since that picture came from the camera
	OwnUs  int64   `json:"own_us,omitempty"`   // likewise: how long pictures take inside the camera, by its sender reports; 0: it does not tell
	FromUs int64   `json:"from_us,omitempty"`  // of "gap"
	ToUs   int64   `json:"to_us,omitempty"`    // of "gap"
	Live   bool    `json:"live,omitempty"`     // of "position"
	Rate   float64 `json:"rate,omitempty"`     // of "position"
	Steps  bool    `json:"steps,omitempty"`    // of a recorded "position": "step", "scrub" and rates below 0 are understood
	Step   bool    `json:"step,omitempty"`     // of a "picture": a "step" led to it
	Asked  int64   `json:"asked_us,omitempty"` // of a recorded "position": the moment of the viewer's last "seek", or of its order
	OffUs  *int64  `json:"off_us,omitempty"`   // of a recorded "position": add it to AtUs to correct the site's clock as it was when this was recorded; none: never measured
	Every  int64   `json:"every_us,omitempty"` // of "note": so far apart pictures are at most, by the time of what is shown; none: no picture is left out
	Text   string  `json:"text,omitempty"`     // why there is no video; empty in a "state" when there is again
}

// Recorded says whether a moment, microseconds since 1970, is far enough back to be shown from the disk; what is later is
// shown live.
func Recorded(atUs int64) bool { return atUs > 0 && atUs < newest() }

// newest is the moment up to which there is recorded video.
func newest() int64 {
	const edge = 5 * time.Second // more than a part and a flush round take
	return time.Now().Add(-edge).UnixMicro()
}

// ControlLabel is the label of the first slot's control channel; that of the third is "control-2".
const ControlLabel = "control"

// Control is the data channel of a slot, which the viewer opens.
type Control struct {
	log *slog.Logger
	Ops chan Op // what the viewer says

	mu      sync.Mutex
	channel *webrtc.DataChannel // nil until the viewer has opened it
	early   []Note              // said before
	opened  chan struct{}       // closed then
}

// prepare makes it ready for use.
func (c *Control) prepare(log *slog.Logger) {
	c.log, c.Ops, c.opened = log, make(chan Op, maxDue), make(chan struct{})
}

// Rates of playback: at up to AllFrames times the speed of life every picture is sent. A viewer that keeps several cameras
// in step plays each of them a little faster or slower than all of them together: Slack is by how much the bounds give way.
const (
	Slowest   = 0.25
	Fastest   = 16
	AllFrames = 4
	Slack     = 1.06
)

// MaxStep bounds the pictures of one step.
const MaxStep = 100

// maxDue bounds the words of a viewer that wait.
const maxDue = 16

// maxEarly bounds the notes that wait for the channel to open.
const maxEarly = 16

// open takes a data channel of the viewer into use.
func (c *Control) open(dc *webrtc.DataChannel) {
	dc.OnOpen(func() {
		c.mu.Lock()
		if c.channel != nil && c.channel.ReadyState() == webrtc.DataChannelStateOpen {
			c.mu.Unlock()
			return // one is enough
		}
		early, again := c.early, c.channel != nil
		c.channel, c.early = dc, nil
		c.mu.Unlock()
		for _, n := range early {
			c.say(dc, n)
		}
		if !again {
			close(c.opened)
		}
	})
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		var o Op
		switch {
		case !m.IsString || len(m.Data) > 1024 || json.Unmarshal(m.Data, &o) != nil:
		case o.Type == "ping":
			c.say(dc, Note{Type: "pong", AtUs: o.AtUs, SentUs: time.Now().UnixMicro()})
		case o.tidy():
			c.put(o)
		}
	})
}

// tidy says whether an op is one; a wish for a moment that has just been becomes one for live.
func (o *Op) tidy() bool {
	switch o.Type {
	case "seek":
		if o.AtUs > 0 && !Recorded(o.AtUs) {
			*o = Op{Type: "live"}
		}
		return o.Type == "live" || o.AtUs > 0
	case "scrub":
		o.AtUs = min(o.AtUs, newest())
		return o.AtUs > 0
	case "step":
		return o.Count != 0 && o.Count >= -MaxStep && o.Count <= MaxStep
	case "rate":
		return o.Rate >= Slowest/Slack && o.Rate <= Fastest*Slack || o.Rate >= -Fastest*Slack && o.Rate <= -1/Slack
	case "play", "pause", "live":
		return true
	default:
		return false
	}
}

// put hands an op to the session, which reads Ops.
func (c *Control) put(o Op) {
	c.mu.Lock() // a viewer may have opened more channels than one
	defer c.mu.Unlock()
	var waiting []Op
	for {
		select {
		case w := <-c.Ops:
			waiting = append(waiting, w)
			continue
		default:
		}
		break
	}
	for _, w := range Due(waiting, o) {
		c.Ops <- w // there is room: nobody else writes
	}
}

// Due adds a word to those that wait and returns what is still to be done: a wish to be elsewhere takes the place of the
// one before it and of steps, steps in a row are one, and of a viewer that floods the newest words count.
func Due(waiting []Op, o Op) []Op {
	last := len(waiting) - 1
	switch {
	case o.Elsewhere():
		waiting = slices.DeleteFunc(waiting, func(w Op) bool { return w.Elsewhere() || w.Type == "step" })
	case o.Type == "step" && last >= 0 && waiting[last].Type == "step":
		waiting[last].Count = min(max(waiting[last].Count+o.Count, -MaxStep), MaxStep)
		return waiting
	}
	waiting = append(waiting, o)
	return waiting[max(0, len(waiting)-maxDue):]
}

// Tell says something to the viewer. It never blocks: to a viewer that does not listen less is said.
func (c *Control) Tell(n Note) {
	c.mu.Lock()
	dc := c.channel
	if dc == nil && n.Type != "position" && len(c.early) < maxEarly {
		c.early = append(c.early, n)
	}
	c.mu.Unlock()
	if dc != nil {
		c.say(dc, n)
	}
}

func (c *Control) say(dc *webrtc.DataChannel, n Note) {
	text, err := json.Marshal(n)
	if err == nil && dc.BufferedAmount() < 64<<10 {
		err = dc.SendText(string(text))
	}
	if err != nil {
		c.log.Debug("tell viewer", "error", err)
	}
}

// partFor is how long the last word has to arrive: where the connection is new the channel is still to be opened.
const partFor = time.Second

// Part says the last word before the session ends and gives it time to arrive.
func (c *Control) Part(ctx context.Context, n Note) {
	ctx, cancel := context.WithTimeout(ctx, partFor)
	defer cancel()
	c.Tell(n)
	select {
	case <-c.opened:
	case <-ctx.Done():
		return
	}
	c.mu.Lock()
	dc := c.channel
	c.mu.Unlock()
	arrived := make(chan struct{})
	var once sync.Once
	dc.OnBufferedAmountLow(func() { once.Do(func() { close(arrived) }) })
	if dc.BufferedAmount() == 0 {
		return
	}
	select {
	case <-arrived:
	case <-ctx.Done():
	}
}
