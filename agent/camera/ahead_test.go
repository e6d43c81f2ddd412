package camera

import (
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestAheadIsPulledWhileNobodyReads has somebody look at a camera: its small stream comes, stays for a time and goes. A device that
// has refused a session is left alone, and so is one whose limit is configured.
func TestAheadIsPulledWhileNobodyReads(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{camera: fakecam.CameraConfig{Main: "shop/main", Sub: "shop/sub"}})
	r.watch(id.Main).frames(1)
	sub := id.Stream{Camera: r.id, Kind: id.Sub}
	s := r.room.streams[sub]
	if s.always {
		t.Fatal("the small stream is recorded here: nothing is to be pulled ahead")
	}
	comes := func() bool { _, brk := s.hub.State(); return brk == nil && r.cam.Sessions() == 2 }
	r.room.Ahead(sub)
	r.room.Ahead(id.Stream{Camera: id.New[id.Camera](), Kind: id.Sub}) // nothing
	eventually.True(t, "the small stream", comes)
	if left, _ := s.early(); left < aheadFor/2 || left > aheadFor {
		t.Errorf("it is pulled for another %v", left)
	}
	s.mu.Lock()
	s.aheadUntil = time.Now() // a minute later
	s.mu.Unlock()
	s.ahead <- struct{}{}
	eventually.True(t, "it to be let go", func() bool { return r.cam.Sessions() == 1 })

	r.room.Ahead(sub)
	eventually.True(t, "the small stream once more", comes)
	device := s.taps[0].source.device()
	slot, err := r.room.budget.take(t.Context(), device, watching, 0, func(failure) {})
	if err != nil {
		t.Fatal(err)
	}
	slot.refuse(0)
	slot.release()
	eventually.True(t, "it to give way", func() bool { return r.cam.Sessions() == 1 })
	r.room.Ahead(sub)
	if left, _ := s.early(); left > 0 {
		t.Error("it is pulled ahead at a device that has refused a session")
	}
	b := newBudget(map[string]int{"nvr": 8})
	if b.spares("nvr") || !b.spares("another") {
		t.Error("a device with a limit has sessions to spare, or one that nothing is known of has none")
	}
}
