package api

// Player is a program outside the portal that may show live video with a token: a player, a control room's own page.
type Player struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Site       string `json:"site"`
	Camera     string `json:"camera,omitempty" doc:"The one camera that it may show; absent: every camera of the site."`
	CameraName string `json:"camera_name,omitempty"`
	MadeBy     string `json:"made_by" doc:"Name of who made it, by whose right it watches."`
	CreatedUs  int64  `json:"created_us"`
	ExpiresUs  int64  `json:"expires_us"`
	UsedUs     int64  `json:"used_us,omitempty" doc:"Last use, to the minute; absent: never."`
	State      string `json:"state" enum:"serves,expired,revoked,lost" doc:"lost: who made it may no longer watch there or make players, or the camera was removed."`
}

// Players lists the players of a site, the newest first. Those that serve no longer are gone after 30 days.
type Players struct {
	Players []Player `json:"players" nullable:"false"`
}

// PlayerRequest makes a player.
type PlayerRequest struct {
	Name   string `json:"name" minLength:"1" maxLength:"320" doc:"At most 80 characters."`
	Camera string `json:"camera,omitempty" maxLength:"64" doc:"A camera of the site; absent: every camera, also those that come later."`
	Days   int    `json:"days,omitempty" minimum:"1" maximum:"365" default:"30" doc:"How long the token serves."`
}

// PlayerMade is a new player with its token, which is told only once.
type PlayerMade struct {
	Player    Player          `json:"player"`
	Token     string          `json:"token" doc:"To be sent as Authorization: Bearer."`
	Addresses []PlayerAddress `json:"addresses" nullable:"false" doc:"By name: of the one camera, or of each that the site has."`
}

// PlayerAddress is where a player finds a camera.
type PlayerAddress struct {
	Camera string `json:"camera"`
	Name   string `json:"name"`
	URL    string `json:"url" doc:"Of a WHEP endpoint."`
}
