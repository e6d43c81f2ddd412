package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/players"
	"holdfast/shared/id"
)

// Player is what a program outside the portal may show.
type Player struct {
	ID     id.Player
	Name   string
	Site   id.Site
	Camera id.Camera // empty: every camera of the site
}

// shows reports whether a target lies inside what a program may show. A site as a whole is a target of none of them.
func (p *Player) shows(t Target) bool {
	return t.Site == p.Site && t.Camera != "" && (p.Camera == "" || t.Camera == p.Camera)
}

// ErrPlayer says that a program's token serves no longer, or never did. What wraps it says why, which its holder may know.
var ErrPlayer = errors.New("this player's token is not valid")

// Reasons of ErrPlayer.
var (
	errTokenUnknown = fmt.Errorf("%w: copy the whole token again, or ask for a new one", ErrPlayer)
	errTokenRevoked = fmt.Errorf("%w any more: it was revoked. Ask for a new one", ErrPlayer)
	errTokenExpired = fmt.Errorf("%w any more: its time is over. Ask for a new one", ErrPlayer)
	errTokenLost    = fmt.Errorf("%w any more: who made it may no longer watch there, or the camera has gone. Ask for a new one", ErrPlayer)
)

// PlayerState says whether a player's token serves.
type PlayerState string

// States of a player.
const (
	PlayerServes  PlayerState = "serves"
	PlayerExpired PlayerState = "expired"
	PlayerRevoked PlayerState = "revoked"
	PlayerLost    PlayerState = "lost" // its maker lost the right or left, or its camera or site is gone or elsewhere
)

// Err returns nil for a token that serves, else an error that is ErrPlayer.
func (s PlayerState) Err() error {
	switch s {
	case PlayerServes:
		return nil
	case PlayerExpired:
		return errTokenExpired
	case PlayerRevoked:
		return errTokenRevoked
	default:
		return errTokenLost
	}
}

// ListedPlayer is a player and whether it serves.
type ListedPlayer struct {
	players.Player
	State PlayerState
}

// tokenMark begins every token of a player, so that it is known for what it is where it should not be.
const tokenMark = "hfp_"

// Bounds of a player's time.
const (
	PlayerDays    = 30  // if nothing is said
	MaxPlayerDays = 365 // at most
)

// PlayerWish is what is asked for a new player.
type PlayerWish struct {
	Name   string
	Site   id.Site
	Camera id.Camera // a camera of the site, checked; empty: every one
	Days   int       // 1 to MaxPlayerDays; 0: PlayerDays
}

// AddPlayer makes a player and its token, which is told only here. It needs EditPlayers and Live at the site; a fault of
// the wish is *Invalid, too many players are players.ErrMany.
func (a *Access) AddPlayer(ctx context.Context, actor Actor, wish PlayerWish) (_ ListedPlayer, token string, err error) {
	for _, action := range []Action{EditPlayers, Live} {
		if err := Can(actor, action, Target{Org: actor.Org, Site: wish.Site, Camera: wish.Camera}); err != nil {
			return ListedPlayer{}, "", err
		}
	}
	name, err := orgs.Text(wish.Name, players.MaxName)
	if err == nil && name == "" {
		err = errors.New("is empty: give at least one character")
	}
	if err != nil {
		return ListedPlayer{}, "", &Invalid{Field: "name", Text: "The name " + err.Error() + "."}
	}
	days := wish.Days
	if days == 0 {
		days = PlayerDays
	}
	if days < 1 || days > MaxPlayerDays {
		return ListedPlayer{}, "", &Invalid{Field: "days", Text: fmt.Sprintf("A token serves for 1 to %d days: give a number between them.", MaxPlayerDays)}
	}
	secret, _ := newToken()
	token = tokenMark + secret
	now := a.cfg.Now()
	p := players.Player{
		ID: id.New[id.Player](), TokenHash: tokenSum(token), Org: actor.Org, Site: wish.Site, Camera: wish.Camera, Name: name, MadeBy: actor.Person,
		CreatedUs: now.UnixMicro(), ExpiresUs: now.AddDate(0, 0, days).UnixMicro(),
	}
	entry := playerEntry(DeedPlayerMade, p)
	entry.Detail += fmt.Sprintf(", for %d days", days)
	err = a.Change(ctx, actor, entry, func(q store.Querier) error { return players.Add(ctx, q, actor.Scope(), p) })
	if err != nil {
		return ListedPlayer{}, "", err
	}
	p, err = players.Get(ctx, a.db.Read(), actor.Scope(), p.ID)
	return ListedPlayer{p, PlayerServes}, token, err
}

func playerEntry(deed Deed, p players.Player) Entry {
	what := "every camera of the site"
	if p.Camera != "" {
		what = "camera " + string(p.Camera)
	}
	return Entry{Deed: deed, Target: string(p.ID), Site: p.Site, Detail: fmt.Sprintf("%s: %s", p.Name, what)}
}

