package mirror

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// TestAQuietRoundIsSmall: what crosses the line, without headers and signatures, when nothing differs: on an ordinary day
// one day that ended and four old ones; after the cloud was restored all thirty. And a day's events of one camera that
// the cloud has lost.
func TestAQuietRoundIsSmall(t *testing.T) {
	coder, err := wire.NewBatchCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	pack := func(v any) int {
		body, err := coder.Pack(v)
		if err != nil {
			t.Fatal(err)
		}
		return len(body)
	}
	answer, err := json.Marshal(wire.DayAnswer{Days: []wire.DayDigest{}, Facts: [][]byte{}, Restated: 17})
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ days, limit int }{{5, 500}, {30, 1500}} {
		ask := wire.DayAsk{Epoch: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
		for n := range c.days {
			ask.Days = append(ask.Days, wire.DayDigest{Day: 20_000 - int64(n), Digest: wire.Digest{Count: 60_000, Hash: chance.Uint64()}})
		}
		up := pack(ask)
		fmt.Printf("reconcile_quiet_%d_days: %d bytes up, %d down\n", c.days, up, len(answer))
		if up > c.limit || len(answer) > 100 {
			t.Errorf("a round over %d days takes %d bytes up and %d down", c.days, up, len(answer))
		}
	}
	s := wire.Restatement{Epoch: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Seq: 1, Item: wire.DayItem{Day: 20_000, Kind: wire.KindEvent}}
	cam := id.New[id.Camera]()
	for n := range wire.MaxRestated {
		s.Events = append(s.Events, wire.EventFact{
			ID: id.New[id.Event](), Camera: cam, Kind: "motion", Source: "nvr", AtUs: 20_000*wire.DayUs + int64(n)*60_000_000 + chance.Int64N(1e7),
		})
	}
	up := pack(s)
	fmt.Printf("reconcile_event: %.0f bytes\n", float64(up)/float64(len(s.Events)))
	if up > 50*len(s.Events) {
		t.Errorf("%d events take %d bytes", len(s.Events), up)
	}
}
