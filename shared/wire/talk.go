package wire

import "holdfast/shared/id"

// TalkOffer is a browser's SDP offer (RFC 8866, RFC 8829) with one place for sound, over which one person speaks through a
// camera's loudspeaker. Only one at a time does; the connection is theirs until one of its ends closes it. LivePaths and
// LiveClose name it by Session.
type TalkOffer struct {
	Session id.Session  `json:"session"`
	Camera  id.Camera   `json:"camera"`
	SDP     string      `json:"sdp"`
	ICE     []ICEServer `json:"ice,omitempty"`
	Trickle bool        `json:"trickle,omitempty"` // as in LiveOffer
	By      string      `json:"by"`                // who speaks, for the others; at most MaxNameRunes
}

// TalkAsk asks whether one can speak at a camera.
type TalkAsk struct {
	Camera id.Camera `json:"camera"`
}

// TalkState says whether one can speak at a camera now.
type TalkState struct {
	Text  string `json:"text,omitempty"`   // why not, for a person, whoever asks; empty: one can
	Codec string `json:"codec,omitempty"`  // what its loudspeaker takes: "pcmu" or "pcma"; empty where one can't
	By    string `json:"by,omitempty"`     // who speaks; empty: nobody does
	ForUs int64  `json:"for_us,omitempty"` // for how long already
}
