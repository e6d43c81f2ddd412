package line_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/uplink"
	"holdfast/cloud/gateway"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

func TestSessionFromHelloToBye(t *testing.T) {
	t.Parallel()
	r := newRig(t, line.Beating(250*time.Millisecond))
	r.Greet(wire.Welcome{Marks: []wire.Mark{{Queue: 7, Seq: 41}}, Config: &wire.DesiredConfig{Version: 3}})
	me := r.enrol()
	a := run(t, me, echo)
	welcome, hello := line.Get(t, a.opened, "welcome"), line.Get(t, r.Opened, "hello")
	if len(welcome.Marks) != 1 || welcome.Marks[0].Seq != 41 || welcome.Config.Version != 3 || welcome.CloudVer != "test" {
		t.Fatalf("welcome %+v", welcome)
	}
	if hello.Agent != me.Agent || hello.Site != r.Site || hello.Run != 7 || len(hello.SealKey) != 32 || len(hello.EvKey) != 32 {
		t.Fatalf("hello %+v", hello)
	}
	if full := line.Get(t, a.beats, "heartbeat"); !full {
		t.Fatal("the first heartbeat is not full")
	}
	if full := line.Get(t, a.beats, "heartbeat"); full {
		t.Fatal("the second heartbeat is full")
	}
	line.Until(t, "a measured round trip at both ends", func() bool {
		info, ok := r.Gateway().Session(me.Agent)
		return ok && info.RTT > 0 && a.Status().RTT > 0
	})
	if s := a.Status(); !s.Connected || s.Problem != nil || !s.OffsetKnown || s.Offset.Abs() > 5*time.Second {
		t.Fatalf("status %+v", s)
	}
	a.stop()
	if why := line.Get(t, r.Closed, "end"); why != "the agent stopped" {
		t.Fatalf("the session ended because %q", why)
	}
	if p := wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemStopped); p.Text == "" {
		t.Fatal("no reason")
	}
	var offline gateway.ErrOffline
	_, _, err := r.Gateway().Command(t.Context(), me.Agent, wire.CmdStill, wire.StillOrder{})
	if !errors.As(err, &offline) || time.Since(time.UnixMicro(offline.SinceUs)) > line.Wait {
		t.Fatalf("a command to an agent that has gone: %v", err)
	}
}

func TestCommand(t *testing.T) {
	r := newRig(t)
	me := r.enrol()
	large := bytes.Repeat([]byte("0123456789"), 100_000) // a megabyte, in many pieces
	a := run(t, me, func(_ context.Context, c wire.Command) (any, []byte, error) {
		switch c.Type {
		case wire.CmdStill:
			return wire.StillReply{Width: 640}, large, nil
		case wire.CmdLiveOffer:
			return nil, nil, wire.Fail(wire.FailedUnknownCamera, "the site has no such camera")
		case wire.CmdConfig:
			panic("a fault in a room")
		}
		return nil, nil, errors.New("it did not work")
	})
	line.Get(t, a.opened, "welcome")
	reply, payload, err := r.Gateway().Command(t.Context(), me.Agent, wire.CmdStill, wire.StillOrder{})
	var still wire.StillReply
	if err != nil || reply.Error != "" || json.Unmarshal(reply.Body, &still) != nil || still.Width != 640 || !bytes.Equal(payload, large) {
		t.Fatalf("reply %+v with %d bytes, %v", reply, len(payload), err)
	}
	for typ, want := range map[wire.CommandType]wire.FailureCode{
		wire.CmdLiveOffer: wire.FailedUnknownCamera, wire.CmdConfig: wire.FailedOtherwise, wire.CmdClip: wire.FailedOtherwise,
		"rm -rf /": wire.FailedRefused,
	} {
		reply, _, err := r.Gateway().Command(t.Context(), me.Agent, typ, struct{}{})
		if err != nil || reply.Code != want || reply.Error == "" {
			t.Errorf("%s: reply %+v, %v; want code %q", typ, reply, err, want)
		}
	}
	if _, _, err := r.Gateway().Command(t.Context(), me.Agent, wire.CmdClip, strings.Repeat("x", wire.MaxCommandBytes)); err == nil {
		t.Error("a command that is too large was sent")
	}
	if !a.Status().Connected {
		t.Fatal("the session did not survive")
	}
}

