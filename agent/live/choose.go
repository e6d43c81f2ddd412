package live

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
)

// subWidth is the widest tile, in device pixels, that gets the sub-stream when the viewer leaves the choice.
const subWidth = 800

// patience is how long a viewer waits for a stream that is being fetched from the camera.
const patience = 5 * time.Second

// choice is the stream that a session shows, and how.
type choice struct {
	stream id.Stream
	params *media.Params
	codec  string // RFC 6381
	audio  string // likewise; empty without audio
	note   string // for the viewer, when it is not what was asked for
	// recorded says that a recording was asked for, also where that is still what goes by: the viewer may see others.
	recorded bool
	// convert says that the pictures are made into H.264 ones at the site.
	convert bool
	// What the camera has and only a film could show, RFC 6381: sound, and the pictures of the stream that was asked for.
	unheard, unseen string
}

// choose finds the stream that the tile wants and the browser can show. tell is told why that takes time. The error is a
// *wire.Failure.
func (r *Room) choose(ctx context.Context, view wire.LiveView, tell func(text string)) (choice, error) {
	kinds := []id.StreamKind{id.Main, id.Sub}
	left := view.Stream == "" // the choice is the agent's
	if view.Stream == id.Sub || (left && view.Width > 0 && view.Width <= subWidth) {
		slices.Reverse(kinds)
	}
	failed := errUnknownCamera()
	var reasons, told []string
	var last *choice // what is left when nothing can be shown as it is
	unseen := ""
	for _, kind := range kinds {
		stream := id.Stream{Camera: view.Camera, Kind: kind}
		hub := r.footage.Hub(stream)
		if hub == nil {
			continue
		}
		params, why := r.params(ctx, hub, view.FromUs, tell)
		if why == nil {
			if why = unfit(kind, params, view); why != nil && len(reasons) == 0 {
				unseen = params.Video().MIME()
			}
		}
		if why == nil {
			c := chosen(stream, params, told, view)
			c.unseen = unseen
			return c, nil
		}
		if last == nil && why.Code == wire.FailedCodec && !params.BFrames && r.converts(params.Video(), view.Codecs) {
			last = &choice{stream: stream, params: params}
		}
		if len(reasons) == 0 || why.Code == wire.FailedCodec {
			failed.Code = why.Code
		}
		if !slices.Contains(reasons, why.Text) {
			reasons = append(reasons, why.Text)
			// That the small stream is not kept is no news to one who did not ask for it.
			if !left || view.FromUs == 0 || why.Code != wire.FailedNoVideo {
				told = append(told, why.Text)
			}
		}
	}
	if last != nil {
		c := converted(*last, r.cfg.Convert.Height, told, view.Silent)
		c.unseen = unseen
		return c, nil
	}
	if len(reasons) > 0 {
		failed.Text = strings.Join(reasons, " ")
	}
	return choice{}, failed
}

func errUnknownCamera() *wire.Failure {
	return wire.Fail(wire.FailedUnknownCamera, "The site's agent knows no such camera. It may have been removed from its configuration.")
}

// converted is the choice of a stream that is made into another for the viewer.
func converted(c choice, height int, told []string, silent bool) choice {
	v := c.params.Video()
	text := "The site converts the " + string(c.stream.Kind) + " stream to H.264"
	if v.Height > height {
		text += ", " + strconv.Itoa(height) + " lines high"
	}
	out := chosen(c.stream, c.params, nil, wire.LiveView{Silent: silent})
	out.convert, out.codec = true, baseline
	out.note = strings.TrimSpace(strings.Join(append(told, text+".", out.note), " "))
	return out
}

// baseline is what converted pictures are (RFC 6381).
const baseline = "avc1.42c01f"

func chosen(stream id.Stream, p *media.Params, told []string, view wire.LiveView) choice {
	v := p.Video()
	c := choice{stream: stream, params: p, codec: v.MIME()}
	if len(told) > 0 {
		told = append(told, "Showing the "+string(stream.Kind)+" stream ("+codecName(v.Codec)+").")
	}
	if a := p.Audio(); a != nil {
		if _, ok := rtc.Capability(a); ok && (view.Film || a.Codec != mp4.AAC) {
			c.audio = a.MIME()
		} else {
			if !view.Silent {
				told = append(told, "No sound: the camera's "+a.Codec.String()+" audio can't travel over WebRTC.")
			}
			if a.Codec == mp4.AAC {
				c.unheard = a.MIME()
			}
		}
	}
	c.note = strings.Join(told, " ")
	return c
}

