// Package clips keeps the rows of clips, of the events that they show, of the pieces of their parts that are not
// whole yet, of the rules that choose them, and of what an organisation says of keeping them.
//
// It promises that a final state (stored, unavailable, lost) never goes back, that expires_us always says what
// keep_days mean, and that a deleted clip is seen by nobody while its bytes are being removed. It never touches the
// bytes of an object, and it decides nothing: package clip does.
package clips

import (
	"context"
	"database/sql"
	"encoding/json"
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
	CutStream  id.StreamKind // the stream that is cut in place of Stream; empty: none
	Bytes      int64
	Sent       int64
	Codec      string
	Gaps       []wire.GapFact
	Rule       id.Rule
	Event      id.Event
	Person     id.Person
	CreatedUs  int64
	Priority   wire.Priority
	KeepDays   int   // from its end or from the wish, whichever is later; ByDefault, ForEver
	ExpiresUs  int64 // when it is removed; 0: never
	OrderedUs  int64 // when the agent took the order as it is now; 0: not yet
	BeganUs    int64 // when its upload began
	StoredUs   int64
	Upload     Upload
}

// Values of KeepDays that are no days.
const (
	ByDefault = -1 // as the organisation says
	ForEver   = 0
)

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

// SteppedDown reports whether the clip is of another stream than the one that was wanted.
func (c *Clip) SteppedDown() bool { return c.CutStream != "" && c.CutStream != c.Stream }

// Order is what the agent is told.
func (c *Clip) Order() wire.ClipOrder {
	return wire.ClipOrder{
		Clip: c.ID, Camera: c.Camera, Stream: c.Stream, StartUs: c.StartUs, EndUs: c.EndUs, Audio: c.Audio, Priority: c.Priority,
	}
}

const columns = `id, org, site, camera, stream, title, start_us, end_us, audio, state, reason, nearest_us,
	cut_start_us, cut_end_us, bytes, sent, codec, gaps, rule, event, person, created_us, priority, keep_days, expires_us, ordered_us,
	began_us, stored_us, upload, part_bytes, sha256, parts, cut_stream`

func scan(row interface{ Scan(...any) error }) (Clip, error) {
	var c Clip
	var gaps string
	var parts []byte
	var audio int64
	err := row.Scan(&c.ID, &c.Org, &c.Site, &c.Camera, &c.Stream, &c.Title, &c.StartUs, &c.EndUs, &audio, &c.State, &c.Reason,
		&c.NearestUs, &c.CutStartUs, &c.CutEndUs, &c.Bytes, &c.Sent, &c.Codec, &gaps, &c.Rule, &c.Event, &c.Person, &c.CreatedUs,
		&c.Priority, &c.KeepDays, &c.ExpiresUs, &c.OrderedUs, &c.BeganUs, &c.StoredUs, &c.Upload.Handle, &c.Upload.PartBytes, &c.Upload.SHA256, &parts,
		&c.CutStream)
	if err != nil {
		return Clip{}, store.Found("read clip", err)
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

// Insert adds a wanted clip.
func Insert(ctx context.Context, q store.Querier, c Clip) error {
	_, err := q.ExecContext(ctx, `INSERT INTO clip (id, org, site, camera, stream, title, start_us, end_us, audio, state,
			rule, event, person, created_us, changed_us, priority, keep_days, expires_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'wanted', $10, $11, $12, $13, $13, $14, $15, `+expiry("$15", "$2", "$8", "$13")+`)`,
		c.ID, c.Org, c.Site, c.Camera, c.Stream, c.Title, c.StartUs, c.EndUs, flag(c.Audio), c.Rule, c.Event, c.Person, c.CreatedUs,
		c.Priority, c.KeepDays)
	if err != nil {
		return fmt.Errorf("insert clip: %w", err)
	}
	return nil
}

// expiry is the SQL of expires_us, made of the SQL of four other columns. The casts let PostgreSQL find the types of
// placeholders.
func expiry(keep, org, end, created string) string {
	days := `CASE WHEN CAST(` + keep + ` AS BIGINT) >= 0 THEN CAST(` + keep + ` AS BIGINT) ELSE
		COALESCE((SELECT keep_days FROM clip_setting WHERE org = ` + org + `), 0) END`
	from := `CASE WHEN CAST(` + end + ` AS BIGINT) > CAST(` + created + ` AS BIGINT) THEN CAST(` + end + ` AS BIGINT)
		ELSE CAST(` + created + ` AS BIGINT) END`
	return `(CASE WHEN ` + days + ` = 0 THEN 0 ELSE ` + from + ` + (` + days + `) * 86400000000 END)`
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
