package fleet_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/cloud/fleet"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const loses = "Till 1 loses 14:00 to 15:10 in 6 h, before it can be sent, unless the line carries 1.2 Mbit/s more."

// clips says how the agent's condition of clips is, as from the next heartbeat on.
func (a *agent) clips(state wire.State, text string) {
	a.hello.Conditions = []wire.ConditionFact{{Name: "clips", State: state, Text: text, SinceUs: time.Now().UnixMicro()}}
	a.beat(wire.Heartbeat{Conditions: a.hello.Conditions})
	synctest.Wait()
}

// loseClip stores a clip of the agent's first camera that the agent reports as lost now.
func (a *agent) loseClip(startUs, endUs int64) {
	a.r.t.Helper()
	t, scope := a.r.t, a.ref.Scope()
	c := clips.Clip{ID: id.New[id.Clip](), Org: a.ref.Org, Site: a.ref.Site, Camera: a.cams[0], Stream: id.Main, StartUs: startUs, EndUs: endUs, CreatedUs: 1}
	err := a.r.d.Tx(t.Context(), func(q store.Querier) error {
		return errors.Join(clips.Insert(t.Context(), q, c),
			clips.Report(t.Context(), q, scope, a.ref.Site, wire.ClipFact{Clip: c.ID, State: wire.ClipLost}, time.Now().UnixMicro()))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// one returns the only incident of a kind.
func (r *rig) one(kind string) health.Incident {
	r.t.Helper()
	list, _, err := r.f.Incidents(r.t.Context(), store.Org(org), health.IncidentFilter{Kind: kind})
	if err != nil || len(list) != 1 {
		r.t.Fatalf("incidents %+v, %v: want one", list, err)
	}
	return list[0]
}

// TestLosing: a loss that two heartbeats foretell is an incident, whose words follow the site's; it is over when the site
// foretells none for a while, and says what was lost.
func TestLosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 2)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		wait(200 * time.Second)
		a.clips(wire.Failing, loses)
		a.clips(wire.OK, "")
		wait(time.Minute)
		r.want() // one blip
		began := time.Now()
		a.clips(wire.Failing, loses)
		wait(20 * time.Second)
		r.want("losing North")
		i := r.one(health.Losing)
		if i.StartUs != began.UnixMicro() || i.EndUs != 0 || i.Cause != fleet.CauseSlow || !strings.HasPrefix(i.Text, loses+" To keep them, give the line more room") {
			t.Fatalf("incident %+v", i)
		}
		if !strings.Contains(a.texts(), loses) || a.status() != fleet.Attention {
			t.Errorf("the site is %s: %s", a.status(), a.texts())
		}
		a.clips(wire.Failing, strings.Replace(loses, "6 h", "5 h", 1))
		wait(time.Hour)
		if i := r.one(health.Losing); !strings.Contains(i.Text, "in 5 h") || i.Silences != 1 {
			t.Errorf("incident %+v", i)
		}
		a.loseClip(began.Add(-10*time.Hour).UnixMicro(), began.Add(-9*time.Hour).UnixMicro())
		a.loseClip(began.Add(-9*time.Hour).UnixMicro(), began.Add(-9*time.Hour+10*time.Minute).UnixMicro())
		a.clips(wire.OK, "")
		wait(5 * time.Minute)
		a.clips(wire.Failing, loses) // it swings
		wait(time.Minute)
		a.clips(wire.OK, "")
		wait(9 * time.Minute)
		r.want("losing North")
		wait(2 * time.Minute)
		r.want("losing North", "over North")
		i = r.one(health.Losing)
		if i.Outcome != fleet.Lost || i.SettledUs == 0 || i.Silences != 2 || !strings.HasPrefix(i.Text, "Camera Till 1 lost 31 Dec 1999 14:04 to 15:14. ") {
			t.Fatalf("incident %+v", i)
		}
		wait(time.Hour)
		r.want("losing North", "over North")
		a.clips(wire.Failing, loses)
		wait(time.Minute)
		a.clips(wire.OK, "")
		wait(time.Hour)
		r.want("losing North", "over North", "losing North", "over North")
		if list := r.incidents(org); len(list) != 2 || list[0].Outcome != fleet.Kept || !strings.HasPrefix(list[0].Text, "No chosen clip was lost.") {
			t.Fatalf("incidents %+v", list)
		}
		story, err := r.f.Story(t.Context(), store.Org(org), a.ref.Site, 0, 0, 100)
		for _, e := range story {
			if err != nil || e.Kind == "outage" {
				t.Errorf("the story tells of an outage: %+v, %v", e, err)
			}
		}
	})
}

