package wire

import (
	"errors"
	"fmt"
	"math"

	"holdfast/shared/id"
)

// MaxPresets bounds the kept positions of one camera that are told; MaxPresetBytes what a device calls one of them.
const (
	MaxPresets     = 256
	MaxPresetBytes = 128
)

// PTZAct is what a camera that can be moved is to do. The list is closed.
type PTZAct string

// Acts. A move lasts while it is renewed: the agent stops the camera a second after the last order to move.
const (
	PTZAsk    PTZAct = "ask"    // nothing: only the reply is wanted
	PTZMove   PTZAct = "move"   // turn and zoom with Pan, Tilt and Zoom as speeds
	PTZStop   PTZAct = "stop"   // stand still
	PTZCentre PTZAct = "centre" // turn so that the point Pan, Tilt of the picture comes into its middle
	PTZGoto   PTZAct = "goto"   // go to Preset
	PTZHome   PTZAct = "home"   // go to the home position
	PTZSave   PTZAct = "save"   // keep the present position as a new preset called Name
	PTZRemove PTZAct = "remove" // forget Preset
)

// PTZOrder is one thing that a camera is to do. Since version 2.
type PTZOrder struct {
	Camera id.Camera `json:"camera"`
	Act    PTZAct    `json:"act"`
	// Turn is the turn of the person who moves the camera, given by the cloud: later ones are higher, and an order of a
	// turn that is over is refused. Number rises from order to order of one turn: an older one that comes late is left out.
	// What is 0 is not counted so.
	Turn   int64 `json:"turn,omitempty"`
	Number int64 `json:"number,omitempty"`
	// Pan, Tilt and Zoom are -1 to 1: to the right, up and closer are above 0. As a point of the picture, 0 is its middle and
	// 1 its right or upper edge.
	Pan    float64 `json:"pan,omitempty"`
	Tilt   float64 `json:"tilt,omitempty"`
	Zoom   float64 `json:"zoom,omitempty"`
	Preset string  `json:"preset,omitempty"` // as the device calls it
	Name   string  `json:"name,omitempty"`   // of a new preset, for people
}

// Check reports whether an order can be carried out as it stands.
func (o *PTZOrder) Check() error {
	if _, err := id.Parse[id.Camera](string(o.Camera)); err != nil {
		return err
	}
	for _, v := range []float64{o.Pan, o.Tilt, o.Zoom} {
		if math.IsNaN(v) || v < -1 || v > 1 {
			return fmt.Errorf("pan, tilt and zoom go from -1 to 1, not to %g", v)
		}
	}
	switch o.Act {
	case PTZAsk, PTZMove, PTZStop, PTZCentre, PTZHome:
	case PTZGoto, PTZRemove:
		if !isToken(o.Preset) {
			return fmt.Errorf("a preset has a token of 1 to %d bytes, without control characters", MaxPresetBytes)
		}
	case PTZSave:
		if clean := CleanText(o.Name, MaxNameRunes); clean == "" || clean != o.Name {
			return fmt.Errorf("a preset has a name of 1 to %d characters", MaxNameRunes)
		}
	default:
		return errors.New("it is not known what the camera should do")
	}
	return nil
}

// isToken says whether a device's word for a preset can be passed on.
func isToken(s string) bool {
	return s != "" && len(s) <= MaxPresetBytes && CleanText(s, MaxPresetBytes) == s
}

// PTZReply says what a camera can be told to do; all false for one that is fixed. After other acts than ask, save and remove
// it is empty. Since version 2.
type PTZReply struct {
	Move    bool        `json:"move,omitempty"`   // turn
	Zoom    bool        `json:"zoom,omitempty"`   // come closer
	Centre  bool        `json:"centre,omitempty"` // bring a point of the picture into its middle
	Home    bool        `json:"home,omitempty"`   // go to a home position
	Save    bool        `json:"save,omitempty"`   // keep and forget presets
	Presets []PTZPreset `json:"presets,omitempty"`
}

// PTZPreset is a position that a camera keeps.
type PTZPreset struct {
	Token string `json:"token"` // as the device calls it
	Name  string `json:"name"`  // for people
}

// Tidy cleans the names of a reply that came over the line and leaves out what is too much.
func (r *PTZReply) Tidy() {
	kept := r.Presets[:0]
	for _, p := range r.Presets {
		if !isToken(p.Token) || len(kept) == MaxPresets {
			continue
		}
		if p.Name = CleanText(p.Name, MaxNameRunes); p.Name == "" {
			p.Name = CleanText(p.Token, MaxNameRunes)
		}
		kept = append(kept, p)
	}
	r.Presets = kept
}
