// Package players holds the SQL of programs outside the portal that show live video with a token: what each may show,
// who made it, until when, and when it was last used.
//
// It stores sums of tokens, never tokens, and decides nothing: whether a player may still watch is the room access's. It
// promises to say with each player what became of its camera and site. Every function takes a store.Scope; outside it
// there is only store.ErrNotFound.
package players

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
)

// Limits of players.
const (
	MaxName    = 80  // characters of a name
	MaxPerSite = 100 // players of one site that are neither revoked nor expired
)

// Player is one program with a token.
type Player struct {
	ID         id.Player
	TokenHash  []byte // SHA-256 of the token, 32 bytes
	Org        id.Org
	Site       id.Site
	Camera     id.Camera // the one that it shows; empty: every camera of the site
	CameraName string    // read only
	Name       string
	MadeBy     id.Person
	MadeByName string // read only, also when the person was removed
	CreatedUs  int64
	ExpiresUs  int64
	UsedUs     int64 // last use, to the minute; 0: never
	RevokedUs  int64 // 0: not
	Astray     bool  // its camera or site was removed, or the camera belongs to another site now; read only
}

// ErrMany says that a site has MaxPerSite players already.
var ErrMany = errors.New("the site has as many players as one site can have: revoke one that is no longer used")

const query = `SELECT y.id, y.token_hash, y.org, y.site, COALESCE(y.camera, ''),
		COALESCE(CASE WHEN c.name = '' THEN c.site_name ELSE c.name END, ''), y.name, y.made_by, p.name, y.created_us, y.expires_us,
		y.used_us, y.revoked_us,
		s.deleted_us <> 0 OR y.camera IS NOT NULL AND (c.id IS NULL OR c.deleted_us <> 0 OR c.site <> y.site)
	FROM player y JOIN person p ON p.id = y.made_by JOIN site s ON s.id = y.site LEFT JOIN camera c ON c.id = y.camera AND c.org = y.org
	WHERE ($1 = '*' OR y.org = $1) AND `

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (p Player, err error) {
	err = row.Scan(&p.ID, &p.TokenHash, &p.Org, &p.Site, &p.Camera, &p.CameraName, &p.Name, &p.MadeBy, &p.MadeByName, &p.CreatedUs,
		&p.ExpiresUs, &p.UsedUs, &p.RevokedUs, &p.Astray)
	return p, err
}

// Add stores a new player; ErrMany if its site has MaxPerSite already.
func Add(ctx context.Context, q store.Querier, scope store.Scope, p Player) error {
	if err := orgs.Lock(ctx, q, scope, p.Org); err != nil { // of two that add at once, the second counts the first's
		return err
	}
	var have int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM player
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND revoked_us = 0 AND expires_us > $3`, scope.Filter(), p.Site, p.CreatedUs).Scan(&have)
	if err != nil {
		return fmt.Errorf("count players: %w", err)
	}
	if have >= MaxPerSite {
		return ErrMany
	}
	// The SELECT keeps a site of another tenant, or a removed one, out of the scope.
	return store.One(q.ExecContext(ctx, `INSERT INTO player (id, token_hash, org, site, camera, name, made_by, created_us, expires_us)
		SELECT $1, $2, org, id, $5, $6, $7, $8, $9 FROM site WHERE org = $3 AND id = $4 AND deleted_us = 0`,
		p.ID, p.TokenHash, p.Org, p.Site, sql.Null[id.Camera]{V: p.Camera, Valid: p.Camera != ""}, p.Name, p.MadeBy, p.CreatedUs, p.ExpiresUs))
}

// ByToken returns the player with a token, by the token's sum, whatever became of it.
func ByToken(ctx context.Context, q store.Querier, scope store.Scope, tokenHash []byte) (Player, error) {
	p, err := scan(q.QueryRowContext(ctx, query+`y.token_hash = $2`, scope.Filter(), tokenHash))
	return p, store.Found("get player by token", err)
}

// Get returns one player.
func Get(ctx context.Context, q store.Querier, scope store.Scope, player id.Player) (Player, error) {
	p, err := scan(q.QueryRowContext(ctx, query+`y.id = $2`, scope.Filter(), player))
	return p, store.Found("get player", err)
}

// List returns the players of a site, the newest first, those that were revoked or have expired included.
func List(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (list []Player, err error) {
	rows, err := q.QueryContext(ctx, query+`y.site = $2 ORDER BY y.created_us DESC, y.id`, scope.Filter(), site)
	if err != nil {
		return nil, fmt.Errorf("list players: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read player: %w", err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Revoke ends a player; store.ErrNotFound if it was revoked already.
func Revoke(ctx context.Context, q store.Querier, scope store.Scope, player id.Player, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE player SET revoked_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND revoked_us = 0`,
		scope.Filter(), player, nowUs))
}

// Touch moves the last use of a player; store.ErrNotFound if it was revoked.
func Touch(ctx context.Context, q store.Querier, scope store.Scope, player id.Player, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE player SET used_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND revoked_us = 0`,
		scope.Filter(), player, nowUs))
}

// Sweep forgets players, of every organisation in the scope, that have expired before a time or were revoked before it.
func Sweep(ctx context.Context, q store.Querier, scope store.Scope, beforeUs int64) error {
	_, err := q.ExecContext(ctx, `DELETE FROM player
		WHERE ($1 = '*' OR org = $1) AND (expires_us <= $2 OR revoked_us <> 0 AND revoked_us <= $2)`, scope.Filter(), beforeUs)
	if err != nil {
		return fmt.Errorf("sweep players: %w", err)
	}
	return nil
}
