package fleet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/fleet"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const org id.Org = "org-00000000000000000000000001"

func TestDarkAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.site(org, "North", 2), r.site(org, "South", 1)
		r.start()
		defer func() { r.stop() }()
		if s := a.status(); s != fleet.Never {
			t.Fatalf("status %q before the first hello", s)
		}
		a.connect()
		b.connect()
		wait(200 * time.Second)
		if v := a.view(); v.Status != fleet.OK || v.Cameras != (fleet.CameraCount{Total: 2, Recording: 2}) || !v.Agent.Connected ||
			v.Agent.RTTMs != 31 || v.Disk.DaysLeft != 23 || len(v.Missing) != 0 || v.Verdict != nil {
			t.Fatalf("site %+v", v)
		}
		r.want()
		silent := time.Now()
		a.hush("the connection was cut: EOF")
		for a.status() != fleet.Dark {
			if time.Since(silent) > 60*time.Second {
				t.Fatal("not said to be dark within 60 s")
			}
			wait(time.Second)
		}
		if time.Since(silent) < 45*time.Second-15*time.Second {
			t.Fatalf("dark after %v", time.Since(silent))
		}
		v := a.view()
		if v.Verdict == nil || v.Verdict.Cause != fleet.CauseCut || v.Verdict.SinceUs > silent.UnixMicro() || len(v.Missing) != 0 {
			t.Fatalf("verdict %+v", v.Verdict)
		}
		report := strings.Join(v.Verdict.LastReport, "\n")
		for _, want := range []string{
			"Last heard of at 1 Jan 00:03", "round trip 31 ms", "1.2 TB of 4.0 TB free, room for 23 days", "2 of 2 were recording",
			"Nothing waited", "had been running for 1 hour",
		} {
			if !strings.Contains(report, want) {
				t.Errorf("the last report lacks %q:\n%s", want, report)
			}
		}
		cams := r.f.Cameras(a.ref.Scope(), a.ref.Site)
		if c := cams[a.cams[0]]; c.Status != fleet.Unknown || c.Recording || !strings.Contains(c.Text, "recording then") {
			t.Errorf("camera of a dark site %+v", c)
		}
		if b.status() != fleet.OK {
			t.Errorf("the other site is %q", b.status())
		}
		r.want("dark North")
		testReturn(t, r, a)
	})
}

// testReturn brings a dark site back whose agent ran all the time.
func testReturn(t *testing.T, r *rig, a *agent) {
	wait(48 * time.Minute)
	r.want("dark North")
	a.connect()
	v := a.view()
	if v.Status != fleet.Attention || v.Verdict != nil || v.LastOutage == nil || v.LastOutage.Agent != fleet.Up {
		t.Fatalf("just back: %+v, outage %+v", v, v.LastOutage)
	}
	if !strings.Contains(a.texts(), "warning: The site was dark from 00:03 to 00:52 and is being watched") {
		t.Errorf("missing:\n%s", a.texts())
	}
	at := time.Now().UnixMicro()
	err := r.d.Tx(t.Context(), func(q store.Querier) error {
		return health.PutOutages(t.Context(), q, a.ref, []wire.OutageFact{{StartUs: at - 48*60e6, EndUs: at, Text: "no route to host"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(2*time.Minute + 5*time.Second)
	r.want("dark North", "back North")
	v = a.view()
	if v.Status != fleet.OK || v.LastOutage == nil {
		t.Fatalf("settled: %+v", v)
	}
	for _, want := range []string{"No line to the cloud from 00:03 to 00:52 (49 minutes).", "The agent ran the whole time.", "no route to host"} {
		if !strings.Contains(v.LastOutage.Text, want) {
			t.Errorf("outage %q lacks %q", v.LastOutage.Text, want)
		}
	}
	list := r.incidents(org)
	if len(list) != 1 || list[0].Cause != fleet.CauseLine || list[0].EndUs == 0 || list[0].SettledUs == 0 || list[0].Silences != 1 {
		t.Fatalf("incidents %+v", list)
	}
	wait(time.Hour)
	r.want("dark North", "back North")
}

func TestVerdicts(t *testing.T) {
	for why, want := range map[string]string{
		"the agent stopped":               fleet.CauseStopped,
		"the connection was cut: reset":   fleet.CauseCut,
		"no heartbeat came for 45s":       fleet.CauseSilent,
		"":                                fleet.CauseSilent,
		"the cloud cannot open a session": fleet.CauseUnknown,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			a, b := r.site(org, "North", 1), r.site(org, "South", 1)
			r.start()
			defer func() { r.stop() }()
			a.connect()
			b.connect()
			wait(200 * time.Second)
			a.hush(why)
			wait(time.Minute)
			v := a.view()
			if v.Verdict == nil || v.Verdict.Cause != want {
				t.Errorf("%q: verdict %+v, want %s", why, v.Verdict, want)
			}
		})
	}
}

// TestManyAtOnce cuts three of eight sites of one organisation, then all.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var all []*agent
		for i := range 8 {
			all = append(all, r.site(org, fmt.Sprintf("S%d", i), 1))
		}
		r.start()
		defer func() { r.stop() }()
		for _, a := range all {
			a.connect()
			wait(time.Second)
		}
		wait(200 * time.Second)
		for _, a := range all[:3] {
			a.hush("")
		}
		wait(75 * time.Second)
		for i, a := range all {
			v := a.view()
			if i < 3 && (v.Verdict == nil || v.Verdict.Cause != fleet.CauseShared || !strings.Contains(v.Verdict.Text, "2 other sites")) {
				t.Errorf("site %d: %+v", i, v.Verdict)
			}
			if i >= 3 && v.Verdict != nil {
				t.Errorf("site %d is dark", i)
			}
		}
		for _, i := range r.incidents(org) {
			if i.Cause != fleet.CauseShared {
				t.Errorf("the stored cause is %q", i.Cause)
			}
		}
		wait(20 * time.Minute)
		for _, a := range all[3:] {
			a.hush("")
		}
		wait(75 * time.Second)
		if v := all[5].view().Verdict; v == nil || v.Cause != fleet.CauseCloud {
			t.Errorf("all are dark: %+v", v)
		}
	})
}

func TestRestartOfTheCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b, c := r.site(org, "North", 1), r.site(org, "South", 1), r.site(org, "West", 1)
		r.start()
		a.connect()
		b.connect()
		c.connect()
		wait(200 * time.Second)
		b.hush("no heartbeat came for 45s")
		wait(2 * time.Minute)
		r.want("dark South")
		seen := b.view().Verdict.SinceUs
		r.stop()
		a.hush("")
		c.hush("")
		wait(5 * time.Minute)

		r.start()
		defer func() { r.stop() }()
		for _, x := range []*agent{a, b, c} {
			if s := x.status(); s != fleet.Starting {
				t.Errorf("%s is %q after the start", x.name, s)
			}
		}
		wait(100 * time.Second)
		a.connect()
		if a.status() != fleet.OK || b.status() != fleet.Starting {
			t.Errorf("statuses %q and %q", a.status(), b.status())
		}
		r.want("dark South")
		wait(40 * time.Second)
		if c.status() != fleet.Starting {
			t.Errorf("West is judged %q after 140 s", c.status())
		}
		wait(20 * time.Second)
		if v := b.view(); v.Status != fleet.Dark || v.Verdict.SinceUs != seen || v.Verdict.Cause != fleet.CauseSilent ||
			!strings.Contains(strings.Join(v.Verdict.LastReport, " "), "1 of 1 were recording") {
			t.Errorf("South is %q, %+v; want dark since %d", v.Status, v.Verdict, seen)
		}
		if c.status() != fleet.Dark {
			t.Errorf("West is %q", c.status())
		}
		r.want("dark South", "dark West") // South was told before the restart
		b.began = time.Now().Add(-time.Minute)
		b.hello.BootID, b.hello.Run = "boot-2", 2
		b.connect()
		if o := b.view().LastOutage; o == nil || o.Agent != fleet.Rebooted || o.StartUs != seen {
			t.Errorf("outage %+v", o)
		}
		wait(3 * time.Minute)
		r.want("dark South", "dark West", "back South")
	})
}

func TestRestartedAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 1)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		wait(200 * time.Second)
		began := a.began.UnixMicro()
		crashed := time.Now().UnixMicro()
		a.hush("the connection was cut: EOF")
		wait(10 * time.Minute)
		a.began, a.hello.Run = time.Now().Add(-30*time.Second), 2
		a.connect()
		err := r.d.Tx(t.Context(), func(q store.Querier) error {
			return health.PutRuns(t.Context(), q, health.Source{Ref: a.ref, Epoch: "E1", Queue: 1}, []health.RunWord{
				{Seq: 1, RunFact: wire.RunFact{Run: 1, BootID: "boot-1", WallUs: began, EndMono: crashed - began, EndedBy: wire.AgentCrashed, AgentVer: "1.2"}},
				{Seq: 2, RunFact: wire.RunFact{Run: 2, BootID: "boot-1", WallUs: a.began.UnixMicro(), AgentVer: "1.2"}},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Minute)
		list := r.incidents(org)
		if len(list) != 1 || list[0].Cause != fleet.CauseAgentCrashed || list[0].Outcome != fleet.Restarted {
			t.Fatalf("incidents %+v", list)
		}
		if want := "restarted meanwhile: it ended without a word at 00:03, it started again at 00:12."; !strings.Contains(list[0].Text, want) {
			t.Errorf("text %q lacks %q", list[0].Text, want)
		}
		story, err := r.f.Story(t.Context(), a.ref.Scope(), a.ref.Site, 0, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, e := range story {
			lines = append(lines, e.Kind+": "+e.Title+" ("+e.State+")")
		}
		want := "session: Connected (ok)\nrun: Agent running (ok)\noutage: Site was dark for 10 minutes (ok)\nrun: Agent ran for 1 hour 3 minutes (failing)"
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("story:\n%s\nwant:\n%s", got, want)
		}
	})
}

