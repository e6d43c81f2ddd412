package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Entry is one thing in the history of a site.
type Entry struct {
	Kind    string // outage, run, condition, session
	StartUs int64
	EndUs   int64 // 0 while it lasts
	Title   string
	Text    string
	State   string // ok, failing, unknown
}

// Story returns what happened at a site in [fromUs, toUs), newest first, at most limit entries; a toUs of 0 leaves
// the end open.
func (f *Fleet) Story(ctx context.Context, scope store.Scope, which id.Site, fromUs, toUs int64, limit int) ([]Entry, error) {
	if toUs == 0 {
		toUs = health.Lasts
	}
	row, err := orgs.GetSite(ctx, f.db.Read(), scope, which)
	if err != nil {
		return nil, err
	}
	t := teller{now: time.Now(), zone: time.UTC, names: map[id.Camera]string{}}
	if zone, err := time.LoadLocation(row.Timezone); err == nil {
		t.zone = zone
	}
	cameras, err := orgs.Cameras(ctx, f.db.Read(), scope, which)
	if err != nil {
		return nil, err
	}
	for _, c := range cameras {
		t.names[c.ID] = c.Name()
	}
	var out []Entry
	for _, part := range []func(context.Context, store.Scope, id.Site, int64, int64, *teller) ([]Entry, error){
		f.outages, f.runs, f.failures,
	} {
		entries, err := part(ctx, scope, which, fromUs, toUs, &t)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	if e, ok := f.session(scope, which, fromUs, toUs); ok {
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(b.StartUs, a.StartUs) })
	return out[:min(len(out), limit)], nil
}

// teller knows how to name things of one site.
type teller struct {
	now   time.Time
	zone  *time.Location
	names map[id.Camera]string
}

// outages tells of silences, and of shorter times without a line as the agent saw them.
func (f *Fleet) outages(ctx context.Context, scope store.Scope, which id.Site, fromUs, toUs int64, _ *teller) ([]Entry, error) {
	incidents, _, err := health.Incidents(ctx, f.db.Read(), scope, health.IncidentFilter{
		Site: which, Kind: health.Dark, FromUs: fromUs, ToUs: toUs, Limit: 500,
	})
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, i := range incidents {
		e := Entry{Kind: "outage", StartUs: i.StartUs, EndUs: i.EndUs, Title: "Site dark", Text: i.Text, State: Failing}
		if i.EndUs != 0 {
			e.Title, e.State = "Site was dark for "+period(i.EndUs-i.StartUs), OK
		}
		out = append(out, e)
	}
	seen, err := health.Outages(ctx, f.db.Read(), scope, which, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	for _, o := range seen {
		told := slices.ContainsFunc(incidents, func(i health.Incident) bool {
			return o.StartUs < i.EndUs+toldSlackUs && o.EndUs > i.StartUs-toldSlackUs || i.EndUs == 0 && o.EndUs > i.StartUs
		})
		if told {
			continue
		}
		text := "As the agent saw it, which ran the whole time."
		if o.Text != "" {
			text += " It saw: " + strings.TrimRight(o.Text, ". ") + "."
		}
		out = append(out, Entry{
			Kind: "outage", StartUs: o.StartUs, EndUs: o.EndUs, State: OK, Text: text,
			Title: "No line to the cloud for " + period(o.EndUs-o.StartUs),
		})
	}
	return out, nil
}

// runs tells of the agent's runs.
func (f *Fleet) runs(ctx context.Context, scope store.Scope, which id.Site, fromUs, toUs int64, t *teller) ([]Entry, error) {
	runs, err := health.Runs(ctx, f.db.Read(), scope, which, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, r := range runs {
		if r.EndUs() < fromUs {
			continue
		}
		e := Entry{Kind: "run", StartUs: r.WallUs, Title: "Agent running", State: OK, Text: "Version " + r.AgentVer + "."}
		if r.EndedBy != "" {
			e.EndUs, e.Title = r.EndUs(), "Agent ran for "+period(r.EndMono)
			e.Text += " " + runEnd(r.EndedBy) + " at " + moment(e.EndUs, t.now, t.zone) + "."
			if r.EndedBy == wire.AgentCrashed || r.EndedBy == wire.HostOff {
				e.State = Failing
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func runEnd(by wire.Reason) string {
	switch by {
	case wire.AgentCrashed:
		return "It ended without a word, while the machine ran on,"
	case wire.HostOff:
		return "The machine was switched off, restarted or lost its power"
	case wire.Updating:
		return "It stopped for an update"
	case wire.ClockStep:
		return "The machine's clock was changed"
	default:
		return "It was stopped"
	}
}

// failures tells of conditions that failed.
func (f *Fleet) failures(ctx context.Context, scope store.Scope, which id.Site, fromUs, toUs int64, t *teller) ([]Entry, error) {
	list, err := health.Failures(ctx, f.db.Read(), scope, which, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, c := range list {
		e := Entry{Kind: "condition", StartUs: c.SinceUs, Title: t.title(c), Text: c.Text, State: Failing}
		if c.EndUs != health.Lasts {
			e.EndUs, e.State = c.EndUs, OK
		}
		if _, todo := fault(c.Reason); e.Text == "" && c.Camera != "" && todo != "" {
			e.Text = strings.ToUpper(todo[:1]) + todo[1:] + "."
		}
		out = append(out, e)
	}
	return out, nil
}

func (t *teller) title(c health.Condition) string {
	if c.Camera == "" {
		return strings.TrimSuffix(strings.SplitN(trouble(c.Name), ":", 2)[0], ".")
	}
	name := t.names[c.Camera]
	if name == "" {
		name = string(c.Camera)
	}
	what, _ := fault(c.Reason)
	if what == "" {
		what = "not recording"
	}
	if c.Kind == string(id.Sub) {
		return fmt.Sprintf("Camera %s (small stream): %s", name, what)
	}
	return fmt.Sprintf("Camera %s: %s", name, what)
}

// session tells of the session that is open.
func (f *Fleet) session(scope store.Scope, which id.Site, fromUs, toUs int64) (Entry, bool) {
	s := f.find(scope, which)
	if s == nil {
		return Entry{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.connected || s.openedUs >= toUs || s.seenUs < fromUs {
		return Entry{}, false
	}
	return Entry{Kind: "session", StartUs: s.openedUs, Title: "Connected", State: OK, Text: "The agent is connected to the cloud."}, true
}
