package api

// Every list is an object with one named array, so that it can grow a field; an array is never null. Fields
// without omitempty are always present. Times are int64 microseconds since 1970 in fields named "..._us".

// Version says what is running.
type Version struct {
	Name    string `json:"name" doc:"Always holdfast."`
	Version string `json:"version" doc:"Version of the cloud program."`
}

// SetupState says whether the first start's page is still wanted; once it is not, the route is gone (404).
type SetupState struct {
	Needed bool `json:"needed" doc:"True until the organisation and its owner exist."`
}

// SetupRequest makes the organisation and its owner at the first start.
type SetupRequest struct {
	Token        string `json:"token" minLength:"1" maxLength:"128" doc:"The one-time token that the program printed when it started."`
	Organisation string `json:"organisation" minLength:"1" maxLength:"512" doc:"Name of the organisation, at most 128 characters."`
	Name         string `json:"name" minLength:"1" maxLength:"512" doc:"Name of the owner, at most 128 characters."`
	Email        string `json:"email" minLength:"3" maxLength:"254" doc:"E-mail address of the owner, used to sign in."`
	Password     string `json:"password" minLength:"1" maxLength:"1024" doc:"At least 12 characters."`
}

// SignInRequest starts a session.
type SignInRequest struct {
	Email    string `json:"email" minLength:"1" maxLength:"254"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
}

// Self is the person who asks.
type Self struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Role  string `json:"role" enum:"owner,manager,viewer,support"`
}

// OrganisationRef names the organisation.
type OrganisationRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Me is who is signed in and what that person may do.
type Me struct {
	Person       Self            `json:"person"`
	Organisation OrganisationRef `json:"organisation"`
	Sites        []string        `json:"sites" nullable:"true" doc:"Null: every site. Otherwise the IDs of the sites that the person is limited to."`
	Can          []string        `json:"can" nullable:"false" doc:"The actions that the role allows, inside the sites: self, view, health, events, live, talk, playback, cameras.move, export, clips.edit, holds.edit, cameras.edit, sites.edit, sites.create, regions.edit, agents.edit, rules.edit, people.edit, alerts.edit, walls.edit, players.edit, audit.view."`
}

// LinkInfo is what an invitation or reset link is for.
type LinkInfo struct {
	Email        string `json:"email"`
	Name         string `json:"name"`
	Organisation string `json:"organisation"`
	Purpose      string `json:"purpose" enum:"invite,reset"`
	ExpiresUs    int64  `json:"expires_us"`
}

// PasswordByLink sets a password with a one-time link; the person is not signed in by it.
type PasswordByLink struct {
	Token    string `json:"token" minLength:"1" maxLength:"128" doc:"The part after # in the link."`
	Password string `json:"password" minLength:"1" maxLength:"1024" doc:"At least 12 characters."`
}

// PasswordChange replaces one's own password; every other session of the person ends.
type PasswordChange struct {
	Old string `json:"old" minLength:"1" maxLength:"1024"`
	New string `json:"new" minLength:"1" maxLength:"1024" doc:"At least 12 characters."`
}

// Change is one server-sent event of GET /changes: something changed, fetch it again.
type Change struct {
	Kind   string `json:"kind" enum:"site,camera,event,clip,coverage,people,incident,wall,turn,ptz,talk" doc:"What changed."`
	Site   string `json:"site,omitempty"`
	Camera string `json:"camera,omitempty"`
	ID     string `json:"id,omitempty" doc:"ID of the thing, where it has one."`
}