// TestFlapping: up for a minute, down for two, for two hours: one incident, told once; and a line that is down for
// 20 s at a time is never dark.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.site(org, "North", 1), r.site(org, "South", 1)
		r.start()
		defer func() { r.stop() }()
		for range 40 {
			a.connect()
			wait(time.Minute)
			a.hush("the connection was cut: EOF")
			wait(2 * time.Minute)
		}
		r.want("dark North")
		list := r.incidents(org)
		if len(list) != 1 || list[0].Silences < 30 {
			t.Fatalf("%d incidents, the first %+v", len(list), list[0])
		}
		a.connect()
		if !strings.Contains(a.texts(), "The line is not steady: the site was dark") {
			t.Errorf("missing:\n%s", a.texts())
		}
		wait(3 * time.Minute)
		r.want("dark North", "back North")
		if text := r.incidents(org)[0].Text; !strings.Contains(text, "The line was gone") {
			t.Errorf("text %q", text)
		}
		// Soon dark again: a second incident, which settles later.
		a.hush("")
		wait(2 * time.Minute)
		a.connect()
		wait(3 * time.Minute)
		r.want("dark North", "back North", "dark North")
		wait(2 * time.Minute)
		r.want("dark North", "back North", "dark North", "back North")

		for range 50 {
			b.connect()
			wait(10 * time.Second)
			b.hush("the connection was cut: EOF")
			wait(20 * time.Second)
		}
		b.connect()
		if n := len(r.incidents(org)); n != 2 || b.status() != fleet.OK {
			t.Errorf("%d incidents, South is %q", n, b.status())
		}
	})
}

func TestMissingInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 12)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		wait(10 * time.Minute)
		state := func(i int, reason wire.Reason, text string) wire.CameraState {
			c := a.hello.Cameras[i]
			c.Streams = []wire.StreamState{{Kind: id.Main, Record: true, State: wire.Failing, Reason: reason, Text: text}}
			return c
		}
		since := time.Now().Add(-time.Minute).UnixMicro()
		r.mu.Lock()
		r.changes = nil
		r.mu.Unlock()
		a.beat(wire.Heartbeat{
			Cameras: []wire.CameraState{state(1, wire.AuthFailed, "401"), state(2, wire.Unknown, "the cable is loose")},
			Conditions: []wire.ConditionFact{
				{Name: "stream", Camera: a.cams[1], Kind: "main", State: wire.Failing, Reason: wire.AuthFailed, SinceUs: since},
				{Name: "disk", State: wire.Failing, Reason: wire.DiskFailed, Text: "Disk sda fails: replace it.", SinceUs: since},
				{Name: "nvr", State: wire.Failing, SinceUs: since},
				{Name: "uplink", State: wire.Failing, SinceUs: since},
			},
			OffsetUs: -12_000_000,
			Queue:    wire.QueueState{Facts: 312, OldestUs: time.Now().Add(-8 * time.Minute).UnixMicro(), Clips: 1, ClipBytes: 40e6},
		})
		want := strings.Join([]string{
			"critical: Disk sda fails: replace it.",
			"warning: The recorder reports a problem: look at its own display or page.",
			"warning: Camera Till 2: wrong password since 00:08 – correct it in the site's configuration.",
			"warning: Camera Till 3: the cable is loose (since 00:10)",
			"warning: The site's clock is 12 seconds ahead of the cloud's: check the time service (NTP) of its machine.",
			"info: 312 reports since 00:02 still wait at the site and are being sent.",
			"info: 1 clip (40.0 MB) still to be uploaded.",
		}, "\n")
		if got := a.texts(); got != want {
			t.Errorf("missing:\n%s\nwant:\n%s", got, want)
		}
		if v := a.view(); v.Status != fleet.Attention || v.Cameras != (fleet.CameraCount{Total: 12, Recording: 10, Failing: 2}) {
			t.Errorf("site %+v", v)
		}
		if c := r.f.Cameras(a.ref.Scope(), a.ref.Site)[a.cams[1]]; c.Status != fleet.Failing || c.Reason != wire.AuthFailed || c.Recording {
			t.Errorf("camera %+v", c)
		}
		r.mu.Lock()
		told := fmt.Sprint(len(r.changes))
		r.changes = nil
		r.mu.Unlock()
		if told != "3" { // two cameras and the site
			t.Errorf("%s changes told", told)
		}
		loss := "Till 2 loses 14:00 to 15:10 in 6 h, before it can be sent, unless the line carries 1.2 Mbit/s more."
		a.beat(wire.Heartbeat{Conditions: []wire.ConditionFact{{Name: "clips", State: wire.Failing, Text: loss, SinceUs: since}}})
		if !strings.Contains(a.texts(), "warning: "+loss) {
			t.Errorf("a loss that is foreseen is not told:\n%s", a.texts())
		}
		a.beat(wire.Heartbeat{Conditions: []wire.ConditionFact{{Name: "clips", State: wire.OK, SinceUs: since}}})
		if strings.Contains(a.texts(), loss) {
			t.Errorf("a loss that no longer threatens is told:\n%s", a.texts())
		}
		var all []wire.CameraState
		for i := range 12 {
			all = append(all, state(i, wire.Unreachable, ""))
		}
		a.beat(wire.Heartbeat{Cameras: all[:7]})
		if want := "warning: 7 cameras (Till 1, Till 2, Till 3 and 4 more): not reachable since 00:10 – check the power"; !strings.Contains(a.texts(), want) {
			t.Errorf("missing:\n%s\nlacks %s", a.texts(), want)
		}
		a.beat(wire.Heartbeat{Cameras: all})
		if want := "critical: All 12 cameras: not reachable since 00:10 – check the power and the network of the recorder or the switch"; !strings.Contains(a.texts(), want) {
			t.Errorf("missing:\n%s\nlacks %s", a.texts(), want)
		}
	})
}

// TestHeartbeatsAskNothing takes the database away: heartbeats and views go on.
func TestHeartbeatsAskNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 3)
		r.start()
		a.connect()
		wait(20 * time.Second)
		r.stop()
		a.hush("")
		if err := r.d.Close(); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.changes = nil
		r.mu.Unlock()
		at := time.Now()
		a.beat(wire.Heartbeat{})
		if v := a.view(); v.Status != fleet.OK || v.Agent.LastSeenUs != at.UnixMicro() {
			t.Errorf("site %+v", v)
		}
		if s, ok := r.f.Stream(a.ref.Scope(), a.ref.Site, id.Stream{Camera: a.cams[2], Kind: id.Main}); !ok || s.DurableUs != at.UnixMicro()-1_500_000 {
			t.Errorf("stream %+v, %v", s, ok)
		}
		if len(r.changes) != 0 {
			t.Errorf("a heartbeat that brings nothing new told %v", r.changes)
		}
	})
}

// TestOneWriteAMinute watches the stored state of a site that reports every 15 s.
func TestOneWriteAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 1)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		writes, last := 0, int64(0)
		for range 600 {
			wait(time.Second)
			err := health.States(t.Context(), r.d.Read(), a.ref.Scope(), func(s health.State, _ health.Report) error {
				if s.SeenUs != last {
					writes, last = writes+1, s.SeenUs
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if writes < 9 || writes > 11 {
			t.Errorf("%d writes in 10 minutes", writes)
		}
	})
}

func TestRemovedAgentAlarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.site(org, "North", 1), r.site(org, "South", 1)
		r.start()
		a.connect()
		b.connect()
		wait(200 * time.Second)
		if err := agents.Revoke(t.Context(), r.d, a.ref.Scope(), a.ref.Agent, time.Now().UnixMicro()); err != nil {
			t.Fatal(err)
		}
		a.hush("this machine was removed from its site")
		if s := a.status(); s != fleet.Never {
			t.Errorf("status %q after the removal", s)
		}
		// Removed while it is dark: the incident ends without another word.
		b.hush("")
		wait(2 * time.Minute)
		r.want("dark South")
		b.enrol() // another machine takes its place
		wait(time.Minute)
		r.stop()
		r.start()
		defer func() { r.stop() }()
		wait(5 * time.Minute)
		r.want("dark South")
		if a.status() != fleet.Never || b.status() != fleet.Never {
			t.Errorf("statuses %q and %q", a.status(), b.status())
		}
		b.connect()
		if b.status() != fleet.OK {
			t.Errorf("status %q of the new machine", b.status())
		}
		if list := r.incidents(org); len(list) != 1 || list[0].SettledUs == 0 {
			t.Errorf("incidents %+v", list)
		}
	})
}

func TestDesiredConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 2)
		r.start()
		defer func() { r.stop() }()
		if want := a.connect(); want != nil {
			t.Fatalf("the first welcome carries %+v", want)
		}
		set := func(disabled bool, name string) {
			t.Helper()
			err := r.d.Tx(t.Context(), func(q store.Querier) error {
				c, err := orgs.GetCamera(t.Context(), q, a.ref.Scope(), a.cams[0])
				if err != nil {
					return err
				}
				c.Disabled, c.Given = disabled, name
				return orgs.UpdateCamera(t.Context(), q, a.ref.Scope(), c)
			})
			if err != nil {
				t.Fatal(err)
			}
			r.f.Reconfigure(org, a.ref.Site)
			synctest.Wait()
		}
		r.reply = func(want wire.DesiredConfig) (wire.ConfigReply, error) {
			return wire.ConfigReply{Version: want.Version, Faults: []string{"keep_us is above the site's own limit"}}, nil
		}
		set(true, "Entrance")
		select {
		case got := <-r.pushed:
			if got.Version != 1 || len(got.Cameras) != 1 || !got.Cameras[0].Disable || got.Cameras[0].Name != "Entrance" {
				t.Fatalf("pushed %+v", got)
			}
		default:
			t.Fatal("nothing was pushed")
		}
		if v := a.view(); v.Cameras.Recording != 1 || !strings.Contains(a.texts(), "did not take a setting made here: keep_us") {
			t.Errorf("site %+v\n%s", v, a.texts())
		}
		if c := r.f.Cameras(a.ref.Scope(), a.ref.Site)[a.cams[0]]; c.Status != fleet.Disabled {
			t.Errorf("camera %+v", c)
		}
		wait(time.Minute)
		if len(r.pushed) != 0 {
			t.Error("the same configuration was pushed again")
		}
		// The agent does not answer: tried again later. Away: the next welcome carries it.
		r.reply = func(wire.DesiredConfig) (wire.ConfigReply, error) { return wire.ConfigReply{}, errors.New("timeout") }
		set(false, "Entrance")
		wait(35 * time.Second)
		if n := len(r.pushed); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
		a.hush("the connection was cut: EOF")
		a.hello.Config = 1
		if want := a.connect(); want == nil || want.Version != 2 || want.Cameras[0].Disable {
			t.Errorf("the welcome carries %+v", want)
		}
		// The cloud was restored from a backup: the site holds a newer one, and ours becomes the newest.
		a.hush("the connection was cut: EOF")
		a.hello.Config = 40
		if want := a.connect(); want == nil || want.Version != 41 || want.Cameras[0].Name != "Entrance" {
			t.Errorf("the welcome carries %+v", want)
		}
	})
}

func TestTenantsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.site(org, "North", 1), r.site("org-00000000000000000000000002", "Other", 1)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		b.connect()
		if v := r.f.Site(b.ref.Scope(), a.ref.Site); v.Status != fleet.Never || v.Agent != nil {
			t.Errorf("another tenant sees %+v", v)
		}
		if v := r.f.Cameras(b.ref.Scope(), a.ref.Site); len(v) != 0 {
			t.Errorf("another tenant sees %+v", v)
		}
		if _, err := r.f.Story(t.Context(), b.ref.Scope(), a.ref.Site, 0, 1<<60, 10); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another tenant's story: %v", err)
		}
		if _, ok := r.f.Stream(b.ref.Scope(), a.ref.Site, id.Stream{Camera: a.cams[0], Kind: id.Main}); ok {
			t.Error("another tenant sees a stream")
		}
		// An agent that names another tenant's site reaches nothing.
		seen := a.view().Agent.LastSeenUs
		<-time.After(time.Second)
		r.f.Heartbeat(t.Context(), agents.Ref{Org: b.ref.Org, Site: a.ref.Site, Agent: a.ref.Agent}, wire.Heartbeat{}, 0)
		if a.view().Agent.LastSeenUs != seen {
			t.Error("another tenant's heartbeat counts")
		}
	})
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := fleet.Config{DarkAfter: 1, Grace: -1, Settle: -1, Tick: -1, Keep: -1, Refresh: -1}.Validate()
	for _, name := range []string{"dark_after", "grace", "settle", "tick", "keep", "refresh"} {
		if err == nil || !strings.Contains(err.Error(), "fleet."+name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
