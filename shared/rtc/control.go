package rtc

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// Op is a viewer's word over the control channel.
type Op struct {
	Type string  `json:"type"`  // "seek", "play", "pause", "live", "rate", "ping"
	AtUs int64   `json:"at_us"` // of "seek": wall time, microseconds since 1970; of "ping": anything, said again in the "pong"
	Rate float64 `json:"rate"`  // of "rate": 0.25 to 16; without sound where it is not 1, and key frames alone above 4
}

// Note is the agent's word over the control channel. A "note" says why the viewer gets less than it asked for; empty
// when that is over. A "relay" asks the viewer to take the camera from the cloud's relay from now on, and to end this view
// once it has the picture from there.
//
// With SentUs, RTP and AgeUs a viewer knows how old a picture is when it is shown: "pong" gives it the offset of the two
// clocks, and a live "position" names a picture and when it came from the camera.
type Note struct {
	Type   string  `json:"type"` // "position", "gap", "state", "note", "relay", "end", "pong"
	AtUs   int64   `json:"at_us,omitempty"`
	SentUs int64   `json:"sent_us,omitempty"` // of "pong" and a live "position": now, by the agent's clock
	RTP    uint32  `json:"rtp,omitempty"`     // of a live "position": timestamp of the picture that was just sent
	AgeUs  int64   `json:"age_us,omitempty"`  // of a live "position": since that picture came from the camera
	FromUs int64   `json:"from_us,omitempty"` // of "gap"
	ToUs   int64   `json:"to_us,omitempty"`   // of "gap"
	Live   bool    `json:"live,omitempty"`    // of "position"
	Rate   float64 `json:"rate,omitempty"`    // of "position"
	Text   string  `json:"text,omitempty"`    // why there is no video; empty in a "state" when there is again
}

// Recorded says whether a moment, microseconds since 1970, is far enough back to be shown from the disk; what is later is
// shown live.
func Recorded(atUs int64) bool {
	const edge = 5 * time.Second // more than a part and a flush round take
	return atUs > 0 && atUs < time.Now().Add(-edge).UnixMicro()
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
}

// Rates of playback: at up to AllFrames times the speed of life every picture is sent.
const (
	Fastest   = 16
	AllFrames = 4
)

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
		early := c.early
		c.channel, c.early = dc, nil
		c.mu.Unlock()
		for _, n := range early {
			c.say(dc, n)
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
	case "rate":
		return o.Rate >= 0.25 && o.Rate <= Fastest
	case "play", "pause", "live":
		return true
	default:
		return false
	}
}

// put hands an op to the session. Of a viewer that floods the newest words count.
func (c *Control) put(o Op) {
	for {
		select {
		case c.Ops <- o:
			return
		default:
		}
		select {
		case <-c.Ops:
		default:
		}
	}
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

// Part says the last word before the session ends and gives it time to arrive.
func (c *Control) Part(ctx context.Context, n Note) {
	c.Tell(n)
	c.mu.Lock()
	dc := c.channel
	c.mu.Unlock()
	if dc == nil {
		return
	}
	arrived := make(chan struct{})
	var once sync.Once
	dc.OnBufferedAmountLow(func() { once.Do(func() { close(arrived) }) })
	if dc.BufferedAmount() == 0 {
		return
	}
	limit := time.NewTimer(500 * time.Millisecond)
	defer limit.Stop()
	select {
	case <-arrived:
	case <-limit.C:
	case <-ctx.Done():
	}
}
