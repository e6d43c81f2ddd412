package api

// Clip is a chosen range of video that is kept in the cloud.
type Clip struct {
	ID          string      `json:"id"`
	Site        string      `json:"site"`
	SiteName    string      `json:"site_name"`
	SiteDeleted bool        `json:"site_deleted,omitempty" doc:"The site was deleted: the clip goes at expires_us."`
	Camera      string      `json:"camera"`
	CameraName  string      `json:"camera_name"`
	Stream      string      `json:"stream" enum:"main,sub" doc:"What it shows."`
	Wanted      string      `json:"wanted_stream,omitempty" enum:"main,sub" doc:"The stream that was wanted, where the line was too slow for it and somebody chose that clips of the camera step down then. Absent: it shows what was wanted."`
	Title       string      `json:"title"`
	StartUs     int64       `json:"start_us"`
	EndUs       int64       `json:"end_us"`
	CutStartUs  int64       `json:"cut_start_us,omitempty" doc:"What was cut, which may be less than what was wanted."`
	CutEndUs    int64       `json:"cut_end_us,omitempty"`
	State       string      `json:"state" enum:"wanted,cutting,queued,uploading,stored,unavailable,lost"`
	Progress    float64     `json:"progress" minimum:"0" maximum:"1"`
	Bytes       int64       `json:"bytes,omitempty"`
	Sent        int64       `json:"sent,omitempty" doc:"Bytes that have arrived."`
	Codec       string      `json:"codec,omitempty" doc:"RFC 6381."`
	Playable    bool        `json:"playable" doc:"Stored, and the media can be fetched."`
	Reason      string      `json:"reason,omitempty" doc:"For a person: why it is unavailable, lost or waiting."`
	Gaps        []ClipGap   `json:"gaps" nullable:"false" doc:"Ranges inside the clip without video."`
	Nearest     []NearVideo `json:"nearest" nullable:"false" doc:"Of an unavailable or lost clip: the nearest video before and after its range. It is never shown in its place."`
	Waits       *ClipWaits  `json:"waits,omitempty" doc:"Why it is not here yet."`
	Rule        string      `json:"rule,omitempty" doc:"The rule that chose it."`
	By          string      `json:"by,omitempty" doc:"Name of the person who chose it."`
	Events      []ClipEvent `json:"events" nullable:"false" doc:"What it shows, by time, at most 100: overlapping wishes of rules are one clip."`
	Priority    string      `json:"priority" enum:"low,normal,high"`
	KeepDays    int         `json:"keep_days" doc:"Days that it is kept, from its end or from the wish, whichever is later. 0: for ever. -1: as the organisation says."`
	ExpiresUs   int64       `json:"expires_us,omitempty" doc:"When it is removed; absent: never."`
	CreatedUs   int64       `json:"created_us"`
	StoredUs    int64       `json:"stored_us,omitempty"`
}

// ClipGap is a range inside a clip without video.
type ClipGap struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	Reason  string `json:"reason"`
	Text    string `json:"text,omitempty"`
}

// NearVideo is the moment of recorded video that is nearest to a range without any, on one side of it.
type NearVideo struct {
	Side       string `json:"side" enum:"before,after"`
	AtUs       int64  `json:"at_us"`
	DistanceUs int64  `json:"distance_us" doc:"From the edge of the range."`
}

// ClipWaits says what a clip that is not stored waits for.
type ClipWaits struct {
	For     string `json:"for" enum:"end,site,agent,cut,clips,line" doc:"end: its range is not over. site: the site is dark. agent: the site has no agent or has not answered yet. cut: the site cuts it. clips: others go first. line: it is being sent."`
	Text    string `json:"text" doc:"For a person."`
	Behind  int    `json:"behind,omitempty" doc:"How many clips of the site go first."`
	SinceUs int64  `json:"since_us,omitempty" doc:"Of a dark site: when it was last heard of."`
	LeftUs  int64  `json:"left_us,omitempty" doc:"How long it still takes at the speed so far."`
}

// ClipEvent is an event that a clip shows.
type ClipEvent struct {
	Event string `json:"event"`
	Kind  string `json:"kind"`
	Text  string `json:"text,omitempty"`
	AtUs  int64  `json:"at_us"`
}

// Clips is a page of clips, newest first.
type Clips struct {
	Clips []Clip `json:"clips" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as 'before' to get older ones; absent at the end."`
}

// ClipRequest chooses a range.
type ClipRequest struct {
	Camera   string `json:"camera" maxLength:"64"`
	StartUs  int64  `json:"start_us" minimum:"1"`
	EndUs    int64  `json:"end_us" minimum:"1"`
	Stream   string `json:"stream,omitempty" enum:"main,sub" default:"main"`
	Title    string `json:"title,omitempty" maxLength:"512" doc:"At most 128 characters."`
	Priority string `json:"priority,omitempty" enum:"low,normal,high" default:"normal"`
	KeepDays *int   `json:"keep_days,omitempty" minimum:"-1" maximum:"36500" doc:"Absent: -1."`
}

// BookmarkRequest marks a moment.
type BookmarkRequest struct {
	Camera string `json:"camera" maxLength:"64"`
	AtUs   int64  `json:"at_us" minimum:"1"`
	Title  string `json:"title,omitempty" maxLength:"512" doc:"At most 128 characters."`
}

// ClipPatch changes a clip.
type ClipPatch struct {
	Title    *string `json:"title,omitempty" maxLength:"512" doc:"At most 128 characters."`
	KeepDays *int    `json:"keep_days,omitempty" minimum:"-1" maximum:"36500"`
	Priority *string `json:"priority,omitempty" enum:"low,normal,high"`
}

