package access

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"holdfast/shared/id"
)

// TurnFor is how long a camera stays with who moved it last.
const TurnFor = 15 * time.Second

// Turn is the time in which one person moves a camera, and nobody else may.
type Turn struct {
	Person id.Person
	Name   string
	Role   Role
	Number int64 // rises from turn to turn, over restarts too
	Until  time.Time
}

// Turns knows whose turn it is with each camera. It is the only place that knows, and keeps it in memory: a restart ends every
// turn, and cameras that move stop by themselves. Safe for concurrent use.
type Turns struct {
	now    func() time.Time
	begins chan struct{} // one turn begins at a time: what is noted of it is there before anybody can move the camera in it

	mu   sync.Mutex
	by   map[id.Camera]Turn
	last int64
}

// NewTurns returns Turns of which there are none; now is the clock.
func NewTurns(now func() time.Time) *Turns {
	return &Turns{now: now, begins: make(chan struct{}, 1), by: map[id.Camera]Turn{}}
}

// TurnError says that somebody else moves a camera.
type TurnError struct {
	Turn Turn
	Left time.Duration // until it is free
	May  bool          // who asked may take it over
}

// Error says who moves it and until when.
func (e *TurnError) Error() string {
	text := fmt.Sprintf("%s moves this camera. It is free in %d s.", e.Turn.Name, int(math.Ceil(e.Left.Seconds())))
	if e.May {
		text += " You may take it over."
	}
	return text
}

// Refusal returns the code and the text for a person.
func (e *TurnError) Refusal() (code, text string) { return "conflict", e.Error() }

// rank says whose role is higher: an owner may take a camera over from a manager, and both from a viewer.
func (r Role) rank() int {
	return map[Role]int{Owner: 3, Manager: 2, Viewer: 1}[r]
}

// Take makes it an actor's turn with a camera, or makes the turn that the actor has last longer. over takes it from somebody with
// a lower role. A turn begins once note has returned without an error, and until then all is as it was: note is told from whom
// it is taken, the empty Turn for a camera that was free. The error is a *TurnError when it is somebody else's turn, and that of
// note or ctx. Whether the actor may move the camera at all is not asked here.
func (t *Turns) Take(ctx context.Context, who Actor, camera id.Camera, over bool, note func(from Turn) error) (Turn, error) {
	if turn, mine, err := t.goOn(who, camera, over); mine || err != nil {
		return turn, err
	}
	select {
	case t.begins <- struct{}{}:
		defer func() { <-t.begins }()
	case <-ctx.Done():
		return Turn{}, ctx.Err()
	}
	from, mine, err := t.goOn(who, camera, over) // it may have begun while others were waited for
	if mine || err != nil {
		return from, err
	}
	if err := note(from); err != nil {
		return Turn{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.last = max(t.last+1, now.UnixMicro())
	turn := Turn{Person: who.Person, Name: who.Name, Role: who.Role, Number: t.last, Until: now.Add(TurnFor)}
	t.by[camera] = turn
	return turn, nil
}

// goOn makes the turn that an actor has last longer, if there is one. Else it returns whose turn is taken, or why it can't be.
func (t *Turns) goOn(who Actor, camera id.Camera, over bool) (turn Turn, mine bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	held, taken := t.held(camera, now)
	if !taken {
		return Turn{}, false, nil
	}
	if held.Person == who.Person {
		held.Name, held.Role, held.Until = who.Name, who.Role, now.Add(TurnFor)
		t.by[camera] = held
		return held, true, nil
	}
	if may := held.May(who); !may || !over {
		return Turn{}, false, &TurnError{Turn: held, Left: held.Until.Sub(now), May: may}
	}
	return held, false, nil
}

// Of returns whose turn it is with a camera; false: nobody's.
func (t *Turns) Of(camera id.Camera) (Turn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held(camera, t.now())
}

// May says whether an actor may take a camera over from who has it.
func (t Turn) May(who Actor) bool { return who.Role.rank() > t.Role.rank() }

// End ends an actor's turn with a camera, and says whether there was one.
func (t *Turns) End(who Actor, camera id.Camera) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	held, taken := t.held(camera, t.now())
	if taken && held.Person == who.Person {
		delete(t.by, camera)
		return true
	}
	return false
}

// held returns the turn that is not over, and forgets one that is; the caller holds the lock.
func (t *Turns) held(camera id.Camera, now time.Time) (Turn, bool) {
	held, known := t.by[camera]
	if known && !held.Until.After(now) {
		delete(t.by, camera)
		return Turn{}, false
	}
	return held, known
}
