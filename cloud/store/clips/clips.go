// Package clips keeps the rows of clips and of the rules that choose them.
//
// It promises that one event chooses at most one clip by one rule, that a final state (stored, unavailable,
// lost) never goes back, and that a deleted clip is seen by nobody while its bytes are being removed. It never
// touches the bytes themselves.
package clips

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Clip is a chosen range of video.
type Clip struct {
	ID         id.Clip
	Org        id.Org
	Site       id.Site
	Camera     id.Camera
	Stream     id.StreamKind
	Title      string
	StartUs    int64 // what was wanted: [StartUs, EndUs)
	EndUs      int64
	Audio      bool
	State      wire.ClipState
	Reason     string // for a person
	NearestUs  int64
	CutStartUs int64 // what was cut
	CutEndUs   int64
	Bytes      int64
	Sent       int64
	Codec      string
	Gaps       []wire.GapFact
	Rule       id.Rule
	Event      id.Event
	Person     id.Person
	CreatedUs  int64
	Upload     Upload
}

// Upload is how the clip's bytes are on their way.
type Upload struct {
	Handle    string // of the clip store; empty when none is under way
	PartBytes int64
	SHA256    []byte   // of the whole file
	Parts     [][]byte // of each part
}

// Final reports whether the state never changes again.
func (c *Clip) Final() bool {
	return c.State == wire.ClipStored || c.State == wire.ClipUnavailable || c.State == wire.ClipLost
}

// Order is what the agent is told.
func (c *Clip) Order() wire.ClipOrder {
	return wire.ClipOrder{Clip: c.ID, Camera: c.Camera, Stream: c.Stream, StartUs: c.StartUs, EndUs: c.EndUs, Audio: c.Audio}
}

const columns = `id, org, site, camera, stream, title, start_us, end_us, audio, state, reason, nearest_us,
	cut_start_us, cut_end_us, bytes, sent, codec, gaps, rule, event, person, created_us, upload, part_bytes, sha256, parts`

func scan(row interface{ Scan(...any) error }) (Clip, error) {
	var c Clip
	var gaps string
	var parts []byte
	var audio int64
	err := row.Scan(&c.ID, &c.Org, &c.Site, &c.Camera, &c.Stream, &c.Title, &c.StartUs, &c.EndUs, &audio, &c.State, &c.Reason,
		&c.NearestUs, &c.CutStartUs, &c.CutEndUs, &c.Bytes, &c.Sent, &c.Codec, &gaps, &c.Rule, &c.Event, &c.Person, &c.CreatedUs,
		&c.Upload.Handle, &c.Upload.PartBytes, &c.Upload.SHA256, &parts)
	if errors.Is(err, sql.ErrNoRows) {
		return Clip{}, store.ErrNotFound
	}
	if err != nil {
		return Clip{}, fmt.Errorf("read clip: %w", err)
	}
	c.Audio = audio != 0
	for ; len(parts) >= 32; parts = parts[32:] {
		c.Upload.Parts = append(c.Upload.Parts, parts[:32])
	}
	if err := json.Unmarshal([]byte(gaps), &c.Gaps); err != nil {
		return Clip{}, fmt.Errorf("read gaps of clip %s: %w", c.ID, err)
	}
	return c, nil
}

