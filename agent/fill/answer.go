package fill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/shared/id"
)

// try is what became of one gap. It is kept in the ledger, so that after a restart nobody is asked again who has said
// that he has nothing.
type try struct {
	AtUs  int64             `json:"at_us"` // wall time of the last offer
	Fails int               `json:"fails"` // offers in a row that failed
	Busy  bool              `json:"busy,omitempty"`
	Final map[string]bool   `json:"final,omitempty"` // sources that have nothing more
	Said  map[string]string `json:"said"`            // by source, for a person
	Order []string          `json:"order"`           // in which they were asked first
}

// verdict is what one source made of a gap.
type verdict struct {
	asked       bool
	wanted, got int64 // µs
	err         error
}

// isFinal says whether a source has nothing more of some gaps.
func (f *Filler) isFinal(gaps []int64, source string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(gaps, func(gap int64) bool { return f.tries[gap] == nil || !f.tries[gap].Final[source] })
}

// longestWait bounds the time between two offers of a gap.
const longestWait = 12 * time.Hour

// due says whether one of some gaps is to be offered now.
func (f *Filler) due(gaps []int64, offers int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(gaps, func(gap int64) bool {
		t := f.tries[gap]
		if t == nil {
			return true
		}
		wait := f.cfg.Retry
		if t.Busy {
			wait /= 6
		} else {
			wait = min(wait<<min(max(t.Fails-1, 0), 8), max(longestWait, wait))
		}
		return len(t.Final) < offers && f.Clock.Now()-t.AtUs >= wait.Microseconds()
	})
}

// note remembers what a source made of some gaps.
func (f *Filler) note(gaps []int64, source string, v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, gap := range gaps {
		t := f.tries[gap]
		if t == nil {
			t = &try{Final: map[string]bool{}, Said: map[string]string{}}
			f.tries[gap] = t
		}
		if !slices.Contains(t.Order, source) {
			t.Order = append(t.Order, source)
		}
		t.Said[source] = v.inWords()
		t.AtUs, t.Busy = f.Clock.Now(), errors.Is(v.err, ErrBusy)
		if !v.asked || v.err == nil || errors.Is(v.err, ErrNothing) {
			t.Final[source] = true
		} else if !t.Busy {
			t.Fails++
		}
	}
}

func (v *verdict) inWords() string {
	gave := fmt.Sprintf("gave %.0f of %.0f seconds.", float64(v.got)/1e6, float64(v.wanted)/1e6)
	switch {
	case !v.asked:
		return "does not go back that far."
	case v.err == nil:
		return gave
	case v.got == 0:
		return v.err.Error()
	}
	return gave + " " + v.err.Error()
}

// Answer says for a gap, in words, which sources were asked and what they answered; empty when it was not offered yet.
func (f *Filler) Answer(gap int64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cfg.Offers) == 0 {
		return "There is no other source of footage at this site."
	}
	t := f.tries[gap]
	if t == nil {
		return ""
	}
	out := ""
	for _, name := range t.Order {
		if out != "" {
			out += " "
		}
		out += name + ": " + t.Said[name]
	}
	return out
}

// Asks says whether a stream has sources besides the agent.
func (f *Filler) Asks(stream id.Stream) bool { return len(f.cfg.Offers[stream]) > 0 }

const (
	metaTries = "fill_tries"
	metaToday = "fill_today"
	mostTries = 1000 // that are kept; those of the newest gaps
)

// recall reads what earlier runs kept.
func (f *Filler) recall(ctx context.Context) error {
	if f.recalled {
		return nil
	}
	text, err := f.Ledger.Meta(ctx, metaTries)
	if err != nil {
		return err
	}
	kept := map[int64]*try{}
	if text != "" && json.Unmarshal([]byte(text), &kept) != nil {
		kept = nil // of another version: all is asked once more
	}
	today := day{}
	if text, err = f.Ledger.Meta(ctx, metaToday); err != nil {
		return err
	}
	if text != "" && json.Unmarshal([]byte(text), &today) != nil {
		today = day{} // it is only shown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.today = today
	for gap, t := range kept {
		if t == nil {
			continue
		}
		if t.Final == nil {
			t.Final = map[string]bool{}
		}
		if t.Said == nil {
			t.Said = map[string]string{}
		}
		f.tries[gap] = t
	}
	f.recalled = true
	return nil
}

// keep writes down what is known.
func (f *Filler) keep(ctx context.Context) error {
	f.mu.Lock()
	gaps := slices.Sorted(maps.Keys(f.tries))
	kept := map[int64]*try{}
	for _, gap := range gaps[max(0, len(gaps)-mostTries):] {
		kept[gap] = f.tries[gap]
	}
	text, err := json.Marshal(kept)
	today, _ := json.Marshal(f.today) // a text and a number: it never fails
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("keep answers: %w", err)
	}
	if err := f.Ledger.SetMeta(ctx, metaToday, string(today)); err != nil {
		return err
	}
	return f.Ledger.SetMeta(ctx, metaTries, string(text))
}

// forget drops what is known of gaps that were too long ago. What is filled is remembered as long: when retention takes
// it away for want of room, the gap shows again, and is not fetched to be deleted once more.
func (f *Filler) forget(ctx context.Context, seen map[int64]bool) error {
	f.mu.Lock()
	before, oldest := len(f.tries), f.Clock.Now()-f.cfg.Back.Microseconds()
	maps.DeleteFunc(f.tries, func(gap int64, t *try) bool { return !seen[gap] && t.AtUs < oldest })
	after := len(f.tries)
	f.mu.Unlock()
	if before == after {
		return nil
	}
	return f.keep(ctx)
}
