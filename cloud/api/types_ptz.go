package api

// PTZ says what a camera can be told to do; nothing of it for one that is fixed.
type PTZ struct {
	Move    bool     `json:"move" doc:"It turns."`
	Zoom    bool     `json:"zoom" doc:"It comes closer."`
	Centre  bool     `json:"centre" doc:"It can bring a point of its picture into the middle."`
	Home    bool     `json:"home" doc:"It has a home position."`
	Save    bool     `json:"save" doc:"Its positions can be kept and forgotten."`
	Presets []Preset `json:"presets" nullable:"false" doc:"Positions that it keeps."`
	Turn    Turn     `json:"turn"`
}

// Preset is a position that a camera keeps.
type Preset struct {
	Token string `json:"token" doc:"As the camera calls it."`
	Name  string `json:"name"`
}

// Turn says who moves a camera.
type Turn struct {
	Name   string `json:"name,omitempty" doc:"Who moves it; absent: nobody."`
	Mine   bool   `json:"mine" doc:"It is the asker's own turn."`
	LeftMs int64  `json:"left_ms" doc:"Until it is free, if it is not moved again."`
	May    bool   `json:"may_take" doc:"The asker may take it over: the role is higher."`
}

// PTZRequest is what a camera is to do.
type PTZRequest struct {
	Act    string  `json:"act" enum:"move,stop,centre,goto,home" doc:"A move lasts a second: say it again while it should go on."`
	Number int64   `json:"number" minimum:"1" doc:"Rises from request to request of one browser, as its clock does: one that comes late is left out."`
	Pan    float64 `json:"pan,omitempty" minimum:"-1" maximum:"1" doc:"To the right above 0. Of centre: a point of the picture, 1 its right edge."`
	Tilt   float64 `json:"tilt,omitempty" minimum:"-1" maximum:"1" doc:"Up above 0. Of centre: 1 is the upper edge."`
	Zoom   float64 `json:"zoom,omitempty" minimum:"-1" maximum:"1" doc:"Closer above 0."`
	Preset string  `json:"preset,omitempty" maxLength:"128" doc:"Token of the preset to go to."`
}

// PresetRequest keeps the present position.
type PresetRequest struct {
	Name string `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
}
