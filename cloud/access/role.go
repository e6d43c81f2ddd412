package access

import (
	"errors"
	"slices"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Role is what a person is in the organisation.
type Role string

// The roles. An owner may do everything. A manager runs the sites that the role is limited to, with their
// viewers, and may speak there: a voice out of a wall is the site's own business. A viewer sees and exports the video of the sites,
// and moves their cameras. Support sees health and never video.
const (
	Owner   Role = "owner"
	Manager Role = "manager"
	Viewer  Role = "viewer"
	Support Role = "support"
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r == Owner || r == Manager || r == Viewer || r == Support }

// Action is something that a person may want to do. The list is closed.
type Action string

// The actions.
const (
	Self        Action = "self"         // what concerns only oneself
	View        Action = "view"         // sites, regions and cameras, without video
	Health      Action = "health"       // story and incidents
	Events      Action = "events"       // the list of events
	Live        Action = "live"         // live video and stills, which are video
	Talk        Action = "talk"         // speak through a camera's loudspeaker
	Playback    Action = "playback"     // recorded video at the site, and its coverage
	MoveCameras Action = "cameras.move" // turn and zoom cameras that can
	Export      Action = "export"       // see, fetch and choose clips
	EditClips   Action = "clips.edit"   // rename and remove clips
	EditHolds   Action = "holds.edit"   // keep ranges at a site from deletion, and release them
	EditCameras Action = "cameras.edit" // name, recording and retention of cameras
	EditSites   Action = "sites.edit"   // name, region, zone and address of a site
	MakeSites   Action = "sites.create" // add and remove sites
	EditRegions Action = "regions.edit"
	Enrol       Action = "agents.edit"  // enrolment codes, revoking an agent
	EditRules   Action = "rules.edit"   // see and change clip rules
	EditPeople  Action = "people.edit"  // see, invite, change and remove people
	EditAlerts  Action = "alerts.edit"  // see and change who is told
	EditWalls   Action = "walls.edit"   // change and remove walls that others share
	EditPlayers Action = "players.edit" // hand live video to programs, by a token that whoever has it can use
	SeeAudit    Action = "audit.view"
)

// Actions returns the closed list.
func Actions() []Action {
	return []Action{
		Self, View, Health, Events, Live, Talk, Playback, MoveCameras, Export, EditClips, EditHolds, EditCameras, EditSites, MakeSites, EditRegions,
		Enrol, EditRules, EditPeople, EditAlerts, EditWalls, EditPlayers, SeeAudit,
	}
}

// Can lists the actions of a role, in the order of Actions. It is the one table of rights.
func (r Role) Can() []Action {
	switch r {
	case Owner:
		return Actions()
	case Manager:
		return []Action{
			Self, View, Health, Events, Live, Talk, Playback, MoveCameras, Export, EditClips, EditHolds, EditCameras, EditSites, Enrol, EditRules,
			EditPeople, EditPlayers,
		}
	case Viewer:
		return []Action{Self, View, Health, Events, Live, Playback, MoveCameras, Export}
	case Support:
		return []Action{Self, View, Health, Events}
	default:
		return nil
	}
}

// Actor is a signed-in person with rights as they are now.
type Actor struct {
	Person  id.Person
	Name    string
	Email   string
	Org     id.Org
	OrgName string
	Role    Role
	Sites   []id.Site  // nil: every site, now and later; else only these
	Session id.Session // the portal session
	IP      string     // the browser's address
	Player  *Player    // nil: the person; else a program that shows live video in the person's place, and may do no more

	tokenHash []byte
}

// Scope returns the scope of the actor's organisation.
func (a Actor) Scope() store.Scope { return store.Org(a.Org) }

// May reports whether the actor's role allows an action at some place; a program may watch live and nothing else.
func (a Actor) May(action Action) bool {
	return slices.Contains(a.Role.Can(), action) && (a.Player == nil || action == Live)
}

// Same reports whether two actors are one: the same person at a browser, or the same program.
func (a Actor) Same(b Actor) bool {
	if a.Player == nil || b.Player == nil {
		return a.Player == b.Player && a.Person == b.Person
	}
	return a.Player.ID == b.Player.ID
}

// Sees reports whether a site lies inside the actor's sites. It says nothing about the organisation.
func (a Actor) Sees(site id.Site) bool { return a.Sites == nil || slices.Contains(a.Sites, site) }

// Target is what an action is done to: one site, or, with an empty Site, the organisation as a whole. A list is
// not a target: who May do the action gets the part of it that lies in the actor's sites. The camera is named where one
// is watched, since a program may have the right to one alone.
type Target struct {
	Org    id.Org
	Site   id.Site
	Camera id.Camera
}

// ErrForbidden says that the role does not allow the action.
var ErrForbidden = errors.New("your role does not allow this: ask an owner of your organisation")

// Can decides whether an actor may do an action to a target, and is the only place that does. It returns nil,
// ErrForbidden when the role does not allow it anywhere, store.ErrNotFound when the target belongs to another
// tenant or lies outside the actor's sites (so that it can't be told from what does not exist), and
// ErrForbidden when something of the whole organisation is asked by somebody who is limited to sites.
func Can(a Actor, action Action, t Target) error {
	switch {
	case a.Person == "" || a.Org == "" || !a.May(action):
		return ErrForbidden
	case t.Org != a.Org:
		return store.ErrNotFound
	case t.Site == "" && a.Sites != nil:
		return ErrForbidden
	case t.Site != "" && !a.Sees(t.Site), a.Player != nil && !a.Player.shows(t):
		return store.ErrNotFound
	}
	return nil
}
