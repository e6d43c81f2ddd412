package api

import (
	"context"
	"io"
	"time"

	"github.com/coder/websocket"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// This file is all that the door needs of the rooms behind it. The hall fills it. Rules for every method:
//   - who may ask was decided before the call; scope is the organisation and sites are the sites that the asker
//     is limited to (nil: every site of the scope, empty: none); a room never shows more than both allow;
//   - a row that does not exist in the scope is store.ErrNotFound, a taken name store.ErrConflict;
//   - what a room can't do now, for a reason that a person should read, is an error with a method
//     Refusal() (code, text string), such as *Refusal; every other error is answered as 500 and logged;
//   - lists are newest first unless said otherwise, of at most Page.Limit rows, with the cursor of the next
//     page or "" at the end; a cursor is the room's own word of letters, digits, '_', '-' and '.', at most 128.

// Rooms joins what the hall passes in. Every field is needed.
type Rooms struct {
	Fleet    Fleet
	Agents   Agents
	Coverage Coverer
	Live     Live
	Events   EventLister
	Clips    ClipKeeper
	Rules    RuleKeeper
	Alerts   Alerter
}

// Page says which rows of a time-ordered list are wanted.
type Page struct {
	Before string // cursor of the page before; empty: from the newest
	Limit  int    // above 0
}

// Span is a time range [FromUs, ToUs); 0 leaves an end open.
type Span struct{ FromUs, ToUs int64 }

// SiteStatus is how a site is: everything of Site that is not a row of the store.
type SiteStatus struct {
	Status     string // ok, attention, dark, never, starting
	SinceUs    int64
	Missing    []Missing
	Recording  int // cameras
	Failing    int // cameras
	Agent      *AgentInfo
	Disk       *DiskInfo
	Queue      *QueueInfo
	Verdict    *Verdict
	LastOutage *Outage
}

// CameraStatus is how a camera is: everything of Camera that is not a row of the store.
type CameraStatus struct {
	Status    string // ok, failing, disabled, unknown
	Reason    wire.Reason
	Text      string
	SinceUs   int64
	Recording bool
	Streams   []wire.StreamState
	FirstUs   int64
	DurableUs int64
	Retention *wire.Retention // nil: never reported
	PTZ       bool            // the site may be asked whether it moves
	Talk      bool            // the site lets people speak there
}

// HoldReport is what a site says of holds.
type HoldReport struct {
	States []wire.HoldState // all of the site, those that were made there included
	Known  bool             // an agent was ever heard of
	Able   bool             // it can keep holds, and waits a day with a stricter limit
}

// Fleet knows how sites are.
type Fleet interface {
	// Sites returns the status of each of these sites, which all lie in the scope; a missing one reads as "never".
	Sites(ctx context.Context, scope store.Scope, sites []id.Site) (map[id.Site]SiteStatus, error)
	// Cameras returns the status of each camera of a site; a missing one reads as "unknown".
	Cameras(ctx context.Context, scope store.Scope, site id.Site) (map[id.Camera]CameraStatus, error)
	// Holds returns what a site said of holds last.
	Holds(ctx context.Context, scope store.Scope, site id.Site) (HoldReport, error)
	// Story returns what happened at a site, at most limit entries.
	Story(ctx context.Context, scope store.Scope, site id.Site, span Span, limit int) ([]StoryEntry, error)
	// Incidents returns the incidents of the sites.
	Incidents(ctx context.Context, scope store.Scope, sites []id.Site, page Page) ([]Incident, string, error)
	// Reconfigure says that the desired configuration of a site (orgs.Desired) has a new version. It does not wait
	// for the agent.
	Reconfigure(org id.Org, site id.Site)
}

// Agents enrols and revokes the agent of a site.
type Agents interface {
	// NewCode makes an enrolment code; older ones of the site that wait are void.
	NewCode(ctx context.Context, scope store.Scope, site id.Site, by id.Person) (NewCode, error)
	// Code says what became of a code of the site.
	Code(ctx context.Context, scope store.Scope, site id.Site, code id.Code) (CodeState, error)
	// Revoke ends the identity of the site's agent, its session and its waiting codes; store.ErrNotFound if the
	// site has none.
	Revoke(ctx context.Context, scope store.Scope, site id.Site) error
}

// NewCode is an enrolment code that was just made.
type NewCode struct {
	ID        id.Code
	Code      string // as a person types it
	ExpiresUs int64
}

// Coverer knows where video is.
type Coverer interface {
	// Coverage returns ranges, sorted, that cover [span.FromUs, span.ToUs) without a hole or an overlap.
	Coverage(ctx context.Context, scope store.Scope, site id.Site, stream id.Stream, span Span) (Coverage, error)
}

// LiveOrder is a viewer's wish for a connection to a site, and for one camera over it if its offer names one.
type LiveOrder struct {
	Org    id.Org
	Site   id.Site
	Person id.Person
	Offer  wire.LiveOffer // with Session set; without ICE, which is the room's
	Relay  string         // user name of the credentials from ICE that the viewer uses; empty for none
	Way    string         // what serves the connection: "site", "either" or "relay"
}

// ViewOrder is a viewer's wish for one camera over a connection that is there.
type ViewOrder struct {
	Org  id.Org
	Site id.Site
	View wire.LiveView // with Session and Connection set
}

// TalkOrder is a person's wish to speak at a camera.
type TalkOrder struct {
	Org    id.Org
	Site   id.Site
	Person id.Person
	Offer  wire.TalkOffer // with Session, Camera and By set; without ICE, which is the room's
	Relay  string         // as in LiveOrder
}

// Live brokers WebRTC sessions and stills. The door decides who may watch, and closes sessions whose viewers
// lost that right.
type Live interface {
	// Offer answers an SDP offer; the session is then open until it is closed or its media end. Refusal codes:
	// those of wire.Reply, and "offline" when the site has no session.
	Offer(ctx context.Context, order LiveOrder) (wire.LiveAnswer, error)
	// Restart has the path of a connection sought anew; of the offer its session and SDP count. Refusal codes: those of View.
	Restart(ctx context.Context, order LiveOrder) (wire.LiveAnswer, error)
	// Paths passes on addresses that a viewer has learnt since its offer, and returns those of the far end. Refusal codes:
	// those of View.
	Paths(ctx context.Context, told wire.LivePaths) (wire.LivePaths, error)
	// View shows a camera over a connection that Offer made. Refusal codes: those of Offer, and "gone" when the connection
	// has ended.
	View(ctx context.Context, order ViewOrder) (wire.LiveAnswer, error)
	// Talk answers the offer of somebody who speaks; the session is open until it is closed, or the site ends it, of which
	// API.Silent is told. Refusal codes: those of Offer, and "taken" when somebody else speaks.
	Talk(ctx context.Context, order TalkOrder) (wire.LiveAnswer, error)
	// AskTalk asks whether one can speak at a camera, and who does. Refusal codes: those of Offer.
	AskTalk(ctx context.Context, org id.Org, site id.Site, camera id.Camera) (wire.TalkState, error)
	// Socket shows a camera over a WebSocket until the viewer leaves or the session is closed, and closes conn. Why it can't be
	// shown the viewer is told in the word that refuse makes of it. An error, with the refusal codes of Offer, says that nobody
	// was asked, and leaves conn as it was.
	Socket(ctx context.Context, order ViewOrder, conn *websocket.Conn, refuse func(error) any) error
	// Close ends a session or a connection; no error if it ended already.
	Close(ctx context.Context, session id.Session) error
	// Open reports whether a session has not ended yet.
	Open(session id.Session) bool
	// ICE returns the servers for a viewer's next session.
	ICE(ctx context.Context, person id.Person) ([]wire.ICEServer, error)
	// Still fetches one key frame as Annex B with its parameter sets (ITU-T H.264 annex B).
	Still(ctx context.Context, org id.Org, site id.Site, order wire.StillOrder) (wire.StillReply, []byte, error)
	// Steer has a camera carry out an order, or tell what it can do. Refusal codes: those of wire.Reply, and "offline".
	Steer(ctx context.Context, org id.Org, site id.Site, order wire.PTZOrder) (wire.PTZReply, error)
}

// EventQuery chooses events; empty fields choose all.
type EventQuery struct {
	Site    id.Site
	Camera  id.Camera
	Cameras []id.Camera // any of these
	Kind    string
	Span    Span
}

// EventLister knows what happened.
type EventLister interface {
	Events(ctx context.Context, scope store.Scope, sites []id.Site, query EventQuery, page Page) ([]Event, string, error)
}

// ClipQuery chooses clips; empty fields choose all.
type ClipQuery struct {
	Site   id.Site
	Camera id.Camera
	State  wire.ClipState
	Span   Span // overlapping
}

// ClipOrder chooses a range to keep.
type ClipOrder struct {
	Org            id.Org
	Site           id.Site
	Camera         id.Camera
	Stream         id.StreamKind
	StartUs, EndUs int64
	Title          string
	Priority       wire.Priority
	KeepDays       int // 0: for ever, -1: as the organisation says
	By             id.Person
	ByName         string
}

// Bookmark marks a moment.
type Bookmark struct {
	Org    id.Org
	Site   id.Site
	Camera id.Camera
	AtUs   int64
	Title  string
	By     id.Person
	ByName string
}

// ClipChange says what changes of a clip; nil fields stay.
type ClipChange struct {
	Title    *string
	KeepDays *int
	Priority *wire.Priority
}

// ClipMedia is the file of a stored clip.
type ClipMedia struct {
	Content  io.ReadSeekCloser
	Type     string    // media type, such as video/mp4
	Modified time.Time // zero: unknown
	SHA256   []byte    // of the file; nil: unknown. It becomes the entity tag.
}

// ClipKeeper keeps clips.
type ClipKeeper interface {
	Clip(ctx context.Context, scope store.Scope, clip id.Clip) (Clip, error)
	Clips(ctx context.Context, scope store.Scope, sites []id.Site, query ClipQuery, page Page) ([]Clip, string, error)
	// Order stores the wish and tells the agent when it can. Refusal codes: "invalid" (with what to do), "limit".
	Order(ctx context.Context, order ClipOrder) (Clip, error)
	// Bookmark stores the moment as an event; a rule for the kind "bookmark" says what is kept of it, else half a minute.
	Bookmark(ctx context.Context, bookmark Bookmark) (Clip, error)
	// Change refuses with "invalid" what can't be.
	Change(ctx context.Context, scope store.Scope, clip id.Clip, change ClipChange) (Clip, error)
	Remove(ctx context.Context, scope store.Scope, clip id.Clip) error
	// Media opens the file of a stored clip; Refusal "no_video" when it is not stored.
	Media(ctx context.Context, scope store.Scope, clip id.Clip) (ClipMedia, error)
	// SiteRemoved lets the clips of a site go in 30 days, in the transaction that removes the site.
	SiteRemoved(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) error
	ClipSettings(ctx context.Context, scope store.Scope) (ClipSettings, error)
	PutClipSettings(ctx context.Context, scope store.Scope, settings ClipSettings) error
	// Expiry returns what a default of so many days would remove at once.
	Expiry(ctx context.Context, scope store.Scope, keepDays int) (ClipExpiry, error)
}

// RuleKeeper keeps clip rules. Lists are ordered by name.
type RuleKeeper interface {
	// Rules returns the rules of the sites and those of every site.
	Rules(ctx context.Context, scope store.Scope, sites []id.Site) ([]Rule, error)
	Rule(ctx context.Context, scope store.Scope, rule id.Rule) (Rule, error)
	// PutRule stores a rule under its ID, new or not.
	PutRule(ctx context.Context, scope store.Scope, rule Rule) error
	RemoveRule(ctx context.Context, scope store.Scope, rule id.Rule) error
	// PreviewRule works out what a rule would have sent; lineKbps above 0 is what a person says of the line.
	PreviewRule(ctx context.Context, scope store.Scope, sites []id.Site, rule Rule, lineKbps int) (RulePreview, error)
}

// Alerter tells people.
type Alerter interface {
	// Alerts returns the settings, with HasSecret instead of secrets.
	Alerts(ctx context.Context, scope store.Scope) (Alerts, error)
	// PutAlerts replaces the settings; a webhook without a secret keeps the one of the same URL. Refusal "invalid"
	// names what can't be used.
	PutAlerts(ctx context.Context, scope store.Scope, alerts Alerts) (Alerts, error)
	// TestAlerts sends a test message to every receiver and waits for the answers.
	TestAlerts(ctx context.Context, scope store.Scope) ([]AlertResult, error)
}

// Refusal is an error that a person should read. A room that can't import this package returns any error with
// the same method.
type Refusal struct {
	Code string // offline, busy, taken, limit, unknown_camera, no_video, codec, refused, invalid, conflict, expired, failed
	Text string // one sentence that says what is wrong and what to do
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// Refusal returns code and text.
func (r *Refusal) Refusal() (code, text string) { return r.Code, r.Text }
