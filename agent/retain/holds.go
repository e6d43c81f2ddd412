package retain

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Hold is a range of a camera that nothing deletes.
type Hold struct {
	wire.HoldDesire
	Site    bool  `json:"site,omitempty"`    // made at the site, not by the cloud
	MadeUs  int64 `json:"made_us"`           // when it came
	Refused bool  `json:"refused,omitempty"` // above the cap: it protects nothing
	Ended   bool  `json:"ended,omitempty"`   // its time is over: it protects nothing any more
}

// Holds is the list of a site's holds. It is a file of its own beside the ledger, so that what is held stays while
// the ledger can't be opened, and when it has to be rebuilt. Safe for concurrent use.
type Holds struct {
	path string

	mu      sync.Mutex
	all     []Hold
	version int64
	active  map[id.Camera][]span // what is held, merged and in order
}

// span is [from, to) in microseconds since 1970.
type span struct{ from, to int64 }

// OpenHolds reads the list; a file that is missing is an empty list. A damaged one is an error: without it nobody
// knows what may be deleted.
func OpenHolds(path string) (*Holds, error) {
	h := &Holds{path: path}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the list of holds: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(text, &h.all); err != nil {
			return nil, fmt.Errorf("%s is damaged (%w): restore it from a backup; if nobody needs a hold of this site any more, delete it", path, err)
		}
	}
	h.changed()
	return h, nil
}

// All returns the holds in the order in which they came.
func (h *Holds) All() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// Version changes with every change of the list.
func (h *Holds) Version() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.version
}

// Replace makes the list durable and puts it in force. The order of both matters: what is held is held before
// anybody is told so, and after a failure what was held before still is.
func (h *Holds) Replace(all []Hold) error {
	text, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = atomicfile.Write(h.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the list of holds: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = slices.Clone(all)
	h.changed()
	return nil
}

func (h *Holds) changed() {
	h.version++
	h.active = map[id.Camera][]span{}
	for _, hold := range h.all {
		if !hold.Refused && !hold.Ended {
			h.active[hold.Camera] = append(h.active[hold.Camera], span{hold.StartUs, hold.EndUs})
		}
	}
	for cam, spans := range h.active {
		h.active[cam] = merged(spans)
	}
}

// merged returns ranges in order, with those that overlap or abut as one.
func merged(spans []span) (out []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Cover says whether a hold that is in force overlaps [startUs, endUs) of a camera.
func (h *Holds) Cover(cam id.Camera, startUs, endUs int64) bool {
	for _, held := range h.of(cam) {
		if held.from < endUs && startUs < held.to {
			return true
		}
	}
	return false
}

// Between returns what of a camera's time up to toUs is not held, in order.
func (h *Holds) Between(cam id.Camera, toUs int64) (out []span) {
	var at int64
	for _, held := range h.of(cam) {
		if held.from >= toUs {
			break
		}
		if held.from > at {
			out = append(out, span{at, held.from})
		}
		at = max(at, held.to)
	}
	if at < toUs {
		out = append(out, span{at, toUs})
	}
	return out
}

// of returns the ranges of a camera that are held.
func (h *Holds) of(cam id.Camera) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active[cam]
}
