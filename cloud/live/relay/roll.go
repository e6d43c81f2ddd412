package relay

import (
	"context"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// roll is the state of one stay of a reel at a stream.
type roll struct {
	course
	reel   *reel
	units  units
	spoilt bool      // a packet of this picture is missing
	anew   time.Time // when the viewer last asked for a new beginning
}

// follow shows the pull until the step asks for another one.
func (l *reel) follow(ctx context.Context) {
	w := &roll{course: course{showing: &l.showing, tell: l.tell}, reel: l}
	if !l.pull.join(l) {
		l.lost()
		return
	}
	got := l.pull.answer()
	l.film.other(voiceOf(got.Audio, got.Sound))
	defer l.pull.quitting(l)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	w.enter()
	var batch []piece
	for l.broken == nil {
		var lost bool
		if batch, w.at, lost = l.pull.next(w.at, batch[:0]); lost {
			w.tear()
		}
		for i := range batch {
			w.take(&batch[i])
		}
		w.send(ctx)
		select {
		case n := <-l.got:
			l.takes(n)
			w.resume()
			continue
		case n := <-l.notes:
			l.say(ctx, n)
			continue
		default:
		}
		if len(batch) > 0 {
			if l.behind() > behindMost {
				w.look()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-l.more:
		case <-l.turned:
			if w.turns() {
				return
			}
		case n := <-l.got:
			l.takes(n)
			w.resume()
		case n := <-l.notes:
			l.say(ctx, n)
		case o := <-l.ops:
			if l.heard(ctx, o); o.Type == "anew" && time.Since(w.anew) > mendEvery/2 {
				w.anew = time.Now()
				w.enter()
			}
		case <-look.C:
			w.look()
		}
	}
}

// resume goes on with a viewer that was too far behind and has caught up: at the newest key frame.
func (w *roll) resume() {
	if w.reel.held && len(w.reel.sent) == 0 {
		w.reel.held = false
		w.enter()
	}
}

// look judges the line, and begins anew where sound has come or gone.
func (w *roll) look() {
	was := w.reel.held
	w.reel.judge()
	switch {
	case w.reel.held && !was:
		w.tear()
	case !w.reel.held && was:
		w.enter()
	case w.reel.film.out != nil && !w.reel.held && w.wanted() && w.reel.film.sounds() != (w.reel.film.audio != nil):
		w.enter()
	}
}

// wanted says whether the viewer is to have sound.
func (w *roll) wanted() bool { return !w.view.Silent && w.step() < keys }

// tear has the next key frame begin the picture anew.
func (w *roll) tear() {
	w.course.tear()
	w.units.reset()
	w.spoilt = true
}

func (w *roll) enter() {
	w.course.enter()
	w.units.reset()
	w.spoilt = true
}

// take takes a piece, or leaves it out.
func (w *roll) take(p *piece) {
	if !p.codec.IsVideo() {
		w.listen(p)
		return
	}
	if (p.torn || p.fresh) && w.some { // what it begins with has nothing before it
		w.tear()
	}
	if p.fresh {
		w.reel.film.timing.cut()
	}
	if !w.some || p.stamp != w.stamp {
		w.some, w.stamp, w.spoilt = true, p.stamp, false
		w.units.reset()
		if p.key && w.reel.held {
			w.relay.dropped.Add(1)
		}
		w.skips = w.reel.held || w.leaves(p)
		if !w.skips {
			w.wait, w.burst = false, w.burst && time.Since(p.came) >= fresh
		}
	}
	if w.skips {
		return
	}
	w.spoilt = w.spoilt || !w.units.put(p.codec, p.payload)
	if p.end && !w.spoilt {
		w.picture(p)
	}
}

// picture films the picture that ends with a piece.
func (w *roll) picture(p *piece) {
	all, whole := w.units.done()
	w.units.reset()
	w.spoilt = true // nothing more belongs to it
	if !whole {
		w.wait = true
		return
	}
	at, err := w.reel.film.shoot(picture{p.codec, all, p.stamp, p.later, w.burst}, w.wanted())
	switch {
	case err != nil:
		w.reel.log.Debug("film", "error", err)
		w.wait = true
	case at >= 0 && !w.burst:
		w.anchor(true, p.stamp, uint32(at))
		w.reel.place.Store(uint32(at) - p.stamp)
	}
}

// listen films a piece of sound, at the live edge.
func (w *roll) listen(p *piece) {
	if w.reel.held {
		return
	}
	if err := w.reel.film.hear(voice{p.codec, string(p.config)}, p.payload, p.stamp); err != nil {
		w.reel.log.Debug("film", "error", err)
	}
}

// send sends what was filmed.
func (w *roll) send(ctx context.Context) {
	for _, m := range w.reel.film.take() {
		if m.mime != "" {
			w.reel.say(ctx, w.opening(m.mime))
		}
		w.reel.write(ctx, websocket.MessageBinary, m.bytes)
		w.reel.sent = append(w.reel.sent, time.Now())
	}
}

func (w *roll) opening(mime string) Opening {
	got := w.pull.answerTo(w.asked)
	o := Opening{Type: "begin", MIME: mime, Stream: got.Stream, Codec: w.reel.film.video.MIME(), Sound: w.reel.film.audio != nil, Note: got.Note}
	switch {
	case o.Sound || w.view.Silent:
	case got.Audio != "" && !w.reel.film.opus && !strings.HasPrefix(got.Audio, "mp4a"):
		o.Note = joined(o.Note, "No sound: this browser doesn't play the camera's "+spoken(got.Audio)+" audio in this way, over WebRTC alone.")
	}
	return o
}

// spoken is the name of a way to code sound, by its RFC 6381 name.
func spoken(codec string) string {
	switch codec {
	case "ulaw", "alaw":
		return "G.711"
	case "opus":
		return "Opus"
	default:
		return codec
	}
}
