package clips_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

const hour = int64(3_600_000_000)

func wanted(org id.Org, site id.Site, at int64) clips.Clip {
	return clips.Clip{
		ID: id.New[id.Clip](), Org: org, Site: site, Camera: id.New[id.Camera](), Stream: id.Main, Title: "Delivery",
		StartUs: at, EndUs: at + 10_000_000, Audio: true, Person: id.New[id.Person](), CreatedUs: at,
	}
}

func tx(t *testing.T, d *store.DB, fn func(q store.Querier) error) {
	t.Helper()
	if err := d.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func insert(t *testing.T, d *store.DB, list ...clips.Clip) {
	t.Helper()
	for _, c := range list {
		tx(t, d, func(q store.Querier) error { return clips.Insert(t.Context(), q, c) })
	}
}

func get(t *testing.T, d *store.DB, c clips.Clip) clips.Clip {
	t.Helper()
	got, err := clips.Get(t.Context(), d.Read(), store.Org(c.Org), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ids(list []clips.Clip) []id.Clip {
	var out []id.Clip
	for _, c := range list {
		out = append(out, c.ID)
	}
	return out
}

func TestListFilters(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		now := 480_000 * hour // about 2024, beyond 32 bits
		org, other := id.New[id.Org](), id.New[id.Org]()
		s1, s2 := id.New[id.Site](), id.New[id.Site]()
		a, b, c := wanted(org, s1, now), wanted(org, s2, now+hour), wanted(org, s1, now+2*hour)
		foreign := wanted(other, s1, now+3*hour)
		insert(t, d, a, b, c, foreign)
		scope := store.Org(org)
		for name, try := range map[string]struct {
			f    clips.Filter
			want []clips.Clip
		}{
			"all":          {clips.Filter{}, []clips.Clip{c, b, a}},
			"limit":        {clips.Filter{Limit: 2}, []clips.Clip{c, b}},
			"next page":    {clips.Filter{BeforeUs: b.CreatedUs, BeforeID: b.ID}, []clips.Clip{a}},
			"site":         {clips.Filter{Site: s1}, []clips.Clip{c, a}},
			"own sites":    {clips.Filter{Sites: []id.Site{s2}}, []clips.Clip{b}},
			"no own sites": {clips.Filter{Sites: []id.Site{}}, nil},
			"camera":       {clips.Filter{Camera: b.Camera}, []clips.Clip{b}},
			"range":        {clips.Filter{FromUs: now + hour + 9_000_000, ToUs: now + 2*hour}, []clips.Clip{b}},
			"state":        {clips.Filter{State: wire.ClipStored}, nil},
		} {
			got, err := clips.List(t.Context(), d.Read(), scope, try.f)
			if err != nil || !slices.Equal(ids(got), ids(try.want)) {
				t.Errorf("%s: got %v, %v; want %v", name, ids(got), err, ids(try.want))
			}
		}
		if _, err := clips.Get(t.Context(), d.Read(), scope, foreign.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another organisation's clip: %v", err)
		}
		if _, err := clips.Get(t.Context(), d.Read(), store.Scope{}, a.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("without a scope: %v", err)
		}
	})
}

func TestLifeOfAClip(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		now := 480_000 * hour
		c := wanted(id.New[id.Org](), id.New[id.Site](), now)
		insert(t, d, c)
		scope := store.Org(c.Org)
		report := func(site id.Site, f wire.ClipFact) {
			f.Clip = c.ID
			tx(t, d, func(q store.Querier) error { return clips.Report(t.Context(), q, scope, site, f, now) })
		}
		report(id.New[id.Site](), wire.ClipFact{State: wire.ClipLost})
		if got := get(t, d, c); got.State != wire.ClipWanted {
			t.Fatalf("another site moved the clip to %s", got.State)
		}
		gap := wire.GapFact{StartUs: now + 1, EndUs: now + 2, Reason: wire.Stalled}
		report(c.Site, wire.ClipFact{State: wire.ClipQueued, Bytes: 700, StartUs: now, EndUs: now + 5, Codec: "avc1.64001f", Gaps: []wire.GapFact{gap}})
		sum := sha256.Sum256([]byte("x"))
		up := clips.Upload{Handle: "h", PartBytes: 500, SHA256: sum[:], Parts: [][]byte{sum[:], sum[:]}}
		tx(t, d, func(q store.Querier) error { return clips.SetUpload(t.Context(), q, scope, c.ID, up, 700, now) })
		tx(t, d, func(q store.Querier) error { return clips.SetSent(t.Context(), q, scope, c.ID, 500, now) })
		got := get(t, d, c)
		if got.State != wire.ClipUploading || got.Sent != 500 || got.CutEndUs != now+5 || len(got.Gaps) != 1 || got.Gaps[0].Reason != wire.Stalled ||
			len(got.Upload.Parts) != 2 || !slices.Equal(got.Upload.Parts[1], sum[:]) || !got.Audio {
			t.Fatalf("uploading: %+v", got)
		}
		open, err := clips.Open(t.Context(), d.Read(), scope, c.Site)
		if err != nil || len(open) != 1 {
			t.Fatalf("Open = %v, %v", ids(open), err)
		}
		tx(t, d, func(q store.Querier) error { return clips.SetStored(t.Context(), q, scope, c.ID, now) })
		report(c.Site, wire.ClipFact{State: wire.ClipUploading, Sent: 3, Codec: "hvc1.1.6.L93.B0"})
		report(c.Site, wire.ClipFact{State: wire.ClipLost, Reason: "late word"})
		if got = get(t, d, c); got.State != wire.ClipStored || got.Sent != 700 || got.Reason != "" {
			t.Fatalf("a stored clip went back: %+v", got)
		}
		if got.Codec != "hvc1.1.6.L93.B0" || got.CutEndUs != now+5 {
			t.Fatalf("the description of a stored clip was lost: %+v", got)
		}
		tx(t, d, func(q store.Querier) error { return clips.Delete(t.Context(), q, scope, c.ID, now) })
		if _, err := clips.Get(t.Context(), d.Read(), scope, c.ID); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a deleted clip is seen: %v", err)
		}
		gone, err := clips.Deleted(t.Context(), d.Read(), store.System(store.UseSweep))
		if err != nil || len(gone) != 1 {
			t.Fatalf("Deleted = %v, %v", ids(gone), err)
		}
		tx(t, d, func(q store.Querier) error { return clips.Remove(t.Context(), q, scope, c.ID) })
		if gone, err = clips.Deleted(t.Context(), d.Read(), scope); err != nil || len(gone) != 0 {
			t.Fatalf("Deleted = %v, %v after Remove", ids(gone), err)
		}
	})
}

