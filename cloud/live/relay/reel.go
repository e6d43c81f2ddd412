package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// reel shows one camera to a viewer over a WebSocket, as MP4 that is made while it is shown: for whoever has no WebRTC, and
// for what WebRTC has no room for. To the viewer go words as text (rtc.Note, and Opening before what a player must begin anew
// with) and MP4 as binary messages; from it come words (rtc.Op), "got" for each binary message that it has taken, and "anew" when it wants to begin at the newest
// key frame again.
type reel struct {
	showing
	conn  *websocket.Conn
	log   *slog.Logger
	notes chan rtc.Note
	ops   chan rtc.Op
	got   chan int // binary messages taken so far
	// refuse turns the reason why nothing can be shown into the word that the viewer is told.
	refuse func(error) any
	place  atomic.Uint32 // what makes a film's time of the site's RTP time

	// Only run's goroutine touches these.
	sent   []time.Time // binary messages that the viewer has not taken yet
	taken  int         // that it has
	held   bool        // it is too far behind: it is left alone until it has all
	broken error       // the connection is of no more use
	film   film
}

// Opening says what the binary messages from the next one on are. It is sent before the first one and whenever that changes.
type Opening struct {
	Type   string        `json:"type"` // "begin"
	MIME   string        `json:"mime"` // with codecs, RFC 6381
	Stream id.StreamKind `json:"stream"`
	Codec  string        `json:"codec"` // of the pictures, RFC 6381
	Sound  bool          `json:"sound"`
	Note   string        `json:"note,omitempty"` // why it is not what was asked for, as long as it is shown in this way
}

const (
	writeFor   = 10 * time.Second // a message that takes longer to be sent ends the connection, and so does
	takenFor   = 20 * time.Second // a viewer that says for so long that it has not got one
	behindMost = 2 * time.Second  // a viewer that has not taken what was sent before is left alone until it has
	behindWell = 500 * time.Millisecond
	wordMost   = 1024 // bytes of a viewer's word
	wordsMost  = 400  // of those in a second
	lookEvery  = time.Second
)

// Socket shows a camera to a viewer, who plays Opus in MP4 if "opus" is among view.Codecs, over a WebSocket until the viewer leaves, the session is closed, or ctx ends, and closes
// conn. Why a camera can't be shown the viewer is told in the word that refuse makes of it. An error says that there is no
// room for the viewer; then conn is as it was.
func (r *Relay) Socket(ctx context.Context, agent id.Agent, view wire.LiveView, conn *websocket.Conn, refuse func(error) any) error {
	view.Film = true
	l := &reel{
		showing: newShowing(r, agent, view), conn: conn, log: r.log.With("socket", view.Session),
		notes: make(chan rtc.Note, 64), ops: make(chan rtc.Op, 16), got: make(chan int, 1), refuse: refuse,
		film: film{opus: slices.Contains(view.Codecs, "opus")},
	}
	done := make(chan struct{})
	if err := r.enrol(l, done); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	<-done
	return nil
}

// enrol starts a reel.
func (r *Relay) enrol(l *reel, done chan<- struct{}) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.spawn == nil:
		return errClosed()
	case l.id == "" || r.reels[l.id] != nil:
		return wire.Fail(wire.FailedRefused, "A view needs a session of its own.")
	case len(r.reels) >= r.cfg.Reels:
		return wire.Fail(wire.FailedBusy, "%d cameras are watched by WebSocket already, which is the relay's limit. Close some views and try again.", len(r.reels))
	}
	r.reels[l.id] = l
	r.spawn(func(ctx context.Context) {
		l.run(ctx)
		r.mu.Lock()
		delete(r.reels, l.id)
		r.mu.Unlock()
		r.deps.Ended(l.id)
		close(done)
	})
	return nil
}

// run blocks for the life of the reel.
func (l *reel) run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(l.listen)
	l.show(ctx)
	l.end()
	if l.broken == nil {
		l.broken = l.conn.Close(websocket.StatusNormalClosure, "")
	}
	_ = l.conn.CloseNow() // listen returns
	listening.Wait()
}

