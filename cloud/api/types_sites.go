package api

// Region is a group of sites.
type Region struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Sites []string `json:"sites" nullable:"false" doc:"IDs of its sites that the person may see."`
}

// Regions lists the regions, ordered by name.
type Regions struct {
	Regions []Region `json:"regions" nullable:"false"`
}

// RegionRequest names a region.
type RegionRequest struct {
	Name string `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
}

// Site is one branch and how it is.
type Site struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Region     string      `json:"region,omitempty"`
	Timezone   string      `json:"timezone" doc:"IANA name."`
	Address    string      `json:"address"`
	Status     string      `json:"status" enum:"ok,attention,dark,never,starting" doc:"never: no agent has been enrolled yet. starting: the cloud has just started and does not judge yet."`
	SinceUs    int64       `json:"since_us,omitempty" doc:"Since when the status is what it is."`
	Missing    []Missing   `json:"missing" nullable:"false" doc:"What is wrong, worst first, each in a sentence that says what to do."`
	Cameras    CameraCount `json:"cameras"`
	Agent      *AgentInfo  `json:"agent,omitempty"`
	Disk       *DiskInfo   `json:"disk,omitempty"`
	Queue      *QueueInfo  `json:"queue,omitempty"`
	Verdict    *Verdict    `json:"verdict,omitempty" doc:"Why the site is dark."`
	LastOutage *Outage     `json:"last_outage,omitempty"`
}

// Sites is a page of sites, ordered by name.
type Sites struct {
	Sites []Site `json:"sites" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as 'after' to get the next page; absent at the end."`
}

// Missing is one thing that is wrong at a site.
type Missing struct {
	Severity string `json:"severity" enum:"critical,warning,info"`
	Text     string `json:"text"`
	Camera   string `json:"camera,omitempty"`
	Reason   string `json:"reason,omitempty" doc:"A reason of the closed list of gap reasons."`
}

// CameraCount counts the cameras of a site.
type CameraCount struct {
	Total     int `json:"total"`
	Recording int `json:"recording"`
	Failing   int `json:"failing"`
}

// AgentInfo describes the agent of a site.
type AgentInfo struct {
	ID            string  `json:"id"`
	Version       string  `json:"version"`
	OS            string  `json:"os"`
	Host          string  `json:"host"`
	Local         string  `json:"local,omitempty" doc:"Address of its status page on the LAN."`
	Connected     bool    `json:"connected"`
	EnrolledUs    int64   `json:"enrolled_us"`
	LastSeenUs    int64   `json:"last_seen_us,omitempty"`
	ClockOffsetUs int64   `json:"clock_offset_us" doc:"Clock of the site minus clock of the cloud."`
	RTTMs         float64 `json:"rtt_ms"`
	UpUs          int64   `json:"up_us" doc:"How long the agent has been running."`
}

// DiskInfo is the sum over the agent's volumes, in bytes.
type DiskInfo struct {
	Total int64   `json:"total"`
	Free  int64   `json:"free"`
	Video int64   `json:"video"`
	Days  float64 `json:"days,omitempty" doc:"Days of video that fit at today's rate; absent while unknown."`
	Held  int64   `json:"held,omitempty" doc:"Bytes of video that holds keep."`

	Capacity int64 `json:"capacity,omitempty" doc:"Bytes of video that the volumes may take: a camera's share is a share of this."`
}

// QueueInfo is what waits at the site for the line.
type QueueInfo struct {
	Facts     int64 `json:"facts"`
	OldestUs  int64 `json:"oldest_us,omitempty"`
	Clips     int64 `json:"clips"`
	ClipBytes int64 `json:"clip_bytes"`

	FactsMinute  int64  `json:"facts_minute" doc:"Reports that arrived within the last minute."`
	OldestClipUs int64  `json:"oldest_clip_us,omitempty" doc:"Where the oldest of the clips begins."`
	ClipRate     int64  `json:"clip_rate" doc:"Bytes per second of clips, now."`
	Stills       int64  `json:"stills" doc:"Pictures that wait."`
	UpRate       int64  `json:"up_rate" doc:"Bytes per second of everything, now."`
	LineRate     int64  `json:"line_rate" doc:"What the site's line carries, in bytes per second; 0: not measured yet."`
	Cap          int64  `json:"cap" doc:"Most that may go up now, in bytes per second; 0: no cap."`
	CapText      string `json:"cap_text,omitempty" doc:"Why that is the cap."`

	Losses []ClipLoss `json:"losses" nullable:"false" doc:"Chosen clips whose video is deleted at the site before the line can carry them, soonest first."`
}

// ClipLoss is a range of chosen clips that will be lost.
type ClipLoss struct {
	Camera     string `json:"camera"`
	CameraName string `json:"camera_name"`
	StartUs    int64  `json:"start_us"`
	EndUs      int64  `json:"end_us"`
	DueUs      int64  `json:"due_us" doc:"When its video is deleted at the site."`
	More       int64  `json:"more" doc:"Bytes per second that the line would have to carry besides."`
	Bytes      int64  `json:"bytes" doc:"About what it takes."`
	SubBytes   int64  `json:"sub_bytes,omitempty" doc:"About what the small stream takes instead; absent: it is not recorded there, or does not help."`
	StepDown   bool   `json:"step_down" doc:"The camera's clips step down already: the site turns to it in a moment, or it is not enough."`
}

// Verdict says why a site is dark, from what the agent last reported.
type Verdict struct {
	SinceUs    int64    `json:"since_us"`
	Cause      string   `json:"cause"`
	Text       string   `json:"text"`
	LastReport []string `json:"last_report" nullable:"false" doc:"Sentences: what the agent said last."`
}

