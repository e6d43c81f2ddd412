package api

// Retention is what the site keeps of a camera, and for how long.
type Retention struct {
	Bytes    int64       `json:"bytes" doc:"Of video at the site."`
	Held     int64       `json:"held,omitempty" doc:"Bytes of it that holds keep."`
	DayBytes int64       `json:"day_bytes" doc:"Recorded in a day, by the last 24 hours; 0 while unknown."`
	Days     float64     `json:"days,omitempty" doc:"How far back video will reach at today's rate; absent while unknown."`
	KeepUs   int64       `json:"keep_us,omitempty" doc:"Limit in force at the site, of site and portal together; absent without one."`
	MaxBytes int64       `json:"max_bytes,omitempty" doc:"Limit in force at the site; absent without one."`
	Due      *Shortening `json:"due,omitempty" doc:"A stricter limit that waits for a day before it deletes anything."`
}

// Shortening is what a stricter limit deletes, and from when on.
type Shortening struct {
	DueUs    int64 `json:"due_us"`
	KeepUs   int64 `json:"keep_us,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	LengthUs int64 `json:"length_us" doc:"Length of the video that goes."`
	Bytes    int64 `json:"bytes"`
}

// RetentionPreview is what other limits of a camera would delete.
type RetentionPreview struct {
	Known    bool  `json:"known" doc:"False while the site has not said what it keeps."`
	LengthUs int64 `json:"length_us" doc:"Length of the video that would go."`
	Bytes    int64 `json:"bytes" doc:"About so many."`
	DueUs    int64 `json:"due_us,omitempty" doc:"When it would begin to go, if saved now; absent: nothing goes, or an old agent deletes at once."`
}

// Hold is a range of a camera that nothing at its site deletes.
type Hold struct {
	ID         string `json:"id"`
	Site       string `json:"site"`
	Camera     string `json:"camera"`
	CameraName string `json:"camera_name"`
	StartUs    int64  `json:"start_us"`
	EndUs      int64  `json:"end_us"`
	UntilUs    int64  `json:"until_us,omitempty" doc:"When it ends by itself; absent: when somebody releases it."`
	Name       string `json:"name" doc:"What it is for."`
	By         string `json:"by,omitempty" doc:"Who made it."`
	MadeAt     string `json:"made_at" enum:"portal,site" doc:"One that was made at the site is released there."`
	CreatedUs  int64  `json:"created_us,omitempty"`
	Over       bool   `json:"over" doc:"Somebody agrees to hold more than half of a disk."`
	State      string `json:"state" enum:"waiting,kept,partly,empty,refused,ended,unsupported" doc:"waiting: the site has not taken it yet. kept: all that was recorded is there. partly: some of it had gone before. empty: nothing of it is at the site. refused: it would hold more than half of a disk and nobody has agreed; it protects nothing. ended: its time is over. unsupported: the agent is too old."`
	Text       string `json:"text,omitempty" doc:"For a person."`
	Bytes      int64  `json:"bytes"`
	RecordedUs int64  `json:"recorded_us" doc:"Length of what is there."`
	GoneUs     int64  `json:"gone_us" doc:"Length of what had gone before."`
}

// Holds lists the holds of a site, newest first.
type Holds struct {
	Holds []Hold `json:"holds" nullable:"false"`
}

// HoldRequest keeps a range.
type HoldRequest struct {
	Camera  string `json:"camera" maxLength:"64"`
	StartUs int64  `json:"start_us" minimum:"1"`
	EndUs   int64  `json:"end_us" minimum:"1"`
	UntilUs int64  `json:"until_us,omitempty" minimum:"0" doc:"Absent or 0: until somebody releases it."`
	Name    string `json:"name" minLength:"1" maxLength:"512" doc:"What it is for, at most 128 characters."`
	Over    bool   `json:"over,omitempty" doc:"Agree to hold more than half of a disk."`
}

// HoldPatch changes a hold.
type HoldPatch struct {
	Over bool `json:"over" enum:"true" doc:"Agree to hold more than half of a disk."`
}