// show shows the camera until the viewer leaves, or is to.
func (l *reel) show(ctx context.Context) {
	ctx, cancel := within(ctx, l.over, nil)
	defer cancel()
	p, err := l.relay.take(ctx, l.agent, l.view)
	if err != nil {
		if ctx.Err() == nil {
			l.say(ctx, l.refuse(err))
		}
		return
	}
	l.main, l.pull = p, p
	defer l.leave()
	for ctx.Err() == nil && l.broken == nil {
		l.follow(ctx)
		if ctx.Err() == nil && l.broken == nil {
			l.change(ctx)
		}
	}
	if last := l.parting(); last != "" {
		l.say(context.WithoutCancel(ctx), rtc.Note{Type: "end", Text: last})
	}
}

// listen takes the viewer's words until it leaves.
func (l *reel) listen() {
	defer l.end()
	l.conn.SetReadLimit(wordMost)
	count, since := 0, time.Now()
	for {
		kind, text, err := l.conn.Read(context.Background())
		if err != nil {
			return
		}
		if now := time.Now(); now.Sub(since) > time.Second {
			count, since = 0, now
		}
		if count++; count > wordsMost || kind != websocket.MessageText {
			l.log.Info("a viewer by WebSocket floods or sends what is no word: its view ends")
			return
		}
		var o rtc.Op
		if json.Unmarshal(text, &o) != nil {
			continue
		}
		if o.Type == "got" {
			select { // the newest number counts
			case <-l.got:
			default:
			}
			l.got <- o.Count
			continue
		}
		select {
		case l.ops <- o:
		case <-l.over:
			return
		default: // of a viewer that says more than can be done, less is done
		}
	}
}

// tell passes a word on to the viewer, soon. To one that does not listen less is said.
func (l *reel) tell(n rtc.Note) {
	if l.view.FromUs > 0 && n.RTP != 0 { // pictures of a recording are named by the site's time: the viewer knows the film's
		n.RTP = n.RTP + l.place.Load()
	}
	select {
	case l.notes <- n:
	default:
	}
}

func (l *reel) position(n rtc.Note, bornUs int64, now time.Time) {
	if n, ok := l.placed(n, bornUs, now); ok {
		l.tell(n)
	}
}

// say sends a word.
func (l *reel) say(ctx context.Context, word any) {
	text, err := json.Marshal(word)
	if err == nil {
		l.write(ctx, websocket.MessageText, text)
	}
}

func (l *reel) write(ctx context.Context, kind websocket.MessageType, data []byte) {
	if l.broken != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeFor)
	defer cancel()
	l.broken = l.conn.Write(ctx, kind, data)
}

// heard does what the viewer says.
func (l *reel) heard(ctx context.Context, o rtc.Op) {
	switch o.Type {
	case "ping":
		l.say(ctx, rtc.Note{Type: "pong", AtUs: o.AtUs, SentUs: time.Now().UnixMicro()})
	case "seek", "scrub", "step", "play", "pause", "rate":
		if l.view.FromUs > 0 {
			l.main.ask(o)
		}
	default:
	}
}

// takes notes how many messages the viewer has taken.
func (l *reel) takes(count int) {
	if n := count - l.taken; n > 0 && n <= len(l.sent) {
		l.sent, l.taken = l.sent[n:], count
	}
}

// behind is for how long the viewer has not taken what was sent to it.
func (l *reel) behind() time.Duration {
	if len(l.sent) == 0 {
		return 0
	}
	return time.Since(l.sent[0])
}

// judge takes over how the viewer's line is, and says whether to leave the viewer alone.
func (l *reel) judge() {
	behind := l.behind()
	switch {
	case behind > takenFor:
		l.end()
	case behind > behindMost:
		l.held = true
	case len(l.sent) == 0:
		l.held = false
	}
	health := rtc.Unsure
	switch {
	case l.held:
		health = rtc.Late
	case behind < behindWell:
		health = rtc.Well
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view.FromUs == 0 && l.line.judge(health, time.Now(), l.can) {
		l.turn()
	}
}