// askKey asks the camera for a key frame where groups of pictures are long, or nobody has measured them yet: more of them in
// short groups would only make the line narrower.
func (r *Room) askKey(stream id.Stream) {
	ask := r.footage.KeyFrame
	if c, known := r.costs.of(stream); ask != nil && (!known || c.every > keysEvery.Seconds()) {
		ask(stream)
	}
}

// A camera that is asked for a stream has it after about setUp; it is asked for a key frame then, and once more every askAgain.
const (
	setUp    = 400 * time.Millisecond
	askAgain = time.Second
)

// fetching is what a viewer is told who waits for a stream.
func fetching(kind id.StreamKind) string {
	if kind == id.Sub {
		return "The site fetches the small stream from the camera."
	}
	return "The site fetches the stream from the camera."
}

// params returns the parameters of a stream, live or at a moment, or why there are none. A stream that nobody
// pulls is given time to start, of which tell is told.
func (r *Room) params(ctx context.Context, hub *media.Hub, fromUs int64, tell func(text string)) (*media.Params, *wire.Failure) {
	if fromUs > 0 {
		return r.recordedParams(ctx, hub.Stream(), fromUs)
	}
	p, brk := hub.State()
	if brk == nil && p.Video() != nil {
		return p, nil
	}
	reader := hub.Reader(media.Limit{Frames: 64, Bytes: 4 << 20})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	late := time.NewTimer(setUp)
	defer late.Stop()
	if brk != nil && brk.Reason == wire.Connecting {
		tell(fetching(hub.Stream().Kind))
		defer tell("")
	}
	for {
		it, ok := reader.Try()
		if !ok {
			select {
			case <-reader.Ready():
			case <-late.C:
				r.askKey(hub.Stream())
				late.Reset(askAgain)
			case <-ctx.Done():
				return nil, wire.Fail(wire.FailedNoVideo, "The camera has sent no video yet. Try again in a moment.")
			}
			continue
		}
		switch {
		case it.Break == nil && it.Frame.Params.Video() != nil:
			return it.Frame.Params, nil
		case it.Break != nil && it.Break.Reason != wire.Connecting:
			return nil, &wire.Failure{Code: wire.FailedNoVideo, Text: breakInWords(it.Break)}
		}
	}
}

// breakInWords says a Break as a sentence.
func breakInWords(b *media.Break) string {
	if b.Text != "" {
		return strings.ToUpper(b.Text[:1]) + strings.TrimRight(b.Text[1:], ".") + "."
	}
	return "The camera sends no video now (" + strings.ReplaceAll(string(b.Reason), "_", " ") + ")."
}

func (r *Room) recordedParams(ctx context.Context, stream id.Stream, fromUs int64) (*media.Params, *wire.Failure) {
	p := newPlayer(r.footage, stream, r.log)
	defer p.close()
	err := p.seek(ctx, fromUs)
	if err == nil && p.params.Video() == nil {
		err = wire.Fail(wire.FailedNoVideo, "What is recorded from this moment on has no pictures.")
	}
	if err != nil {
		return nil, r.inWords(err)
	}
	return p.params, nil
}

// inWords turns an error of reading recorded video into words for a viewer.
func (r *Room) inWords(err error) *wire.Failure {
	if f := (*wire.Failure)(nil); errors.As(err, &f) {
		return f
	}
	r.log.Warn("read recording", "error", err)
	return &wire.Failure{Code: wire.FailedOtherwise, Text: unreadable}
}

// unfit says why a browser with these codecs can't show a stream; nil when it can.
func unfit(kind id.StreamKind, p *media.Params, view wire.LiveView) *wire.Failure {
	c := p.Video().Codec
	switch {
	case !takes(view.Codecs, c):
		return wire.Fail(wire.FailedCodec, "The %s stream is %s, which this browser can't show.", kind, codecName(c))
	case p.BFrames && !view.Film:
		return wire.Fail(wire.FailedCodec, "The %s stream has B-frames, which no browser shows here: switch them off in the camera to see it.", kind)
	}
	return nil
}

// takes says whether a browser that says it shows these codecs shows c; one that says nothing shows all.
func takes(codecs []string, c mp4.Codec) bool {
	return len(codecs) == 0 || slices.Contains(codecs, strings.ToLower(c.String()))
}

func codecName(c mp4.Codec) string {
	switch c {
	case mp4.H264:
		return "H.264"
	case mp4.H265:
		return "H.265"
	default:
		return c.String()
	}
}