func TestRules(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		org := id.New[id.Org]()
		scope := store.Org(org)
		r := clips.Rule{
			ID: id.New[id.Rule](), Org: org, Name: "Doors", EventKind: "door_opened", PreS: 5, PostS: 10, Stream: id.Main, Enabled: true,
			Hours: clips.Hours{1, 1 << 23, 0, 0, 0, 0, 7}, Priority: wire.PriorityHigh, KeepDays: 30,
		}
		tx(t, d, func(q store.Querier) error { return clips.InsertRule(t.Context(), q, r) })
		for kind, want := range map[string]int{"": 1, "door_opened": 1, "motion": 0} {
			if got, err := clips.Rules(t.Context(), d.Read(), scope, kind); err != nil || len(got) != want {
				t.Errorf("Rules(%q) = %v, %v", kind, got, err)
			}
		}
		r.Enabled, r.PostS, r.Hours, r.KeepDays = false, 20, clips.Hours{}, clips.ForEver
		if err := d.Tx(t.Context(), func(q store.Querier) error {
			return clips.UpdateRule(t.Context(), q, store.Org(id.New[id.Org]()), r)
		}); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("another organisation changed the rule: %v", err)
		}
		tx(t, d, func(q store.Querier) error { return clips.UpdateRule(t.Context(), q, scope, r) })
		if got, err := clips.GetRule(t.Context(), d.Read(), scope, r.ID); err != nil || got != r {
			t.Fatalf("GetRule = %+v, %v; want %+v", got, err, r)
		}
		tx(t, d, func(q store.Querier) error { return clips.DeleteRule(t.Context(), q, scope, r.ID) })
		if _, err := clips.GetRule(t.Context(), d.Read(), scope, r.ID); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a deleted rule is there: %v", err)
		}
	})
}