// Insert adds a wanted clip. It reports false, without an error, when the same event has chosen one by the same
// rule before.
func Insert(ctx context.Context, q store.Querier, c Clip) (bool, error) {
	audio := 0
	if c.Audio {
		audio = 1
	}
	res, err := q.ExecContext(ctx, `INSERT INTO clip (id, org, site, camera, stream, title, start_us, end_us, audio, state,
			rule, event, person, created_us, changed_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'wanted', $10, $11, $12, $13, $13)
		ON CONFLICT (event, rule) WHERE event <> '' DO NOTHING`,
		c.ID, c.Org, c.Site, c.Camera, c.Stream, c.Title, c.StartUs, c.EndUs, audio, c.Rule, c.Event, c.Person, c.CreatedUs)
	if err != nil {
		return false, fmt.Errorf("insert clip: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Get returns a clip that is not deleted.
func Get(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip) (Clip, error) {
	return scan(q.QueryRowContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), clip))
}

// Filter narrows a list; zero fields mean all.
type Filter struct {
	Sites    []id.Site // nil: every site; empty: none
	Site     id.Site
	Camera   id.Camera
	State    wire.ClipState
	FromUs   int64 // clips that overlap [FromUs, ToUs); 0, 0: all
	ToUs     int64
	BeforeUs int64 // created before this; 0: from the newest
	BeforeID id.Clip
	Limit    int // at most 500
}

// List returns clips, newest first.
func List(ctx context.Context, q store.Querier, scope store.Scope, f Filter) ([]Clip, error) {
	if f.Limit <= 0 || f.Limit > 500 {
		f.Limit = 500
	}
	sites := "*"
	if f.Sites != nil {
		text, err := json.Marshal(f.Sites)
		if err != nil {
			return nil, fmt.Errorf("list clips: %w", err)
		}
		sites = string(text)
	}
	// IDs are of one length and hold no quote, so a site is in the JSON list exactly if its quoted text is.
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND deleted_us = 0
			AND ($2 = '' OR site = $2) AND ($3 = '' OR camera = $3) AND ($4 = '' OR state = $4)
			AND (end_us > $5 OR $5 = 0) AND (start_us < $6 OR $6 = 0)
			AND (created_us < $7 OR $7 = 0 OR (created_us = $7 AND id < $8))
			AND ($9 = '*' OR replace($9, '"' || site || '"', '') <> $9)
		ORDER BY created_us DESC, id DESC LIMIT $10`,
		scope.Filter(), f.Site, f.Camera, f.State, f.FromUs, f.ToUs, f.BeforeUs, f.BeforeID, sites, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list clips: %w", err)
	}
	return collect(rows)
}

func collect(rows *sql.Rows) ([]Clip, error) {
	defer func() { _ = rows.Close() }()
	out := []Clip{}
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// Open returns the clips of a site that are not in a final state, oldest first.
func Open(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0
		AND state NOT IN ('stored', 'unavailable', 'lost') ORDER BY created_us, id LIMIT 500`, scope.Filter(), site)
	if err != nil {
		return nil, fmt.Errorf("list open clips: %w", err)
	}
	return collect(rows)
}

// Report applies what an agent says of a clip of its own site. A final state stays; of a stored clip, whose bytes
// may be faster than the words about them, only the description is taken. An unknown or deleted clip is no error,
// since it may have been deleted meanwhile.
func Report(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, f wire.ClipFact, nowUs int64) error {
	gaps, err := json.Marshal(f.Gaps)
	if err != nil {
		return fmt.Errorf("report clip: %w", err)
	}
	if f.Gaps == nil {
		gaps = []byte("[]")
	}
	_, err = q.ExecContext(ctx, `UPDATE clip SET nearest_us = $6, codec = $7, changed_us = $8, gaps = $13,
			state = CASE WHEN state = 'stored' THEN state ELSE $4 END, reason = $5,
			bytes = CASE WHEN CAST($9 AS BIGINT) > 0 THEN $9 ELSE bytes END,
			sent = CASE WHEN sent < $10 THEN $10 ELSE sent END,
			cut_start_us = CASE WHEN CAST($11 AS BIGINT) > 0 THEN $11 ELSE cut_start_us END,
			cut_end_us = CASE WHEN CAST($12 AS BIGINT) > 0 THEN $12 ELSE cut_end_us END
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND id = $3 AND deleted_us = 0 AND state NOT IN ('unavailable', 'lost')
			AND (state <> 'stored' OR $4 IN ('queued', 'uploading'))`,
		scope.Filter(), site, f.Clip, f.State, f.Reason, f.NearestUs, f.Codec, nowUs, f.Bytes, f.Sent, f.StartUs, f.EndUs, string(gaps))
	if err != nil {
		return fmt.Errorf("report clip: %w", err)
	}
	return nil
}