func TestCommandsAreBoundedAndConcurrent(t *testing.T) {
	r := newRig(t)
	me := r.enrol()
	inside, release := make(chan struct{}, 100), make(chan struct{})
	a := run(t, me, func(ctx context.Context, _ wire.Command) (any, []byte, error) {
		inside <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil, ctx.Err()
	})
	line.Get(t, a.opened, "welcome")
	ctx, cancel := context.WithTimeout(t.Context(), line.Wait)
	defer cancel()
	var wg sync.WaitGroup
	for range wire.MaxOutstanding {
		wg.Go(func() {
			if reply, _, err := r.Gateway().Command(ctx, me.Agent, wire.CmdClip, struct{}{}); err != nil || reply.Error != "" {
				t.Errorf("reply %+v, %v", reply, err)
			}
		})
	}
	for range wire.MaxOutstanding {
		line.Get(t, inside, "command")
	}
	if _, _, err := r.Gateway().Command(ctx, me.Agent, wire.CmdClip, struct{}{}); !errors.Is(err, gateway.ErrBusy) {
		t.Fatalf("one command more: %v, want ErrBusy", err)
	}
	close(release)
	wg.Wait()
}

func TestUrgentHeartbeat(t *testing.T) {
	r := newRig(t, line.Beating(time.Minute))
	a := run(t, r.enrol(), echo)
	line.Get(t, a.beats, "first heartbeat")
	a.urgent <- struct{}{}
	line.Get(t, a.beats, "urgent heartbeat")
}

func TestBatch(t *testing.T) {
	r := newRig(t)
	a := run(t, r.enrol(), echo)
	line.Get(t, a.opened, "welcome")
	batch := wire.Batch{Epoch: "e1", Queue: 3, Lane: wire.Live, Facts: []wire.Fact{
		{Seq: 8, Kind: wire.KindEvent, Body: json.RawMessage(`{}`)}, {Seq: 9, Kind: wire.KindEvent, Body: json.RawMessage(`{}`)},
	}}
	ack, err := a.SendBatch(t.Context(), batch)
	if err != nil || ack.Seq != 9 || ack.Queue != 3 {
		t.Fatalf("SendBatch = %+v, %v", ack, err)
	}
	if got := line.Get(t, r.Batches, "batch"); len(got.Facts) != 2 || got.Facts[1].Seq != 9 {
		t.Fatalf("batch %+v", got)
	}
	r.Answer(func(wire.Batch) (wire.Ack, error) { return wire.Ack{}, wire.Refuse(wire.RefusedConflict, "no") })
	var refusal *wire.Refusal
	if _, err := a.SendBatch(t.Context(), batch); !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
		t.Fatalf("a refused batch: %v", err)
	}
	r.Answer(func(wire.Batch) (wire.Ack, error) { return wire.Ack{}, errors.New("the database burns") })
	if _, err := a.SendBatch(t.Context(), batch); !errors.As(err, &refusal) || refusal.Code != wire.RefusedInternal || strings.Contains(err.Error(), "burns") {
		t.Fatalf("a batch that could not be stored: %v", err)
	}
	a.stop()
	if _, err := a.SendBatch(t.Context(), batch); !errors.Is(err, uplink.ErrOffline) {
		t.Fatalf("a batch without a session: %v", err)
	}
}

