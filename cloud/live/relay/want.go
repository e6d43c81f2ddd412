package relay

import (
	"slices"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// source is a stream of a camera as the site sends it, of which there is one pull.
type source struct {
	agent     id.Agent
	camera    id.Camera
	stream    id.StreamKind
	codec     mp4.Codec  // a site may convert the same stream for some
	reordered bool       // pictures come in another order than they are shown in: for films alone
	alone     id.Session // of the one viewer of a recording
}

// want is what a viewer asks for. Which stream that comes to, the agent says.
type want struct {
	agent  id.Agent
	camera id.Camera
	stream id.StreamKind // empty: by the width
	narrow bool
	h265   bool
	film   bool       // MP4 is made of it
	alone  id.Session // whose recording it is; nobody shares it. Empty: live
	fromUs int64      // the moment from which that is played
}

// narrowWidth is the widest tile, in device pixels, that counts as narrow: such share a stream.
const narrowWidth = 800

func wantOf(agent id.Agent, view wire.LiveView) want {
	w := want{agent: agent, camera: view.Camera, stream: view.Stream, h265: slices.Contains(view.Codecs, "h265"), film: view.Film}
	if view.FromUs > 0 {
		w.alone, w.fromUs = view.Session, view.FromUs
	}
	w.narrow = view.Stream == "" && view.Width > 0 && view.Width <= narrowWidth
	return w
}

// order is what the agent is asked for.
func (w want) order() wire.LiveView {
	view := wire.LiveView{Session: id.New[id.Session](), Camera: w.camera, Stream: w.stream, Codecs: []string{"h264"}, Film: w.film, FromUs: w.fromUs}
	if w.h265 {
		view.Codecs = append(view.Codecs, "h265")
	}
	if w.narrow {
		view.Width = narrowWidth
	}
	return view
}