// SetUpload records that an upload began.
func SetUpload(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, u Upload, bytes, nowUs int64) error {
	var parts []byte
	for _, p := range u.Parts {
		parts = append(parts, p...)
	}
	return one(q.ExecContext(ctx, `UPDATE clip SET upload = $3, part_bytes = $4, sha256 = $5, parts = $6, bytes = $7, sent = 0,
			state = 'uploading', changed_us = $8
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0 AND state NOT IN ('stored', 'unavailable', 'lost')`,
		scope.Filter(), clip, u.Handle, u.PartBytes, u.SHA256, parts, bytes, nowUs))
}

// SetSent records how many bytes have arrived.
func SetSent(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, sent, nowUs int64) error {
	_, err := q.ExecContext(ctx, `UPDATE clip SET sent = $3, changed_us = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND state = 'uploading'`, scope.Filter(), clip, sent, nowUs)
	if err != nil {
		return fmt.Errorf("set progress of clip: %w", err)
	}
	return nil
}

// SetStored records that the bytes are complete and verified.
func SetStored(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, nowUs int64) error {
	return one(q.ExecContext(ctx, `UPDATE clip SET state = 'stored', reason = '', upload = '', sent = bytes, changed_us = $3
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), clip, nowUs))
}

// ResetUpload forgets an upload that failed verification, so that it begins anew.
func ResetUpload(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, reason string, nowUs int64) error {
	return one(q.ExecContext(ctx, `UPDATE clip SET state = 'queued', reason = $3, upload = '', sent = 0, changed_us = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND state = 'uploading'`, scope.Filter(), clip, reason, nowUs))
}

// Rename gives a clip another title.
func Rename(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, title string) error {
	return one(q.ExecContext(ctx, `UPDATE clip SET title = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), clip, title))
}

// Delete hides a clip; Remove drops the row when its bytes are gone.
func Delete(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, nowUs int64) error {
	return one(q.ExecContext(ctx, `UPDATE clip SET deleted_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), clip, nowUs))
}

// Deleted returns deleted clips whose bytes may still be there.
func Deleted(ctx context.Context, q store.Querier, scope store.Scope) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND deleted_us > 0
		ORDER BY deleted_us LIMIT 200`, scope.Filter())
	if err != nil {
		return nil, fmt.Errorf("list deleted clips: %w", err)
	}
	return collect(rows)
}

// Remove drops the row of a deleted clip.
func Remove(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip) error {
	_, err := q.ExecContext(ctx, `DELETE FROM clip WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us > 0`, scope.Filter(), clip)
	if err != nil {
		return fmt.Errorf("remove clip: %w", err)
	}
	return nil
}

// WaitingSites returns the sites that have clips in state wanted.
func WaitingSites(ctx context.Context, q store.Querier, scope store.Scope) ([]id.Site, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT site FROM clip WHERE ($1 = '*' OR org = $1) AND deleted_us = 0
		AND state = 'wanted' LIMIT 10000`, scope.Filter())
	if err != nil {
		return nil, fmt.Errorf("list sites with wanted clips: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []id.Site
	for rows.Next() {
		var s id.Site
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("read site: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// one turns "no row was changed" into ErrNotFound.
func one(res sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("change clip: %w", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// OfEvents returns the clip that shows each of these events, where there is one.
func OfEvents(ctx context.Context, q store.Querier, scope store.Scope, list []id.Event) (map[id.Event]id.Clip, error) {
	out := map[id.Event]id.Clip{}
	for _, e := range list {
		var c id.Clip
		err := q.QueryRowContext(ctx, `SELECT id FROM clip WHERE ($1 = '*' OR org = $1) AND event = $2 AND event <> '' AND deleted_us = 0
			ORDER BY created_us LIMIT 1`, scope.Filter(), e).Scan(&c)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return nil, fmt.Errorf("find clip of event: %w", err)
		default:
			out[e] = c
		}
	}
	return out, nil
}