// Players returns the players of a site, the newest first; it needs EditPlayers there.
func (a *Access) Players(ctx context.Context, actor Actor, site id.Site) ([]ListedPlayer, error) {
	if err := Can(actor, EditPlayers, Target{Org: actor.Org, Site: site}); err != nil {
		return nil, err
	}
	list, err := players.List(ctx, a.db.Read(), actor.Scope(), site)
	out := make([]ListedPlayer, 0, len(list))
	for _, p := range list {
		_, state, err := a.judge(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, ListedPlayer{p, state})
	}
	return out, err
}

// RevokePlayer ends a player's token at once and its open sessions when the right to them is read next; it needs
// EditPlayers at the site. One that was revoked already is store.ErrNotFound.
func (a *Access) RevokePlayer(ctx context.Context, actor Actor, player id.Player) error {
	p, err := players.Get(ctx, a.db.Read(), actor.Scope(), player)
	if err != nil {
		return err
	}
	if err := Can(actor, EditPlayers, Target{Org: p.Org, Site: p.Site}); err != nil {
		return err
	}
	entry := playerEntry(DeedPlayerRevoked, p)
	entry.Detail += ", made by " + p.MadeByName
	return a.Change(ctx, actor, entry, func(q store.Querier) error {
		return players.Revoke(ctx, q, actor.Scope(), p.ID, a.nowUs())
	})
}

// judge says whether a player serves now, and returns who made it if so.
func (a *Access) judge(ctx context.Context, p players.Player) (people.Person, PlayerState, error) {
	switch {
	case p.RevokedUs != 0:
		return people.Person{}, PlayerRevoked, nil
	case p.ExpiresUs <= a.nowUs():
		return people.Person{}, PlayerExpired, nil
	case p.Astray:
		return people.Person{}, PlayerLost, nil
	}
	maker, err := people.Get(ctx, a.db.Read(), store.Org(p.Org), p.MadeBy)
	if errors.Is(err, store.ErrNotFound) {
		return maker, PlayerLost, nil
	}
	if err != nil {
		return maker, "", err
	}
	may := Actor{Person: maker.ID, Org: maker.Org, Role: Role(maker.Role), Sites: maker.Sites}
	for _, action := range []Action{EditPlayers, Live} {
		if Can(may, action, Target{Org: p.Org, Site: p.Site}) != nil {
			return maker, PlayerLost, nil
		}
	}
	return maker, PlayerServes, nil
}

// AuthenticatePlayer returns the actor of a program's token: who made it, with that person's rights as they are now, and
// no more of them than the token gives. It fails with ErrPlayer, which is to be told to CountVain.
func (a *Access) AuthenticatePlayer(ctx context.Context, token, ip string) (Actor, error) {
	if !strings.HasPrefix(token, tokenMark) {
		return Actor{}, errTokenUnknown
	}
	return a.playerBySum(ctx, tokenSum(token), ip)
}

// CountVain counts a player's token that was tried in vain from an address; *LimitedError when there were too many, as of
// sign-ins. A token that serves is taken from there all the same: it can't be guessed, and who shares the address with a
// program that has an old one should not suffer for it.
func (a *Access) CountVain(ctx context.Context, ip string) error {
	err := a.countTry(ctx, playerKeys(ip))
	var limited *LimitedError
	if errors.As(err, &limited) {
		limited.Ask = "a new token"
	}
	return err
}

func (a *Access) playerBySum(ctx context.Context, sum []byte, ip string) (Actor, error) {
	p, err := players.ByToken(ctx, a.db.Read(), store.System(store.UseToken), sum)
	if errors.Is(err, store.ErrNotFound) {
		return Actor{}, errTokenUnknown
	}
	if err != nil {
		return Actor{}, err
	}
	maker, state, err := a.judge(ctx, p)
	if err == nil {
		err = state.Err()
	}
	if err != nil {
		return Actor{}, err
	}
	if now := a.cfg.Now(); now.UnixMicro()-p.UsedUs >= touchEvery.Microseconds() {
		err := a.db.Tx(ctx, func(q store.Querier) error {
			return players.Touch(ctx, q, store.Org(p.Org), p.ID, now.UnixMicro())
		})
		if errors.Is(err, store.ErrNotFound) {
			return Actor{}, errTokenRevoked
		}
		if err != nil {
			return Actor{}, err
		}
	}
	return Actor{
		Person: maker.ID, Name: maker.Name, Email: maker.Email, Org: maker.Org, Role: Role(maker.Role), Sites: maker.Sites, IP: ip,
		Player: &Player{ID: p.ID, Name: p.Name, Site: p.Site, Camera: p.Camera}, tokenHash: sum,
	}, nil
}
