package health

import (
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

func TestBoardKeepsSinceAndSaysChangesOnce(t *testing.T) {
	now := int64(100)
	var said []Condition
	b := NewBoard(func() int64 { return now }, func(c Condition) { said = append(said, c) })
	changed := b.Changed()
	b.Set(Condition{Name: "disk", State: wire.OK})
	<-changed
	now = 200
	b.Set(Condition{Name: "disk", State: wire.OK})
	if len(said) != 1 {
		t.Fatalf("said %d changes, want 1", len(said))
	}
	b.Set(Condition{Name: "disk", State: wire.Failing, Reason: wire.DiskFailed, Text: "one"})
	now = 300
	b.Set(Condition{Name: "disk", State: wire.Failing, Reason: wire.DiskFailed, Text: "two"})
	got := b.Conditions()
	if len(got) != 1 || got[0].SinceUs != 200 || got[0].Text != "two" || len(said) != 3 {
		t.Fatalf("conditions %+v after %d changes", got, len(said))
	}
}

func TestConditionsPutFailingFirst(t *testing.T) {
	b := NewBoard(func() int64 { return 1 }, nil)
	cam := id.New[id.Camera]()
	b.Set(Condition{Name: "a", State: wire.OK})
	b.Set(Condition{Name: "stream", Camera: cam, Kind: "sub", State: wire.Failing})
	b.Set(Condition{Name: "stream", Camera: cam, Kind: "main", State: wire.Failing})
	got := b.Conditions()
	if got[0].Kind != "main" || got[1].Kind != "sub" || got[2].Name != "a" {
		t.Fatalf("order %+v", got)
	}
	b.Drop("stream", cam, "main")
	if got = b.Conditions(); len(got) != 2 || got[0].Kind != "sub" {
		t.Fatalf("after Drop %+v", got)
	}
}
