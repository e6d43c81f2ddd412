// Package scrub is the room that looks again at what lies on the disk: soon after the start whether every file is there
// and known to the ledger, which the start itself does not wait for, then slowly and for ever whether every byte is what
// was written.
//
// It promises that it takes little of the disk (one folder of names at a time, a bounded rate of bytes), that a file that
// is gone is declared lost where that is a matter of single files, and that what it finds is said as the condition
// "scrub" until it is mended. It never deletes a file, never repairs one, and takes nothing for lost while its volume is
// away.
package scrub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds what the room takes of the disk. Zero values are filled in.
type Config struct {
	Rate  int64         // bytes a second that are read again; 0 means 2 MB
	First time.Duration // after the start: first everything records; 0 means 15 seconds
	Pause time.Duration // between two folders of names; 0 means 200 ms
	Again time.Duration // until all names are looked at again; 0 means a day
	Doubt time.Duration // until a file that nobody knows is looked at again before it counts; 0 means ten minutes
	Most  int           // files that may be declared lost in one pass; more are only reported; 0 means 100
}

func (c *Config) fill() {
	if c.Rate == 0 {
		c.Rate = 2_000_000
	}
	if c.First == 0 {
		c.First = 15 * time.Second
	}
	if c.Pause == 0 {
		c.Pause = 200 * time.Millisecond
	}
	if c.Again == 0 {
		c.Again = 24 * time.Hour
	}
	if c.Doubt == 0 {
		c.Doubt = 10 * time.Minute
	}
	if c.Most == 0 {
		c.Most = 100
	}
}

// Floors is what the room stands on.
type Floors struct {
	Ledger *ledger.Ledger
	Disk   *disk.Disk
	Board  *health.Board
	Log    *slog.Logger
}

// Scrubber looks. Its Run is its only goroutine.
type Scrubber struct {
	cfg Config
	Floors

	memory  memory
	kept    time.Time           // when it was noted last
	missing int                 // files gone at the last pass that were not declared lost
	strays  map[disk.Found]bool // files that nobody knows, and whether that was so the time before
}

// memory is what survives a restart.
type memory struct {
	At     uint64   `json:"at"`     // the segment that was read last
	Damage []damage `json:"damage"` // newest last
}

// damage is a segment whose bytes are not what was written.
type damage struct {
	Segment uint64    `json:"segment"`
	Volume  string    `json:"volume"`
	Stream  id.Stream `json:"stream"`
	StartUs int64     `json:"start_us"`
	EndUs   int64     `json:"end_us"`
	What    string    `json:"what"`
}

const (
	metaName   = "scrub"
	mostDamage = 200 // that is remembered: where there is more the disk is to be replaced, not listed
)

// New prepares a scrubber.
func New(cfg Config, on Floors) *Scrubber {
	cfg.fill()
	return &Scrubber{cfg: cfg, Floors: on, strays: map[disk.Found]bool{}}
}

// Run looks until ctx ends. It returns an error only when the ledger fails.
func (s *Scrubber) Run(ctx context.Context) error {
	err := s.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("look again at what was recorded: %w", err)
}

func (s *Scrubber) run(ctx context.Context) error {
	text, err := s.Ledger.Meta(ctx, metaName)
	if err != nil {
		return err
	}
	if text != "" && json.Unmarshal([]byte(text), &s.memory) != nil {
		s.memory = memory{} // it only saves work
	}
	if err := backoff.Sleep(ctx, s.cfg.First); err != nil {
		return err
	}
	if err := s.account(ctx); err != nil {
		return err
	}
	due := time.Now()
	for {
		if wait := time.Until(due); wait <= 0 {
			doubt, err := s.names(ctx)
			if err != nil {
				return err
			}
			due = time.Now().Add(s.cfg.Again)
			if doubt {
				due = time.Now().Add(min(s.cfg.Doubt, s.cfg.Again))
			}
			s.report()
		}
		if err := s.bytes(ctx, due); err != nil {
			return err
		}
		s.report()
	}
}

// account has the ledger looked through for damage, which a start does only as far as a second goes.
func (s *Scrubber) account(ctx context.Context) error {
	err := s.Ledger.QuickCheck(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.Log.Error("the ledger is damaged", "error", err)
	}
	if s.Board == nil {
		return nil
	}
	c := health.Condition{Name: "ledger", State: wire.OK}
	if err != nil {
		c.State, c.Text = wire.Failing, "The site's ledger is damaged. Recording goes on, but stop the agent soon and run  holdfast-agent check --rebuild"
	}
	s.Board.Set(c)
	return nil
}

// report sets the condition.
func (s *Scrubber) report() {
	if s.Board == nil {
		return
	}
	var faults []string
	unknown := 0
	for _, sure := range s.strays {
		if sure {
			unknown++
		}
	}
	if s.missing > 0 {
		faults = append(faults, fmt.Sprintf("%d files of recorded video are gone from the disk. Was a folder moved or deleted? If they are gone for good, "+
			"stop the agent and run  holdfast-agent check --repair", s.missing))
	}
	if n := len(s.memory.Damage); n > 0 {
		d := s.memory.Damage[n-1]
		faults = append(faults, fmt.Sprintf("the disk has damaged %d segments, the last that was found is of camera %s, %s to %s UTC. Check the disk, and replace it "+
			"if there are more", n, d.Stream.Camera, clock(d.StartUs, time.DateTime), clock(d.EndUs, time.TimeOnly)))
	}
	if unknown > 0 {
		faults = append(faults, fmt.Sprintf("%d files of video are in no account. To take them in, stop the agent and run  holdfast-agent check --repair", unknown))
	}
	c := health.Condition{Name: "scrub", State: wire.OK}
	if len(faults) > 0 {
		text := strings.Join(faults, "; ")
		c.State, c.Text = wire.Failing, strings.ToUpper(text[:1])+text[1:]+"."
	}
	s.Board.Set(c)
}

func clock(us int64, layout string) string { return time.UnixMicro(us).UTC().Format(layout) }