// TestLosingInTheDark: a site that falls silent while it loses clips has two incidents, and the silence neither ends the
// older one nor tells it again; nor does a restart of the cloud.
func TestLosingInTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 1)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		wait(200 * time.Second)
		a.clips(wire.Failing, loses)
		wait(time.Minute)
		a.hush("the connection was cut: EOF")
		wait(time.Hour)
		r.want("losing North", "dark North")
		if i := r.one(health.Losing); i.EndUs != 0 || i.SettledUs != 0 {
			t.Fatalf("the silence ended it: %+v", i)
		}
		r.stop()
		r.start()
		wait(time.Hour)
		a.connect()
		wait(time.Hour)
		r.want("losing North", "dark North", "back North")
		// The agent is started anew: it does not know yet.
		a.hush("the agent stopped")
		a.hello.Conditions = nil
		wait(30 * time.Second)
		a.connect()
		wait(time.Hour)
		if i := r.one(health.Losing); i.EndUs != 0 {
			t.Fatalf("not knowing ended it: %+v", i)
		}
		// What is well does not settle while nobody hears the site.
		a.clips(wire.OK, "")
		a.hush("")
		wait(time.Hour)
		r.want("losing North", "dark North", "back North", "dark North")
		a.connect()
		wait(time.Hour)
		r.want("losing North", "dark North", "back North", "dark North", "over North", "back North")
		r.one(health.Losing)
	})
}

// TestLosingOfARemovedAgent: the incident is closed without a word.
func TestLosingOfARemovedAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 1)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		wait(200 * time.Second)
		a.clips(wire.Failing, loses)
		wait(time.Minute)
		if err := agents.Revoke(t.Context(), r.d, a.ref.Scope(), a.ref.Agent, time.Now().UnixMicro()); err != nil {
			t.Fatal(err)
		}
		a.hush("this machine was removed from its site")
		wait(time.Hour)
		r.want("losing North")
		if i := r.one(health.Losing); i.SettledUs == 0 || i.Text != "The agent was removed from the site." {
			t.Errorf("incident %+v", i)
		}
	})
}

// TestLosses: what a heartbeat foretells is shown with the camera's name and what people chose for it.
func TestLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.site(org, "North", 2)
		r.start()
		defer func() { r.stop() }()
		a.connect()
		loss := wire.ClipLoss{Camera: a.cams[0], StartUs: 1, EndUs: 2, DueUs: 3, More: 4, Bytes: 50, SubBytes: 5}
		a.beat(wire.Heartbeat{Queue: wire.QueueState{Clips: 1, Losses: []wire.ClipLoss{loss}}})
		if got := a.view().Losses; len(got) != 1 || got[0] != (fleet.Loss{ClipLoss: loss, Name: "Till 1"}) {
			t.Fatalf("losses %+v", got)
		}
		err := r.d.Tx(t.Context(), func(q store.Querier) error {
			c, err := orgs.GetCamera(t.Context(), q, a.ref.Scope(), a.cams[0])
			c.Given, c.StepDown = "Counter", true
			return errors.Join(err, orgs.UpdateCamera(t.Context(), q, a.ref.Scope(), c))
		})
		if err != nil {
			t.Fatal(err)
		}
		r.f.Reconfigure(org, a.ref.Site)
		wait(5 * time.Second)
		if got := a.view().Losses; len(got) != 1 || got[0].Name != "Counter" || !got[0].StepDown {
			t.Fatalf("losses %+v", got)
		}
		wait(20 * time.Second)
		if want := <-r.pushed; len(want.Cameras) != 1 || !want.Cameras[0].StepDown {
			t.Errorf("the site was told %+v", want)
		}
		a.beat(wire.Heartbeat{})
		if got := a.view().Losses; len(got) != 0 {
			t.Errorf("losses %+v", got)
		}
	})
}
