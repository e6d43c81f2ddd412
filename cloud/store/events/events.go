// Package events holds the SQL of what happened at the sites.
//
// An event is stored once: the same ID from the same site again changes nothing but an end that was missing.
// Lists go backwards in time, page by page, and read only as much of an index as they answer.
package events

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Event is something that happened at a site.
type Event struct {
	Org  id.Org
	Site id.Site
	wire.EventFact
}

// Put stores events and returns those that were not known. A known one gets its end if it had none.
func Put(ctx context.Context, q store.Querier, org id.Org, site id.Site, facts []wire.EventFact) ([]wire.EventFact, error) {
	rows := bulk.New(10, len(facts))
	for _, f := range facts {
		rows.Add(org, site, f.ID, f.Camera, f.Kind, f.Source, f.AtUs, f.EndUs, f.Text, string(f.Data))
	}
	made, err := rows.Strings(ctx, q, `INSERT INTO event (org, site, id, camera, kind, source, at_us, end_us, text, data)`,
		`ON CONFLICT (site, id) DO NOTHING RETURNING id`)
	if err != nil {
		return nil, fmt.Errorf("store events: %w", err)
	}
	if len(made) == len(facts) {
		return facts, unpack(ctx, q, org, site, facts)
	}
	left := make(map[id.Event]bool, len(made))
	for _, m := range made {
		left[id.Event(m)] = true
	}
	var fresh, changed []wire.EventFact
	for _, f := range facts {
		if left[f.ID] {
			delete(left, f.ID)
			fresh = append(fresh, f)
			continue
		}
		if f.EndUs == 0 {
			continue
		}
		_, err := q.ExecContext(ctx, `UPDATE event SET end_us = $4 WHERE org = $1 AND site = $2 AND id = $3 AND end_us = 0`,
			org, site, f.ID, f.EndUs)
		if err != nil {
			return nil, fmt.Errorf("store end of event: %w", err)
		}
		changed = append(changed, f)
	}
	return fresh, unpack(ctx, q, org, site, append(changed, fresh...))
}

// Filter says which events are wanted. Zero values do not filter.
type Filter struct {
	Sites   []id.Site // the sites that the reader is limited to: nil means every site of the scope, empty none
	Site    id.Site
	Camera  id.Camera
	Cameras []id.Camera // of any of these, maxBranches at most; none: of all
	Kind    string
	FromUs  int64
	ToUs    int64  // exclusive
	Before  string // as List answered in next
	Limit   int    // 1 to MaxLimit; 0 is DefaultLimit
}

// Bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 500
)

// maxBranches bounds how many sites, or cameras, one statement asks one by one; for a reader of more sites, their rows
// are picked out of the organisation's.
const maxBranches = 50

// ErrCursor says that Filter.Before is not what List answered.
var ErrCursor = errors.New("not a cursor of this list: start again without 'before'")

// List returns events, newest first, and the cursor for older ones, empty at the end.
func List(ctx context.Context, q store.Querier, scope store.Scope, f Filter) ([]Event, string, error) {
	f.Limit = min(max(f.Limit, 0), MaxLimit)
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	query, args, err := f.query(scope)
	if err != nil {
		return nil, "", err
	}
	if query == "" {
		return []Event{}, "", nil
	}
	rows, err := q.QueryContext(ctx, query, args...)
	out, err := bulk.Collect(rows, err, "events", scan)
	next := ""
	if len(out) > f.Limit {
		out = out[:f.Limit]
		last := out[f.Limit-1]
		next = strconv.FormatInt(last.AtUs, 10) + "." + string(last.ID)
	}
	return out, next, err
}

func scan(rows *sql.Rows) (e Event, err error) {
	var data string
	err = rows.Scan(&e.Org, &e.Site, &e.ID, &e.Camera, &e.Kind, &e.Source, &e.AtUs, &e.EndUs, &e.Text, &data)
	if data != "" {
		e.Data = json.RawMessage(data)
	}
	return e, err
}

// statement collects SQL and its arguments.
type statement struct {
	text strings.Builder
	args []any
}

func (s *statement) add(text string, args ...any) {
	for _, a := range args {
		s.args = append(s.args, a)
		text = strings.Replace(text, "?", "$"+strconv.Itoa(len(s.args)), 1)
	}
	s.text.WriteString(text)
}