// TestSteppedDown: a clip that was cut from another stream says so from then on, also when it is stored.
func TestSteppedDown(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		org, site := place(t, d)
		c, back := wanted(org, site, hour), wanted(org, site, 2*hour)
		insert(t, d, c, back)
		report := func(c clips.Clip, f wire.ClipFact) {
			f.Clip = c.ID
			tx(t, d, func(q store.Querier) error { return clips.Report(t.Context(), q, store.Org(org), site, f, 100) })
		}
		for _, of := range []clips.Clip{c, back} {
			report(of, wire.ClipFact{State: wire.ClipWanted, Stream: id.Sub, Reason: "too slow"})
			if got := get(t, d, of); got.CutStream != id.Sub || !got.SteppedDown() || got.Stream != id.Main || got.Order().Stream != id.Main {
				t.Errorf("stepped down: %+v", got)
			}
		}
		report(back, wire.ClipFact{State: wire.ClipQueued, Bytes: 9, Reason: "a note"}) // the line was better after all
		for _, of := range []clips.Clip{c, back} {
			stored(t, d, of, 9, 200, 300)
		}
		if got := get(t, d, c); got.State != wire.ClipStored || !got.SteppedDown() || got.Reason != "too slow" {
			t.Errorf("stored: %+v", got)
		}
		report(c, wire.ClipFact{State: wire.ClipUploading, Stream: id.Sub, Bytes: 9, Sent: 9, Reason: "too slow"}) // a late word
		if got := get(t, d, c); got.State != wire.ClipStored || !got.SteppedDown() {
			t.Errorf("stored: %+v", got)
		}
		if got := get(t, d, back); got.SteppedDown() || got.Reason != "" {
			t.Errorf("stored: %+v", got)
		}
	})
}

func TestLostClips(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		org, site := place(t, d)
		early, late, kept, gone := wanted(org, site, hour), wanted(org, site, 2*hour), wanted(org, site, 3*hour), wanted(org, site, 4*hour)
		insert(t, d, early, late, kept, gone)
		report := func(c clips.Clip, state wire.ClipState, atUs int64) {
			tx(t, d, func(q store.Querier) error {
				return clips.Report(t.Context(), q, store.Org(org), site, wire.ClipFact{Clip: c.ID, State: state}, atUs)
			})
		}
		report(early, wire.ClipLost, 100)
		report(late, wire.ClipLost, 200)
		report(late, wire.ClipLost, 900) // said again, as after a comparison of days
		report(kept, wire.ClipQueued, 200)
		report(gone, wire.ClipLost, 300)
		tx(t, d, func(q store.Querier) error { return clips.Delete(t.Context(), q, store.Org(org), gone.ID, 400) })
		for since, want := range map[int64]int{0: 2, 101: 1, 201: 0} {
			got, err := clips.Lost(t.Context(), d.Read(), store.Org(org), site, since)
			if err != nil || len(got) != want {
				t.Errorf("%d clips lost since %d, %v; want %d", len(got), since, err, want)
			}
		}
		if got, err := clips.Lost(t.Context(), d.Read(), store.Org(id.New[id.Org]()), site, 0); err != nil || len(got) != 0 {
			t.Errorf("another tenant sees %d lost clips, %v", len(got), err)
		}
	})
}
