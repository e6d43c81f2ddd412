package local

import (
	"fmt"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Filling is what closing gaps from other sources does at one moment.
type Filling struct {
	Sources   bool    `json:"sources"`         // some camera has a source besides the agent
	Waiting   int     `json:"waiting"`         // gaps that will be offered to a source, or offered again
	WaitingUs int64   `json:"waiting_us"`      // that they lack
	Fetch     *Fetch  `json:"fetch,omitempty"` // nil while nothing is fetched
	TodayUs   int64   `json:"today_us"`        // of footage that came in since midnight, by this machine's clock
	GivenUp   int     `json:"given_up"`        // gaps of which no source has more
	Given     []Given `json:"given,omitempty"` // the newest of them
	Text      string  `json:"text"`            // all that in one sentence or two
}

// Fetch is what is being fetched.
type Fetch struct {
	Camera     id.Camera `json:"camera"`
	CameraName string    `json:"camera_name"`
	Source     string    `json:"source"`
	StartUs    int64     `json:"start_us"`
	EndUs      int64     `json:"end_us"`
	Percent    int       `json:"percent"`
}

// Given is a gap that stays.
type Given struct {
	Camera     id.Camera   `json:"camera"`
	CameraName string      `json:"camera_name"`
	StartUs    int64       `json:"start_us"`
	EndUs      int64       `json:"end_us"`
	Reason     wire.Reason `json:"reason"` // of the gap
	Text       string      `json:"text"`   // what the sources answered
}

// describeFilling puts what filling does in words.
func describeFilling(f Filling, names map[id.Camera]string) Filling {
	if f.Fetch != nil {
		now := *f.Fetch
		now.CameraName = names[now.Camera]
		f.Fetch = &now
	}
	given := make([]Given, 0, len(f.Given))
	for _, g := range f.Given {
		g.CameraName = names[g.Camera]
		given = append(given, g)
	}
	f.Given = given
	f.Text = fillingText(f)
	return f
}

func fillingText(f Filling) string {
	if !f.Sources {
		return "No camera has another source: name an archive in holdfast.yaml to have gaps filled from it"
	}
	text := "No gap waits for another source"
	switch {
	case f.Fetch != nil:
		n := f.Fetch
		text = fmt.Sprintf("Fetching %s from %s of %s, from the %s: %d %%", shortly(n.EndUs-n.StartUs), time.UnixMicro(n.StartUs).Format(time.DateTime),
			n.CameraName, n.Source, n.Percent)
		if f.Waiting > 1 {
			text += "; " + count(int64(f.Waiting-1), "more gap waits", "more gaps wait")
		}
	case f.Waiting > 0:
		text = count(int64(f.Waiting), "gap waits", "gaps wait") + " for another source, " + shortly(f.WaitingUs) + " in all"
	}
	if f.TodayUs > 0 {
		text += ". Filled today: " + shortly(f.TodayUs)
	}
	if f.GivenUp > 0 {
		text += ". " + count(int64(f.GivenUp), "gap stays", "gaps stay") + ": no source has more of it"
	}
	return text
}

// shortly says how long something is, to two figures or so.
func shortly(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < 2*time.Minute:
		return count(int64(d.Round(time.Second)/time.Second), "second", "seconds")
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	default:
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
}