func TestClip(t *testing.T) {
	r := newRig(t)
	a := run(t, r.enrol(), echo)
	line.Get(t, a.opened, "welcome")
	clip := id.New[id.Clip]()
	parts := [][]byte{bytes.Repeat([]byte("a"), 300_000), []byte("b")}
	begin := wire.ClipBegin{Bytes: 300_001, PartBytes: 300_000}
	for _, p := range parts {
		sum := sha256.Sum256(p)
		begin.Parts = append(begin.Parts, sum[:])
	}
	plan, err := a.ClipBegin(t.Context(), clip, begin)
	if err != nil || len(plan.Parts) != 2 {
		t.Fatalf("ClipBegin = %+v, %v", plan, err)
	}
	_, err = a.ClipComplete(t.Context(), clip, wire.ClipComplete{ETags: []string{"", ""}})
	var refusal *wire.Refusal
	if !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
		t.Fatalf("completing without parts: %v", err)
	}
	wrong := sha256.Sum256([]byte("something else"))
	_, err = a.PutPart(t.Context(), plan.Parts[0], bytes.NewReader(parts[0]), int64(len(parts[0])), wrong)
	if !errors.As(err, &refusal) || refusal.Code != wire.RefusedMalformed || len(r.Parts()) != 0 {
		t.Fatalf("a part that is not what was signed: %v", err)
	}
	for i, p := range parts {
		if _, err := a.PutPart(t.Context(), plan.Parts[i], bytes.NewReader(p), int64(len(p)), sha256.Sum256(p)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := a.ClipComplete(t.Context(), clip, wire.ClipComplete{ETags: []string{"", ""}})
	if err != nil || !done.Stored || len(r.Completed()) != 1 {
		t.Fatalf("ClipComplete = %+v, %v; %d clips were completed", done, err, len(r.Completed()))
	}
	if came := r.Parts(); len(came) != 2 || !bytes.Equal(came[1], parts[0]) || !bytes.Equal(came[2], parts[1]) {
		t.Fatalf("%d parts came, or they differ from what was sent", len(came))
	}
}

func TestRevoke(t *testing.T) {
	r := newRig(t)
	me := r.enrol()
	a := run(t, me, echo)
	line.Get(t, a.opened, "welcome")
	if err := r.Gateway().Revoke(t.Context(), store.Org(id.New[id.Org]()), me.Agent); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("another tenant revokes: %v", err)
	}
	if err := r.Gateway().Revoke(t.Context(), r.Scope(), me.Agent); err != nil {
		t.Fatal(err)
	}
	p := wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCode(wire.RefusedRevoked))
	if p.Retry != 5*time.Minute || !strings.Contains(p.Text, "enrol it again") {
		t.Fatalf("problem %+v", p)
	}
	a.stop()
	again := run(t, me, echo)
	line.Until(t, "a refusal of the handshake", func() bool { return again.Status().Problem != nil })
	wantProblem(t, again.Status().Problem, uplink.ProblemCode(wire.RefusedRevoked))
}

func TestCloudRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	me := r.enrol()
	a := run(t, me, echo)
	first := line.Get(t, a.opened, "welcome")
	r.Stop()
	p := wantProblem(t, line.Get(t, a.closed, "end"), uplink.ProblemCode(wire.RefusedShutdown))
	if p.Retry < 2*time.Second || p.Retry > 4*time.Second {
		t.Fatalf("agents are told to come back after %v", p.Retry)
	}
	begun := time.Now()
	r.Start()
	second := line.Get(t, a.opened, "second welcome")
	if first.Session == second.Session {
		t.Fatal("the session has the same ID")
	}
	if d := time.Since(begun); d < p.Retry-time.Second {
		t.Fatalf("the agent came back after %v, before the %v that it was told", d, p.Retry)
	}
	outage := line.Get(t, a.outages, "outage")
	if outage.EndUs <= outage.StartUs || outage.Text == "" {
		t.Fatalf("outage %+v", outage)
	}
}

func TestKeyRotation(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	me, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{URL: r.URL, Code: r.Code(), DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r.Stop()
	if err := r.Keys.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.Start()
	a := run(t, me, echo)
	line.Get(t, a.opened, "welcome")
	stored, err := uplink.LoadIdentity(dir)
	if err != nil || !stored.CloudKey.Equal(r.Keys.Public()) || stored.CloudKey.Equal(me.CloudKey) {
		t.Fatalf("the new key was not pinned: %v", err)
	}
	a.stop()
	b := run(t, stored, echo)
	line.Get(t, b.opened, "welcome under the new key")
}