// query returns the statement, empty if the reader may see no site that is asked for.
func (f Filter) query(scope store.Scope) (string, []any, error) {
	var sites []id.Site
	switch {
	case f.Site != "" && f.Sites != nil && !contains(f.Sites, f.Site):
		return "", nil, nil
	case f.Site != "":
		sites = []id.Site{f.Site}
	case f.Sites != nil && len(f.Sites) == 0:
		return "", nil, nil
	default:
		sites = f.Sites
	}
	switch {
	case len(f.Cameras) > maxBranches:
		return "", nil, errCameras
	case len(f.Cameras) > 0:
		return f.union(len(f.Cameras), func(s *statement, i int) error {
			one := f
			one.Camera = f.Cameras[i]
			return one.branch(s, scope, sites)
		})
	case len(sites) == 0 || len(sites) > maxBranches || f.Camera != "":
		s := &statement{}
		err := f.branch(s, scope, sites)
		return s.text.String(), s.args, err
	}
	// Each site's newest rows come from that site's index; so a reader of few sites of a large organisation
	// does not read the others' rows.
	return f.union(len(sites), func(s *statement, i int) error { return f.branch(s, scope, sites[i:i+1]) })
}

// errCameras says that a question names too many cameras.
var errCameras = fmt.Errorf("events of more than %d cameras: ask for fewer at once", maxBranches)

// union is the newest rows of several branches.
func (f Filter) union(branches int, add func(s *statement, i int) error) (string, []any, error) {
	s := &statement{}
	s.add(`SELECT * FROM (`)
	for i := range branches {
		if i > 0 {
			s.add(` UNION ALL `)
		}
		s.add(`SELECT * FROM (`)
		if err := add(s, i); err != nil {
			return "", nil, err
		}
		s.add(`) AS b` + strconv.Itoa(i))
	}
	s.add(`) AS e ORDER BY at_us DESC, id DESC LIMIT ?`, f.Limit+1)
	return s.text.String(), s.args, nil
}

// branch appends the query over one index: of a camera, a site, a kind or the organisation.
func (f Filter) branch(s *statement, scope store.Scope, sites []id.Site) error {
	s.add(`SELECT org, site, id, camera, kind, source, at_us, end_us, text, data FROM event WHERE `)
	if scope.OrgID() != "" {
		s.add(`org = ?`, scope.OrgID())
	} else {
		s.add(`? = '*'`, scope.Filter())
	}
	switch len(sites) {
	case 0:
	case 1:
		s.add(` AND site = ?`, sites[0])
	default:
		s.add(` AND site IN (`)
		for i, site := range sites {
			if i > 0 {
				s.add(`, `)
			}
			s.add(`?`, site)
		}
		s.add(`)`)
	}
	if f.Camera != "" {
		s.add(` AND camera = ? AND camera <> ''`, f.Camera)
	}
	if f.Kind != "" {
		s.add(` AND kind = ?`, f.Kind)
	}
	if f.FromUs != 0 {
		s.add(` AND at_us >= ?`, f.FromUs)
	}
	if f.ToUs != 0 {
		s.add(` AND at_us < ?`, f.ToUs)
	}
	if f.Before != "" {
		at, event, ok := strings.Cut(f.Before, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if _, bad := id.Parse[id.Event](event); !ok || err != nil || bad != nil {
			return ErrCursor
		}
		s.add(` AND (at_us, id) < (?, ?)`, us, event)
	}
	s.add(` ORDER BY at_us DESC, id DESC LIMIT ?`, f.Limit+1)
	return nil
}

func contains(sites []id.Site, site id.Site) bool {
	for _, s := range sites {
		if s == site {
			return true
		}
	}
	return false
}

// Sweep removes at most limit events of a site from before beforeUs and returns how many it removed.
func Sweep(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, beforeUs int64, limit int) (int64, error) {
	r, err := q.ExecContext(ctx, `DELETE FROM event WHERE site = $2 AND id IN (
			SELECT id FROM event WHERE ($1 = '*' OR org = $1) AND site = $2 AND at_us < $3 LIMIT $4)`,
		scope.Filter(), site, beforeUs, limit)
	if err != nil {
		return 0, fmt.Errorf("sweep events: %w", err)
	}
	return r.RowsAffected()
}
