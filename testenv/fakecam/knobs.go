package fakecam

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Knobs are a camera's faults. The zero value is a healthy camera.
type Knobs struct {
	Offline bool `json:"offline"` // no power: connections are reset; with a port of its own they are refused
	// Unplugged is a camera whose cable is out: as Offline, but it goes on filming, on its card and in its log.
	Unplugged bool `json:"unplugged"`
	Silent    bool `json:"silent"` // accepts connections and never says a word, on old connections neither
	Stall     bool `json:"stall"`  // sessions stay, frames stop
	Freeze    bool `json:"freeze"` // the same key frame over and over, stamp included, on a clock that goes on

	NoKey       bool    `json:"no_key"`         // key frames are left out; frames sent after the next one are useless
	LossPercent float64 `json:"loss_percent"`   // share of RTP packets of pictures left out, 0..100
	Garble      float64 `json:"garble_percent"` // share of them whose payload is turned into nonsense
	SlowStartMs int64   `json:"slow_start_ms"`  // wait before DESCRIBE and PLAY are answered

	RejectLogin bool   `json:"reject_login"` // 401 whatever the password
	Password    string `json:"password"`     // instead of the configured one, when not empty

	Refuse   int    `json:"refuse"`    // status that new clients get: 404, 453, 500 ...; 0 serves them
	RefuseAt string `json:"refuse_at"` // DESCRIBE, SETUP or PLAY; empty: SETUP for 453, else DESCRIBE

	MaxSessions int   `json:"max_sessions"`  // 453 at SETUP above that; 0 means no limit
	HoldSlotMs  int64 `json:"hold_slot_ms"`  // how long a session that ended without TEARDOWN still counts
	InsideMs    int64 `json:"inside_ms"`     // pictures leave so much later than they were taken, as its RTCP reports say
	NTPOffsetMs int64 `json:"ntp_offset_ms"` // how far the camera's wall clock is ahead, as its RTCP reports say

	StrictAlive      bool   `json:"strict_alive"`       // only RTSP requests keep a session, RTCP does not
	AliveMethod      string `json:"alive_method"`       // the only keepalive that counts, OPTIONS or GET_PARAMETER; empty: both
	AliveStatus      int    `json:"alive_status"`       // answer to keepalives that do not count, to all with empty AliveMethod; 0 means 200
	AliveMute        bool   `json:"alive_mute"`         // keepalives are never answered
	HideGetParameter bool   `json:"hide_get_parameter"` // GET_PARAMETER is not in the list of what the camera knows
	NonceLifeMs      int64  `json:"nonce_life_ms"`      // a Digest login grows stale after so long; 0 means never
	BasicOnly        bool   `json:"basic_only"`         // asks for the password in the clear, whatever it asked for before

	Bloat       float64 `json:"bloat"`        // pictures are blown up to so many times their size; 0 and 1 leave them
	SoundJitter int64   `json:"sound_jitter"` // timestamps of sound lie up to so many ms beside where they belong, at random

	TalkRefuse int  `json:"talk_refuse"` // status of the answer to whoever requires the back channel, as 551; 0 takes it
	TalkAlways bool `json:"talk_always"` // the loudspeaker is offered to who does not require it, too

	// Faults of replaying the card. Without them it is served as ONVIF has it, as fast as the client asks for.
	ArchiveRefuse   int     `json:"archive_refuse"`    // status of the answer to ArchiveRefuseAt; 0 serves it
	ArchiveRefuseAt string  `json:"archive_refuse_at"` // DESCRIBE, SETUP or PLAY
	ArchiveLive     bool    `json:"archive_live"`      // ignores Range and plays what is filmed from now on
	ArchiveShiftMs  int64   `json:"archive_shift_ms"`  // says that its frames were filmed so much later than they were
	ArchiveEndMs    int64   `json:"archive_end_ms"`    // hangs up after so much footage
	ArchiveHoleMs   int64   `json:"archive_hole_ms"`   // lacks so much footage after ten seconds, and every 20 s
	ArchivePace     float64 `json:"archive_pace"`      // plays so many times as fast as it was filmed, whatever is asked; 0: as asked
	ArchivePlain    bool    `json:"archive_plain"`     // no ONVIF: refuses what is required, and times are told by Range and RTP-Info alone
	ArchiveTimeless bool    `json:"archive_timeless"`  // nor by these
}

// Validate reports every fault of k.
func (k Knobs) Validate() error {
	var errs []error
	for name, v := range map[string]float64{"loss_percent": k.LossPercent, "garble_percent": k.Garble} {
		if v < 0 || v > 100 {
			errs = append(errs, fmt.Errorf("%s: %v is not within 0 and 100", name, v))
		}
	}
	for name, v := range map[string]int64{
		"slow_start_ms": k.SlowStartMs, "hold_slot_ms": k.HoldSlotMs, "max_sessions": int64(k.MaxSessions),
		"nonce_life_ms": k.NonceLifeMs, "sound_jitter": k.SoundJitter, "archive_end_ms": k.ArchiveEndMs, "archive_hole_ms": k.ArchiveHoleMs,
	} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative", name, v))
		}
	}
	for name, v := range map[string]int{"refuse": k.Refuse, "alive_status": k.AliveStatus, "archive_refuse": k.ArchiveRefuse, "talk_refuse": k.TalkRefuse} {
		if v != 0 && (v < 300 || v > 599) {
			errs = append(errs, fmt.Errorf("%s: %d is no RTSP error status; use 300 to 599, or 0 for none", name, v))
		}
	}
	if !slices.Contains([]string{"", "DESCRIBE", "SETUP", "PLAY"}, k.RefuseAt) {
		errs = append(errs, fmt.Errorf("refuse_at: %q; use DESCRIBE, SETUP or PLAY", k.RefuseAt))
	}
	if k.ArchiveRefuse != 0 && !slices.Contains([]string{"DESCRIBE", "SETUP", "PLAY"}, k.ArchiveRefuseAt) {
		errs = append(errs, fmt.Errorf("archive_refuse_at: %q; use DESCRIBE, SETUP or PLAY", k.ArchiveRefuseAt))
	}
	if !slices.Contains([]string{"", "OPTIONS", "GET_PARAMETER"}, k.AliveMethod) {
		errs = append(errs, fmt.Errorf("alive_method: %q; use OPTIONS or GET_PARAMETER", k.AliveMethod))
	}
	if k.Bloat < 0 || k.Bloat > 1000 {
		errs = append(errs, fmt.Errorf("bloat: %v is not within 0 and 1000", k.Bloat))
	}
	return errors.Join(errs...)
}

// refusesAt is the method that Refuse answers.
func (k Knobs) refusesAt() string {
	switch {
	case k.RefuseAt != "":
		return k.RefuseAt
	case k.Refuse == 453:
		return "SETUP"
	}
	return "DESCRIBE"
}

// mute says that no frames go out at all.
func (k Knobs) mute() bool { return k.Offline || k.Silent || k.Stall }

func (k Knobs) slowStart() time.Duration { return time.Duration(k.SlowStartMs) * time.Millisecond }
