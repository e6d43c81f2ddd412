package fakecam_test

import (
	"testing"
	"time"

	"holdfast/testenv/fakecam"
)

// TestACameraWithoutItsCableGoesOnFilming: nobody can reach it, its log and its card go on, and its clocks stay.
func TestACameraWithoutItsCableGoesOnFilming(t *testing.T) {
	cam := one(t, fakecam.CameraConfig{Card: time.Minute})
	v := watch(t, cam.URL("main"), tcp())
	v.atLeast(t, 10)
	turn(t, cam, func(k *fakecam.Knobs) { k.Unplugged = true })
	if _, err := dial(cam.URL("main"), tcp()); err == nil {
		t.Error("a camera without its cable was reached")
	}
	from := cam.Main().Sent()
	for end := time.Now().Add(patience); cam.Main().Sent() < from+50; {
		if time.Now().After(end) {
			t.Fatal("it does not go on filming")
		}
		<-time.After(10 * time.Millisecond)
	}
	unsent := 0
	for _, e := range cam.Main().Log(from+1, from+40) {
		if e.Unsent {
			unsent++
		}
	}
	if unsent != 40 {
		t.Errorf("%d of 40 frames are in the log as filmed only", unsent)
	}
	turn(t, cam, func(k *fakecam.Knobs) { k.Unplugged = false })
	again := watch(t, cam.URL("main"), tcp())
	again.atLeast(t, 10)
	if first := again.got()[0].Frame; first <= from+40 {
		t.Errorf("the live stream goes on with frame %d", first)
	}
}
