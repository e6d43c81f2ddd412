package wire

import (
	"errors"
	"fmt"
	"math"
	"time"

	"holdfast/shared/id"
)

// MaxHolds bounds the holds of one site.
const MaxHolds = 256

// HoldDesire is a hold that the cloud wishes: [StartUs, EndUs) of a camera, which nothing at the site may delete.
// Since version 2.
type HoldDesire struct {
	Hold    id.Hold   `json:"hold"`
	Camera  id.Camera `json:"camera"`
	StartUs int64     `json:"start_us"`
	EndUs   int64     `json:"end_us"`
	UntilUs int64     `json:"until_us,omitempty"` // 0: until it is released
	Name    string    `json:"name"`               // why, for people
	By      string    `json:"by,omitempty"`       // who made it
	// Over says that a person has agreed to hold more than half of a volume. Without it such a hold is refused.
	Over bool `json:"over,omitempty"`
}

// Check reports whether a hold can be kept: a camera, a range and a name.
func (h *HoldDesire) Check() error {
	if _, err := id.Parse[id.Hold](string(h.Hold)); err != nil {
		return err
	}
	if _, err := id.Parse[id.Camera](string(h.Camera)); err != nil {
		return err
	}
	switch {
	case h.StartUs <= 0 || h.EndUs <= h.StartUs:
		return errors.New("a hold ends after it begins")
	case h.UntilUs < 0:
		return errors.New("a hold lasts until a time, or 0")
	}
	return nil
}

// HoldStatus says what became of a hold at the site.
type HoldStatus string

// States of a hold. Kept: all that was recorded in the range is there. Partly: some of it had gone before. Empty:
// nothing recorded is there. Refused: it would hold more than half of a volume, and nobody has agreed to that: it
// protects nothing. Ended: its time is over.
const (
	HoldKept    HoldStatus = "kept"
	HoldPartly  HoldStatus = "partly"
	HoldEmpty   HoldStatus = "empty"
	HoldRefused HoldStatus = "refused"
	HoldEnded   HoldStatus = "ended"
)

// HoldState is what the site says of one hold. Since version 2.
type HoldState struct {
	HoldDesire
	Site       bool       `json:"site,omitempty"` // made at the site: only there it can be released
	State      HoldStatus `json:"state"`
	Bytes      int64      `json:"bytes"`       // that it keeps, of both streams
	RecordedUs int64      `json:"recorded_us"` // of the range, what is there
	GoneUs     int64      `json:"gone_us"`     // of the range, what is neither there nor a declared gap
	Text       string     `json:"text,omitempty"`
}

// Retention is what the site keeps of one camera, and for how long. Since version 2.
type Retention struct {
	Bytes     int64       `json:"bytes"` // of both streams, files being written included
	HeldBytes int64       `json:"held,omitempty"`
	DayBytes  int64       `json:"day"`            // recorded in a day, by the last 24 hours; 0 when not yet known
	Days      float64     `json:"days,omitempty"` // how far back video reaches at this rate; 0 when not yet known
	KeepUs    int64       `json:"keep_us,omitempty"`
	MaxBytes  int64       `json:"max,omitempty"` // limits in force; 0 without one
	Due       *Shortening `json:"due,omitempty"`
}

// Shortening is a stricter limit that waits: what it deletes goes from DueUs on. Since version 2.
type Shortening struct {
	DueUs    int64 `json:"due_us"`
	KeepUs   int64 `json:"keep_us,omitempty"`
	MaxBytes int64 `json:"max,omitempty"`
	LengthUs int64 `json:"length_us"` // of video that goes, as of now
	Bytes    int64 `json:"bytes"`
}

func tidyHolds(holds []HoldState) error {
	if len(holds) > MaxHolds {
		return fmt.Errorf("%d holds are too many", len(holds))
	}
	for i := range holds {
		h := &holds[i]
		if err := h.Check(); err != nil {
			return err
		}
		h.Name, h.By = CleanText(h.Name, MaxNameRunes), CleanText(h.By, MaxNameRunes)
		h.Text = CleanText(h.Text, MaxTextRunes)
		switch h.State {
		case HoldKept, HoldPartly, HoldEmpty, HoldRefused, HoldEnded:
		default:
			h.State = HoldStatus(StateUnknown)
		}
	}
	return nil
}

// tidy keeps numbers that are shown to people within what can be.
func (r *Retention) tidy() {
	const longest = float64(100 * 366)
	if math.IsNaN(r.Days) || r.Days < 0 || r.Days > longest {
		r.Days = 0
	}
	const ever = int64(100*366) * int64(24*time.Hour/time.Microsecond)
	r.Bytes, r.HeldBytes, r.DayBytes = max(r.Bytes, 0), max(r.HeldBytes, 0), max(r.DayBytes, 0)
	r.KeepUs, r.MaxBytes = min(max(r.KeepUs, 0), ever), max(r.MaxBytes, 0)
}