// Outage is a time in which the site had no line to the cloud.
type Outage struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	Text    string `json:"text"`
	Agent   string `json:"agent" enum:"up,restarted,rebooted" doc:"What the agent did meanwhile."`
}

// SiteRequest makes a site.
type SiteRequest struct {
	Name     string `json:"name" minLength:"1" maxLength:"512" doc:"At most 128 characters."`
	Region   string `json:"region,omitempty" maxLength:"64" doc:"ID of a region."`
	Timezone string `json:"timezone" minLength:"1" maxLength:"64" doc:"IANA name, such as Europe/Madrid."`
	Address  string `json:"address,omitempty" maxLength:"2048" doc:"For people, at most 512 characters."`
}

// SitePatch changes a site; absent fields stay.
type SitePatch struct {
	Name     *string `json:"name,omitempty" minLength:"1" maxLength:"512"`
	Region   *string `json:"region,omitempty" maxLength:"64" doc:"ID of a region; empty: no region."`
	Timezone *string `json:"timezone,omitempty" minLength:"1" maxLength:"64"`
	Address  *string `json:"address,omitempty" maxLength:"2048"`
}

// Code is a new enrolment code for a site; the code itself is shown only now.
type Code struct {
	ID        string   `json:"id"`
	Code      string   `json:"code"`
	ExpiresUs int64    `json:"expires_us"`
	Commands  Commands `json:"commands"`
}

// Commands are the lines to run at the site, with the code in them.
type Commands struct {
	Linux   string `json:"linux"`
	Windows string `json:"windows"`
}

// CodeState says what became of an enrolment code.
type CodeState struct {
	State     string `json:"state" enum:"waiting,used,expired"`
	ExpiresUs int64  `json:"expires_us"`
	Agent     string `json:"agent,omitempty" doc:"ID of the agent that used it."`
}

// StoryEntry is one thing in the history of a site.
type StoryEntry struct {
	Kind    string `json:"kind" enum:"outage,run,condition,session"`
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us,omitempty" doc:"Absent while it lasts."`
	Title   string `json:"title"`
	Text    string `json:"text"`
	State   string `json:"state" enum:"ok,failing,unknown"`
}

// Story is the history of a site in a time range, newest first.
type Story struct {
	Story []StoryEntry `json:"story" nullable:"false"`
}

// Camera is one camera and how it is.
type Camera struct {
	ID        string   `json:"id"`
	Site      string   `json:"site"`
	Name      string   `json:"name"`
	Channel   string   `json:"channel,omitempty" doc:"The recorder's own word for it."`
	Status    string   `json:"status" enum:"ok,failing,disabled,unknown"`
	Reason    string   `json:"reason,omitempty" doc:"A reason of the closed list of gap reasons."`
	Text      string   `json:"text,omitempty" doc:"For a person: what is wrong and what to do."`
	SinceUs   int64    `json:"since_us,omitempty"`
	Recording bool     `json:"recording"`
	Streams   []Stream `json:"streams" nullable:"false"`
	Disabled  bool     `json:"disabled" doc:"A person wishes that it is not recorded."`
	KeepDays  int      `json:"keep_days" doc:"0: as the site's configuration says."`
	SharePct  int      `json:"share_pct" doc:"At most so many hundredths of the site's disks; 0: as the site's configuration says."`
	StepDown  bool     `json:"step_down" doc:"A clip of its main stream that the line can't carry in time is cut from the small stream instead, where that is recorded."`
	Reported  bool     `json:"reported" doc:"The site's configuration still has it."`
	FirstUs   int64    `json:"first_us,omitempty" doc:"Oldest video at the site."`
	DurableUs int64    `json:"durable_us,omitempty" doc:"Video up to here is on the site's disk."`
	PTZ       bool     `json:"ptz" doc:"Its site has a device that may be asked whether it moves."`
	Talk      bool     `json:"talk" doc:"The site lets people speak through its loudspeaker."`

	Retention *Retention `json:"retention,omitempty" doc:"What the site keeps of it; absent while unknown."`
}

// Cameras lists the cameras of a site, ordered by name.
type Cameras struct {
	Cameras []Camera `json:"cameras" nullable:"false"`
}

// Stream is the state of one stream of a camera.
type Stream struct {
	Kind    string  `json:"kind" enum:"main,sub"`
	Record  bool    `json:"record"`
	Codec   string  `json:"codec,omitempty" doc:"RFC 6381."`
	Audio   string  `json:"audio,omitempty" doc:"RFC 6381; absent without audio."`
	Width   int     `json:"width,omitempty"`
	Height  int     `json:"height,omitempty"`
	FPS     float64 `json:"fps,omitempty"`
	Kbps    float64 `json:"kbps,omitempty"`
	BFrames bool    `json:"b_frames,omitempty"`
	State   string  `json:"state" enum:"ok,failing,unknown"`
	Reason  string  `json:"reason,omitempty"`
	Text    string  `json:"text,omitempty"`
}

// CameraPatch changes a camera; absent fields stay.
type CameraPatch struct {
	Name     *string `json:"name,omitempty" maxLength:"512" doc:"At most 128 characters; empty: as the site says."`
	Disabled *bool   `json:"disabled,omitempty" doc:"True: stop recording; the time is declared as a gap."`
	KeepDays *int    `json:"keep_days,omitempty" minimum:"0" maximum:"3650" doc:"0: as the site's configuration says."`
	SharePct *int    `json:"share_pct,omitempty" minimum:"0" maximum:"100" doc:"0: as the site's configuration says."`
	StepDown *bool   `json:"step_down,omitempty" doc:"True: a clip that the line can't carry in time is cut from the small stream instead."`
}
