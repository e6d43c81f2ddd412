package line_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/agent/pace"
	"holdfast/agent/uplink"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
	"holdfast/testenv/netcut"
)

// narrow is an agent behind a capped line that has more to send than fits.
type narrow struct {
	*rig
	me   uplink.Identity
	up   *uplink.Uplink
	pace *pace.Pace
	way  *netcut.Proxy
}

// behind returns an agent whose budget has this plan, on a line of rate bytes a second (0: no limit).
func behind(t *testing.T, rate int64, plan pace.Plan, beat time.Duration) *narrow {
	t.Helper()
	n := &narrow{rig: newRig(t, line.Beating(beat)), pace: pace.New(plan)}
	var err error
	n.way, err = netcut.New("127.0.0.1:0", n.URL[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	n.me = n.over("http://" + n.way.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	run := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	n.up, err = uplink.New(uplink.Config{Retry: backoff.Policy{Min: 10 * time.Millisecond, Cap: 50 * time.Millisecond}}, n.me, n.pace, uplink.Deps{
		Hello: func() wire.Hello { return wire.Hello{Epoch: "e1", OS: "linux/amd64", Host: "till-3", Run: 7} },
		Heartbeat: func(bool) wire.Heartbeat { // as of a site with ten cameras
			b := wire.Heartbeat{}
			for range 10 {
				b.Cameras = append(b.Cameras, wire.CameraState{
					Camera: id.New[id.Camera](), Streams: []wire.StreamState{{Kind: id.Main, Codec: "avc1.64001f", Width: 1920, Height: 1080, FPS: 15, Kbps: 2048}},
				})
			}
			return b
		},
		Command: func(context.Context, wire.Command) (any, []byte, error) { return struct{}{}, noise(200_000), nil },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(n.way.Run)
	run(n.pace.Run)
	run(n.up.Run)
	t.Cleanup(func() { cancel(); running.Wait() })
	line.Get(t, n.Opened, "session")
	n.way.Cap(rate)
	return n
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// load keeps facts of both lanes, a clip and stills waiting until ctx ends; what is on its way then ends with under.
func (n *narrow) load(ctx, under context.Context) (wait func()) {
	var running sync.WaitGroup
	for queue, lane := range []wire.Lane{wire.Urgent, wire.Backlog} {
		running.Go(func() {
			for seq := int64(1); ctx.Err() == nil; seq++ {
				body, _ := json.Marshal(noise(30_000))
				_, _ = n.up.SendBatch(under, wire.Batch{
					Epoch: "e1", Queue: int64(queue + 1), Lane: lane, Facts: []wire.Fact{{Seq: seq, Kind: wire.KindRun, Body: body}},
				})
			}
		})
	}
	running.Go(func() {
		part := noise(1 << 20)
		sum := sha256.Sum256(part)
		for i := 1; ctx.Err() == nil; i++ {
			plan := wire.PartPlan{Number: 1, URL: wire.PathClips + string(id.New[id.Clip]()) + "/parts/1"}
			_, _ = n.up.PutPart(under, plan, bytes.NewReader(part), int64(len(part)), sum)
		}
	})
	running.Go(func() {
		for ctx.Err() == nil {
			_, _, _ = n.Gateway().Command(under, n.me.Agent, wire.CmdStill, wire.StillOrder{})
		}
	})
	return running.Wait
}

// delays returns how long each of the heartbeats of a time took from the agent's clock to the cloud.
func (n *narrow) delays(ctx context.Context) []time.Duration {
	var all []time.Duration
	for {
		select {
		case b := <-n.Beats:
			all = append(all, time.Since(time.UnixMicro(b.WallUs)))
		case <-ctx.Done():
			slices.Sort(all)
			return all
		}
	}
}

// TestHeartbeatsAreNeverLate has everything wait behind 256 kbit/s, with a budget that knows it and one that does not.
func TestHeartbeatsAreNeverLate(t *testing.T) {
	const rate = 256_000 / 8
	for name, plan := range map[string]pace.Plan{"capped": {Week: pace.Flat(pace.Cap{Up: rate})}, "uncapped": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A line is given up after two and two thirds of this interval without a word. What a budget that does not know the
			// line has put into it keeps a heartbeat for two seconds and more; at sites the interval is fifteen seconds.
			n := behind(t, rate, plan, 3*time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			before := n.way.Stats().Up
			wait := n.load(ctx, ctx)
			all := n.delays(ctx)
			up := float64(n.way.Stats().Up-before) / 40
			wait()
			if len(all) < 12 {
				t.Fatalf("%d heartbeats came in 40 s, want one every three seconds", len(all))
			}
			p99 := all[len(all)*99/100]
			fmt.Printf("heartbeat_delay_p99_256k_%s: %d ms\n", name, p99.Milliseconds())
			fmt.Printf("line_use_256k_%s: %.0f %%\n", name, 100*up/rate)
			if p99 > 5*time.Second { // of fifteen between two of them
				t.Errorf("of %d heartbeats the slowest took %v, one in a hundred %v", len(all), all[len(all)-1], p99)
			}
			if plan.Week[0].Up > 0 && (up < 0.8*rate || up > 1.1*rate) {
				t.Errorf("%s went over a line with a cap of 256 kbit/s: %v", pace.Words(int64(up)), n.pace.State())
			}
		})
	}
}

// TestTheEstimateOfOverheadHolds compares what the budget books with what a line carries.
func TestTheEstimateOfOverheadHolds(t *testing.T) {
	t.Parallel()
	n := behind(t, 0, pace.Plan{}, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	before, booked := n.way.Stats().Up, n.taken()
	wait := n.load(ctx, t.Context()) // what is cut off is booked and not carried
	n.delays(ctx)
	wait()
	line.Until(t, "the last byte", func() bool {
		carried := float64(n.way.Stats().Up - before)
		// The proxy counts neither TCP nor IP headers: 62 bytes of each 1,440, and more of the smaller pieces that a busy machine
		// writes.
		ratio := float64(n.taken()-booked) / carried
		return ratio > 1.0 && ratio < 1.12
	})
}

func (n *narrow) taken() (sum int64) {
	for _, c := range n.pace.State().Classes {
		sum += c.Taken
	}
	return sum
}
