package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/audit"
	"holdfast/shared/id"
)

// Deed is what a row of the audit says was done. The list is closed.
type Deed string

// The deeds.
const (
	DeedSetup           Deed = "setup"
	DeedSignIn          Deed = "sign_in"
	DeedSignInFailed    Deed = "sign_in_failed"
	DeedSignOut         Deed = "sign_out"
	DeedPasswordChanged Deed = "password_changed"
	DeedLinkUsed        Deed = "link_used"
	DeedPersonInvited   Deed = "person_invited"
	DeedPersonChanged   Deed = "person_changed"
	DeedPersonRemoved   Deed = "person_removed"
	DeedPersonReset     Deed = "person_reset"
	DeedRegionAdded     Deed = "region_added"
	DeedRegionChanged   Deed = "region_changed"
	DeedRegionRemoved   Deed = "region_removed"
	DeedSiteAdded       Deed = "site_added"
	DeedSiteChanged     Deed = "site_changed"
	DeedSiteRemoved     Deed = "site_removed"
	DeedCameraChanged   Deed = "camera_changed"
	DeedCameraRemoved   Deed = "camera_removed"
	DeedCameraMoved     Deed = "camera_moved" // somebody began to turn or zoom it
	DeedCameraTaken     Deed = "camera_taken" // from somebody who moved it
	DeedPresetSaved     Deed = "preset_saved"
	DeedPresetRemoved   Deed = "preset_removed"
	DeedCodeMade        Deed = "code_made"
	DeedAgentRevoked    Deed = "agent_revoked"
	DeedAgentEnrolled   Deed = "agent_enrolled"
	DeedAgentAlarm      Deed = "agent_alarm" // forged, doubled or guessed identities
	DeedLive            Deed = "live_viewed"
	DeedPlayback        Deed = "playback_viewed"
	DeedStill           Deed = "still_viewed"
	DeedClipOrdered     Deed = "clip_ordered"
	DeedClipViewed      Deed = "clip_viewed"
	DeedClipDownloaded  Deed = "clip_downloaded"
	DeedClipChanged     Deed = "clip_changed"
	DeedClipRemoved     Deed = "clip_removed"
	DeedHoldMade        Deed = "hold_made"
	DeedHoldAgreed      Deed = "hold_agreed" // to hold more than half of a disk
	DeedHoldReleased    Deed = "hold_released"
	DeedClipSettings    Deed = "clip_settings"
	DeedRuleAdded       Deed = "rule_added"
	DeedRuleChanged     Deed = "rule_changed"
	DeedRuleRemoved     Deed = "rule_removed"
	DeedWallAdded       Deed = "wall_added"
	DeedWallChanged     Deed = "wall_changed"
	DeedWallRemoved     Deed = "wall_removed"
	DeedPlayerMade      Deed = "player_made"
	DeedPlayerRevoked   Deed = "player_revoked"
	DeedPlayed          Deed = "live_played" // a program watched live, with the right of who made its token
	DeedTalk            Deed = "talk_begun"  // somebody speaks through a camera's loudspeaker
	DeedTalked          Deed = "talk_ended"  // from when to when
	DeedAlertsChanged   Deed = "alerts_changed"
	DeedAlertsTested    Deed = "alerts_tested"
	DeedRefused         Deed = "refused"
)

// Entry is what happened, without who and when.
type Entry struct {
	Deed   Deed
	Target string // ID of what was seen or changed
	Site   id.Site
	Detail string // for a person
}

// maxDetail is how many characters of a detail are kept.
const maxDetail = 512

func row(org id.Org, person id.Person, name, ip string, e Entry) audit.Row {
	detail := []rune(e.Detail)
	if len(detail) > maxDetail {
		detail = append(detail[:maxDetail-1], '…')
	}
	return audit.Row{
		Org: org, Person: person, PersonName: name, IP: ip,
		Action: string(e.Deed), Target: e.Target, Site: e.Site, Detail: string(detail),
	}
}

func (a *Access) append(ctx context.Context, q store.Querier, r audit.Row) error {
	r.AtUs = a.nowUs()
	_, err := audit.Append(ctx, q, r)
	return err
}

func (a *Access) record(ctx context.Context, r audit.Row) error {
	return a.db.Tx(ctx, func(q store.Querier) error { return a.append(ctx, q, r) })
}

