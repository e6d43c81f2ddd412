package access_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// TestTurns: a camera is its mover's for a while; a higher role takes it, an equal one waits.
func TestTurns(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	turns := access.NewTurns(func() time.Time { return now })
	cam, other := id.New[id.Camera](), id.New[id.Camera]()
	person := func(name string, role access.Role) access.Actor {
		return access.Actor{Person: id.New[id.Person](), Name: name, Role: role}
	}
	vic, vera := person("Vic", access.Viewer), person("Vera", access.Viewer)
	mara, olga, otto := person("Mara", access.Manager), person("Olga", access.Owner), person("Otto", access.Owner)
	takes := func(who access.Actor, over bool, fresh bool, from string) access.Turn {
		t.Helper()
		isFresh, was := false, access.Turn{}
		turn, err := turns.Take(t.Context(), who, cam, over, func(from access.Turn) error { isFresh, was = true, from; return nil })
		if err != nil || isFresh != fresh || was.Name != from || turn.Person != who.Person {
			t.Fatalf("%s takes it: %+v, fresh %t, from %q, %v", who.Name, turn, isFresh, was.Name, err)
		}
		return turn
	}
	waits := func(who access.Actor, over, may bool, words string) {
		t.Helper()
		var held *access.TurnError
		_, err := turns.Take(t.Context(), who, cam, over, func(access.Turn) error { t.Error("a turn begins that does not"); return nil })
		if !errors.As(err, &held) || held.May != may || !strings.Contains(err.Error(), words) {
			t.Fatalf("%s: %v", who.Name, err)
		}
	}
	first := takes(vic, false, true, "")
	now = now.Add(10 * time.Second)
	if again := takes(vic, false, false, ""); again.Number != first.Number || again.Until.Sub(now) != access.TurnFor {
		t.Errorf("his next move made another turn: %+v", again)
	}
	now = now.Add(2500 * time.Millisecond)
	waits(vera, false, false, "Vic moves this camera. It is free in 13 s.")
	waits(vera, true, false, "Vic moves")
	waits(mara, false, true, "You may take it over.")
	if _, err := turns.Take(t.Context(), vera, other, false, func(access.Turn) error { return nil }); err != nil {
		t.Errorf("another camera: %v", err)
	}
	second := takes(mara, true, true, "Vic")
	if second.Number <= first.Number {
		t.Errorf("turn %d comes after %d", second.Number, first.Number)
	}
	waits(vic, true, false, "Mara moves")
	takes(olga, true, true, "Mara")
	waits(otto, true, false, "Olga moves")
	if turns.End(otto, cam) || !turns.End(olga, cam) || turns.End(olga, cam) {
		t.Error("a turn is ended by somebody else, or twice, or not at all")
	}
	takes(vic, false, true, "")
	now = now.Add(access.TurnFor)
	if held, taken := turns.Of(cam); taken {
		t.Errorf("it is still %+v", held)
	}
	now = now.Add(-time.Hour) // the clock was set back
	if third := takes(vera, false, true, ""); third.Number <= second.Number {
		t.Errorf("turn %d comes after %d", third.Number, second.Number)
	}
}

// TestATurnBeginsWhenItIsNoted: until then the camera is whose it was, and stays so where that fails; a second order waits.
func TestATurnBeginsWhenItIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, cam := access.NewTurns(time.Now), id.New[id.Camera]()
		vic := access.Actor{Person: id.New[id.Person](), Name: "Vic", Role: access.Viewer}
		mara := access.Actor{Person: id.New[id.Person](), Name: "Mara", Role: access.Manager}
		holds := func(want string) {
			t.Helper()
			if held, _ := turns.Of(cam); held.Name != want {
				t.Errorf("it is the turn of %q, want %q", held.Name, want)
			}
		}
		noted := 0
		written := make(chan error)
		taken := make(chan access.Turn, 2)
		take := func(who access.Actor) {
			turn, err := turns.Take(t.Context(), who, cam, true, func(access.Turn) error { noted++; return <-written })
			if err == nil {
				taken <- turn
			}
		}
		for range 2 {
			go take(vic)
			synctest.Wait()
			holds("")
		}
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.Take(impatient, vic, cam, false, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("who does not wait: %v", err)
		}
		written <- nil
		if a, b := <-taken, <-taken; a.Number != b.Number || noted != 1 {
			t.Errorf("two orders of one turn are of turns %d and %d, and %d were noted", a.Number, b.Number, noted)
		}
		go take(mara)
		synctest.Wait()
		holds("Vic")
		written <- errors.New("the database is away")
		synctest.Wait()
		holds("Vic")
	})
}
