package fleet

import (
	"fmt"
	"testing"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// BenchmarkHeartbeat measures a heartbeat of one of 5,000 sites with 40 cameras, two of which fail.
func BenchmarkHeartbeat(b *testing.B) {
	f := New(Config{}, &store.DB{}, Deps{})
	refs := make([]agents.Ref, 5000)
	beat := wire.Heartbeat{Durable: make([]int64, 40), Disk: wire.DiskState{TotalBytes: 1}}
	for i := range refs {
		refs[i] = agents.Ref{Org: "org-1", Site: id.New[id.Site](), Agent: id.New[id.Agent]()}
		hello := wire.Hello{BootID: "b", Run: 1}
		for n := range 40 {
			st := wire.StreamState{Kind: id.Main, Record: true, State: wire.OK}
			if n < 2 {
				st.State, st.Reason = wire.Failing, wire.AuthFailed
			}
			hello.Cameras = append(hello.Cameras, wire.CameraState{Camera: id.New[id.Camera](), Name: "Till", Streams: []wire.StreamState{st}})
		}
		f.Opened(b.Context(), refs[i], hello)
	}
	n := 0
	began := time.Now()
	for b.Loop() {
		beat.WallUs = time.Now().UnixMicro()
		f.Heartbeat(b.Context(), refs[n%len(refs)], beat, time.Millisecond)
		n++
	}
	fmt.Printf("heartbeat of 40 cameras: %.1f us\n", float64(time.Since(began).Microseconds())/float64(n))
	began = time.Now()
	f.survey(time.Now())
	fmt.Printf("survey of 5000 sites: %.1f ms\n", float64(time.Since(began).Microseconds())/1000)
}
