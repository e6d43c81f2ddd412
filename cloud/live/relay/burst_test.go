package relay

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/netcut"
)

// TestABurstTooLargeForTheViewersLine has a camera whose group of pictures is a megabyte, and a viewer behind a line of 2 Mbit/s: it
// sees a picture, then the small stream, and next to nothing is lost. Another viewer sees all.
func TestABurstTooLargeForTheViewersLine(t *testing.T) {
	s := newSite(t)
	s.group, s.fill = 500, 1000
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	wide := watch(t, c, s, camera)
	wide.seen(300) // of the newest group
	way, err := netcut.NewUDP("127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", c.Port()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = way.Run(ctx) }) // it returns nil
	defer running.Wait()
	defer cancel()
	way.Delay(20 * time.Millisecond)
	way.Cap(250_000)
	way.Hold(200)
	began := time.Now()
	w := connectOver(t, c, s, wire.LiveOffer{Camera: camera, Codecs: []string{"h264"}},
		func(sdp string) string { return regexp.MustCompile("a=candidate:[^\r]*\r\n").ReplaceAllString(sdp, "") },
		func(sdp string) string {
			_, port, _ := net.SplitHostPort(way.Addr())
			return strings.ReplaceAll(sdp, fmt.Sprintf(" 127.0.0.1 %d ", c.Port()), " 127.0.0.1 "+port+" ")
		})
	first := w.seen(1)[0].at
	w.note("note", func(n rtc.Note) bool { return strings.Contains(n.Text, "small stream") })
	// The small stream's numbers begin anew.
	eventually.True(t, "the small stream", func() bool {
		all := w.all()
		return all[len(all)-1].number < all[0].number+50 && all[len(all)-1].at.After(first.Add(100*time.Millisecond))
	})
	all := w.all()
	fmt.Printf("relay_narrow_first_picture: %d ms\nrelay_narrow_lost: %d packets\n", first.Sub(began).Milliseconds(), way.Stats().Full)
	if took := first.Sub(began); took > 3*time.Second || !all[0].key {
		t.Errorf("the first picture, key frame: %v, came after %v", all[0].key, took)
	}
	if n := way.Stats().Full; n > 200 {
		t.Errorf("%d packets found no room on the line", n)
	}
	assertWhole(t, wide.all())
}