// Record writes a row of the audit. Before video is shown its row is written: no row, no video.
func (a *Access) Record(ctx context.Context, actor Actor, e Entry) error {
	return a.record(ctx, row(actor.Org, actor.Person, actor.Name, actor.IP, e))
}

// RecordOnce is Record, but the same entry of the same session is written once within a time: a grid that
// fetches a still every few seconds, or a player that fetches a clip by ranges, is one view.
func (a *Access) RecordOnce(ctx context.Context, actor Actor, e Entry, within time.Duration) error {
	if a.recent.has(keyOf(actor, e), a.cfg.Now()) {
		return nil
	}
	return a.RecordAgain(ctx, actor, e, within)
}

// RecordAgain is Record for a deed after which RecordOnce writes no other like it within a time.
func (a *Access) RecordAgain(ctx context.Context, actor Actor, e Entry, within time.Duration) error {
	if err := a.Record(ctx, actor, e); err != nil {
		return err
	}
	now := a.cfg.Now()
	a.recent.put(keyOf(actor, e), now, now.Add(within))
	return nil
}

// keyOf names what counts as the same deed. A program has no session: it is the same one from the same address.
func keyOf(actor Actor, e Entry) string {
	by := string(actor.Session)
	if actor.Player != nil {
		by = string(actor.Player.ID) + "\x00" + actor.IP
	}
	return by + "\x00" + string(e.Deed) + "\x00" + e.Target + "\x00" + e.Detail
}

// Change runs fn and writes its row of the audit in one transaction: both or neither.
func (a *Access) Change(ctx context.Context, actor Actor, e Entry, fn func(q store.Querier) error) error {
	return a.db.Tx(ctx, func(q store.Querier) error {
		if err := fn(q); err != nil {
			return err
		}
		return a.append(ctx, q, row(actor.Org, actor.Person, actor.Name, actor.IP, e))
	})
}

// Audit returns at most limit rows with a seq below before (0: from the newest), newest first, of one person
// if it is not empty.
func (a *Access) Audit(ctx context.Context, actor Actor, person id.Person, before int64, limit int) ([]audit.Row, error) {
	if err := Can(actor, SeeAudit, Target{Org: actor.Org}); err != nil {
		return nil, err
	}
	return audit.List(ctx, a.db.Read(), actor.Scope(), person, before, limit)
}

// Chain says whether the actor's organisation has its audit as it was written: "ok", or "broken at row 17: it
// was changed after it was written". The whole chain is read at most once in Config.VerifyEvery.
func (a *Access) Chain(ctx context.Context, actor Actor) (string, error) {
	if err := Can(actor, SeeAudit, Target{Org: actor.Org}); err != nil {
		return "", err
	}
	return a.chains.verdict(actor.Org, a.cfg.Now(), a.cfg.VerifyEvery, func() (string, error) {
		err := audit.Verify(ctx, a.db.Read(), actor.Scope(), actor.Org)
		var broken *audit.BrokenError
		if errors.As(err, &broken) {
			a.log.Error("the audit was changed in the database: compare it with a backup", "org", actor.Org, "row", broken.Seq, "what", broken.What)
			return "broken at " + broken.Error(), nil
		}
		return "ok", err
	})
}

// chains keeps the last verdict per organisation, and lets one reader at a time make a new one.
type chains struct {
	mu   sync.Mutex
	last map[id.Org]chainVerdict
}

type chainVerdict struct {
	at   time.Time
	text string
}

func newChains() *chains { return &chains{last: map[id.Org]chainVerdict{}} }

func (c *chains) verdict(org id.Org, now time.Time, every time.Duration, verify func() (string, error)) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.last[org]; ok && now.Sub(v.at) < every {
		return v.text, nil
	}
	text, err := verify()
	if err != nil {
		return "", fmt.Errorf("verify the audit: %w", err)
	}
	c.last[org] = chainVerdict{at: now, text: text}
	return text, nil
}

// recent remembers what was recorded, bounded; what it forgets is merely recorded again.
type recent struct {
	mu    sync.Mutex
	until map[string]time.Time
}

const maxRecent = 20000

func newRecent() *recent { return &recent{until: map[string]time.Time{}} }

func (r *recent) has(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until[key].After(now)
}

func (r *recent) put(key string, now, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxRecent {
		for k, t := range r.until {
			if !t.After(now) {
				delete(r.until, k)
			}
		}
		if len(r.until) >= maxRecent {
			clear(r.until)
		}
	}
	r.until[key] = until
}