// ClipSettings is what the organisation says of its clips.
type ClipSettings struct {
	KeepDays int     `json:"keep_days" minimum:"0" maximum:"36500" doc:"Of clips that say nothing of their own. 0: for ever."`
	Price    float64 `json:"price" minimum:"0" maximum:"1000" doc:"Of a GB (10^9 bytes) for a month in the clip store, in the currency."`
	Currency string  `json:"currency" pattern:"^[A-Z]{3}$" patternDescription:"an ISO 4217 code"`
	LineKbps int     `json:"line_kbps" minimum:"0" maximum:"100000000" doc:"Upload speed of a site whose line has not been measured. 0: not known."`
}

// ClipExpiry says what another default would remove at once.
type ClipExpiry struct {
	Clips int64 `json:"clips"`
	Bytes int64 `json:"bytes"`
}

// Rule chooses clips by events.
type Rule struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	EventKind string `json:"event_kind"`
	Site      string `json:"site,omitempty" doc:"Absent: every site."`
	Camera    string `json:"camera,omitempty" doc:"Its events, and those of its site that name no camera. Absent: every event that names one."`
	PreS      int    `json:"pre_s"`
	PostS     int    `json:"post_s"`
	Stream    string `json:"stream" enum:"main,sub"`
	Hours     []int  `json:"hours" nullable:"false" doc:"Hours of the week in the site's time zone: seven numbers from Monday, whose lowest bit is the hour from 0:00. Empty: every hour."`
	Priority  string `json:"priority" enum:"low,normal,high"`
	KeepDays  int    `json:"keep_days" doc:"Of the clips that it chooses. 0: for ever. -1: as the organisation says."`
	Enabled   bool   `json:"enabled"`
}

// Rules lists the rules, ordered by name.
type Rules struct {
	Rules []Rule `json:"rules" nullable:"false"`
}

// RuleRequest makes a rule.
type RuleRequest struct {
	Name      string `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
	EventKind string `json:"event_kind" pattern:"^[a-z0-9_]{1,64}$" patternDescription:"lower case letters, digits and underscores"`
	Site      string `json:"site,omitempty" maxLength:"64"`
	Camera    string `json:"camera,omitempty" maxLength:"64"`
	PreS      int    `json:"pre_s" minimum:"0" maximum:"600"`
	PostS     int    `json:"post_s" minimum:"0" maximum:"600"`
	Stream    string `json:"stream,omitempty" enum:"main,sub" default:"main"`
	Hours     []int  `json:"hours,omitempty" nullable:"false" maxItems:"7"`
	Priority  string `json:"priority,omitempty" enum:"low,normal,high" default:"normal"`
	KeepDays  *int   `json:"keep_days,omitempty" minimum:"-1" maximum:"36500" doc:"Absent: -1."`
	Enabled   bool   `json:"enabled"`
}

// RulePatch changes a rule; absent fields stay.
type RulePatch struct {
	Name      *string `json:"name,omitempty" minLength:"1" maxLength:"512"`
	EventKind *string `json:"event_kind,omitempty" pattern:"^[a-z0-9_]{1,64}$"`
	Site      *string `json:"site,omitempty" maxLength:"64" doc:"Empty: every site."`
	Camera    *string `json:"camera,omitempty" maxLength:"64" doc:"Empty: the camera of the event."`
	PreS      *int    `json:"pre_s,omitempty" minimum:"0" maximum:"600"`
	PostS     *int    `json:"post_s,omitempty" minimum:"0" maximum:"600"`
	Stream    *string `json:"stream,omitempty" enum:"main,sub"`
	Hours     *[]int  `json:"hours,omitempty" maxItems:"7"`
	Priority  *string `json:"priority,omitempty" enum:"low,normal,high"`
	KeepDays  *int    `json:"keep_days,omitempty" minimum:"-1" maximum:"36500"`
	Enabled   *bool   `json:"enabled,omitempty"`
}

// RulePreview says what a rule would have sent in the last 30 days, if all of it was recorded.
type RulePreview struct {
	FromUs    int64             `json:"from_us"`
	ToUs      int64             `json:"to_us"`
	Events    int               `json:"events" doc:"Matched."`
	Clips     int               `json:"clips" doc:"After overlapping ones are merged."`
	LengthUs  int64             `json:"length_us" doc:"Of all clips."`
	Bytes     int64             `json:"bytes" doc:"By the bitrate that the cameras really have."`
	KeepDays  int               `json:"keep_days" doc:"What the rule's keep-for comes to. 0: for ever."`
	KeptBytes int64             `json:"kept_bytes" doc:"What lies in the cloud once it goes on like this: all that is made in the time that clips are kept, or after a year where they are kept for ever."`
	Cost      float64           `json:"cost" doc:"Of kept_bytes for a month, in the currency."`
	Price     float64           `json:"price" doc:"Of a GB for a month."`
	Currency  string            `json:"currency"`
	Sites     []RulePreviewSite `json:"sites" nullable:"false" doc:"Those with events, the most bytes first."`
}

// RulePreviewSite is a site's part of a preview.
type RulePreviewSite struct {
	Site       string  `json:"site"`
	Name       string  `json:"name"`
	Events     int     `json:"events"`
	Clips      int     `json:"clips"`
	LengthUs   int64   `json:"length_us"`
	Bytes      int64   `json:"bytes"`
	Guessed    bool    `json:"guessed,omitempty" doc:"The bitrate of a camera is not known yet and was assumed."`
	LineKbps   int     `json:"line_kbps"`
	LineSource string  `json:"line_source" enum:"measured,given,assumed"`
	LineHours  float64 `json:"line_hours" doc:"That the bytes take of the line."`
}
