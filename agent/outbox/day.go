package outbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// Comparer carries comparisons of past days to the cloud.
type Comparer interface {
	Days(ctx context.Context, ask wire.DayAsk) (wire.DayAnswer, error)
	Restate(ctx context.Context, r wire.Restatement) (wire.Restated, error)
}

const (
	dayOver      = time.Hour // how long after its end a day is compared at the earliest: its last segments are closed then
	oldDays      = 4         // in a round, of those on which both agreed already
	mendTry      = 3         // tries on an item that changes meanwhile
	maxOwn       = 60_000    // facts of the cloud's of one item that are looked at one by one
	restateBytes = 256 << 10 // of one restatement
)

// errBusy says that facts wait: days are compared when the cloud knows all.
var errBusy = errors.New("facts wait to be sent")

// accord is what is remembered of comparing days, as JSON in the ledger.
type accord struct {
	Epoch string         `json:"epoch"`
	AtUs  int64          `json:"at_us"` // when the last round was complete
	Days  map[int64]pact `json:"days"`
}

// pact is how a day stood when it was compared last. Where the two still differ, it is because the cloud can't take
// something, or knows more: it is not tried again before one of them changes.
type pact struct {
	Site   wire.Digest `json:"site"`
	Cloud  wire.Digest `json:"cloud"`
	AtUs   int64       `json:"at_us"`
	Differ []unequal   `json:"differ,omitempty"`
}

type unequal struct {
	Item  wire.DayItem `json:"item"`
	Site  wire.Digest  `json:"site"`
	Cloud wire.Digest  `json:"cloud"`
}

// compare compares days that are over with the cloud, once a day and after the cloud has lost something.
func (o *Outbox) compare(ctx context.Context) {
	wait := o.cfg.CompareEvery/10 + rand.N(o.cfg.CompareEvery/2) // a fleet does not ask at once
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		err := o.Compare(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errBusy) {
			o.log.Info("days could not be compared with the cloud; the next try comes", "err", err)
		}
		wait = o.cfg.CompareEvery/2 + rand.N(o.cfg.CompareEvery)
	}
}

// round is one comparison of days.
type round struct {
	*Outbox
	accord accord
	claim  ledger.Claim
	seq    int64 // of the newest restatement
	mended int
}

// Compare compares days that are over, if it is time to, and says again what the cloud lacks. Facts that wait come first.
func (o *Outbox) Compare(ctx context.Context) error {
	r := &round{Outbox: o}
	if err := r.remember(ctx); err != nil {
		return err
	}
	sums, err := r.due(ctx)
	if err != nil || len(sums) == 0 {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	for part := range slices.Chunk(sums, wire.MaxAskedDays) {
		if err := r.ask(ctx, part); err != nil {
			return err
		}
	}
	if r.mended > 0 {
		o.log.Warn("past days differed in the cloud: the site has told them again", "items", r.mended)
	}
	r.accord.AtUs = time.Now().UnixMicro()
	return r.keep(ctx)
}

// remember reads what is known of former rounds.
func (r *round) remember(ctx context.Context) (err error) {
	text, err := r.ledger.Meta(ctx, ledger.AccordMeta)
	if err != nil {
		return err
	}
	if text != "" && json.Unmarshal([]byte(text), &r.accord) != nil {
		r.accord = accord{}
	}
	if epoch := r.ledger.Epoch(); r.accord.Epoch != epoch || r.accord.Days == nil {
		r.accord = accord{Epoch: epoch, Days: map[int64]pact{}}
	}
	r.claim, err = r.ledger.Claim(ctx)
	return err
}

// keep writes down what is known.
func (r *round) keep(ctx context.Context) error {
	text, err := json.Marshal(r.accord)
	if err != nil {
		return fmt.Errorf("keep what was compared: %w", err)
	}
	return r.ledger.SetMeta(ctx, ledger.AccordMeta, string(text))
}

// due returns the days to compare: those that ended or changed since they were compared last, newest first, and now and
// then some of the others, those first that were compared longest ago.
func (r *round) due(ctx context.Context) (out []wire.DayDigest, err error) {
	now := time.Now()
	last := now.Add(-dayOver).UnixMicro()/wire.DayUs - 1
	var old []wire.DayDigest
	for day := last; day >= r.claim.FromDay; day-- {
		sum, err := r.ledger.DaySum(ctx, day)
		if err != nil {
			return nil, err
		}
		if p, known := r.accord.Days[day]; known && p.Site == sum.Digest {
			old = append(old, sum)
			continue
		}
		out = append(out, sum)
	}
	for day := range r.accord.Days {
		if day < r.claim.FromDay || day > last {
			delete(r.accord.Days, day)
		}
	}
	if len(out) > 0 || now.Sub(time.UnixMicro(r.accord.AtUs)) >= 24*time.Hour {
		slices.SortStableFunc(old, func(a, b wire.DayDigest) int {
			return cmp.Compare(r.accord.Days[a.Day].AtUs, r.accord.Days[b.Day].AtUs)
		})
		out = append(out, old[:min(len(old), oldDays)]...)
	}
	return out, nil
}

// settled waits until the cloud has all that the ledger has told up to now. errBusy if that takes longer.
func (r *round) settled(ctx context.Context) error {
	want := map[int64]int64{}
	for try := 0; ; try++ {
		queues, err := r.ledger.Queues(ctx)
		if err != nil {
			return err
		}
		waits := false
		for _, q := range queues {
			if q.Lane == wire.Backlog {
				return errBusy
			}
			if _, known := want[q.Queue]; !known {
				want[q.Queue] = q.Last
			}
			waits = waits || q.Acked < want[q.Queue]
		}
		switch {
		case !waits:
			return nil
		case try == 60:
			return errBusy
		}
		timer := time.NewTimer(r.cfg.Linger + time.Second/4)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// ask compares some days and mends those that differ.
func (r *round) ask(ctx context.Context, sums []wire.DayDigest) error {
	answer, err := r.comparer.Days(ctx, wire.DayAsk{Epoch: r.accord.Epoch, Days: sums})
	if err != nil {
		return fmt.Errorf("compare days: %w", err)
	}
	r.seq = max(r.seq, answer.Restated)
	cloud := map[int64]wire.Digest{}
	for _, d := range answer.Days {
		cloud[d.Day] = d.Digest
	}
	for _, d := range sums {
		was, known := r.accord.Days[d.Day]
		here, differs := cloud[d.Day]
		p := pact{Site: d.Digest, Cloud: d.Digest, AtUs: time.Now().UnixMicro()}
		switch {
		case !differs:
		case known && was.Site == d.Digest && was.Cloud == here:
			p.Cloud, p.Differ = here, was.Differ
		default:
			if p, err = r.mend(ctx, d.Day, was); err != nil {
				return err
			}
		}
		r.accord.Days[d.Day] = p
		if differs {
			if err := r.keep(ctx); err != nil { // a line that is cut now goes on behind this day
				return err
			}
		}
	}
	return r.keep(ctx)
}

// mend says again what differs in a day, and returns how the day stands then.
func (r *round) mend(ctx context.Context, day int64, was pact) (pact, error) {
	differ, _, err := r.differing(ctx, day)
	if err != nil {
		return pact{}, err
	}
	for _, d := range differ {
		if slices.Contains(was.Differ, d) || d.Item.Kind == wire.KindGap && day < r.claim.GapsDay {
			continue
		}
		if err := r.restate(ctx, d); err != nil {
			return pact{}, err
		}
		r.mended++
	}
	left, p, err := r.differing(ctx, day)
	p.Differ = left
	return p, err
}

// differing returns the items of a day in which the two differ.
func (r *round) differing(ctx context.Context, day int64) ([]unequal, pact, error) {
	own, err := r.ledger.DayItems(ctx, day)
	if err != nil {
		return nil, pact{}, err
	}
	answer, err := r.comparer.Days(ctx, wire.DayAsk{Epoch: r.accord.Epoch, Open: []int64{day}})
	if err == nil && len(answer.Days) != 1 {
		err = fmt.Errorf("the cloud answers %d days", len(answer.Days))
	}
	if err != nil {
		return nil, pact{}, fmt.Errorf("open day %d: %w", day, err)
	}
	r.seq = max(r.seq, answer.Restated)
	p := pact{Site: wire.SumDay(day, own).Digest, Cloud: answer.Days[0].Digest, AtUs: time.Now().UnixMicro()}
	pairs := map[wire.DayItem]*unequal{}
	at := func(k wire.DayItem) *unequal {
		if pairs[k] == nil {
			pairs[k] = &unequal{Item: k}
		}
		return pairs[k]
	}
	for _, it := range own {
		at(it.DayItem).Site = it.Digest
	}
	for _, it := range answer.Days[0].Items {
		at(it.DayItem).Cloud = it.Digest
	}
	var out []unequal
	for _, u := range pairs {
		if u.Site != u.Cloud {
			out = append(out, *u)
		}
	}
	slices.SortFunc(out, func(a, b unequal) int {
		return cmp.Or(cmp.Compare(a.Item.Stream.Camera, b.Item.Stream.Camera), cmp.Compare(a.Item.Stream.Kind, b.Item.Stream.Kind),
			cmp.Compare(a.Item.Kind, b.Item.Kind))
	})
	return out, p, nil
}

// restate says again what the site holds of an item.
func (r *round) restate(ctx context.Context, u unequal) error {
	switch u.Item.Kind {
	case wire.KindCoverage, wire.KindGap:
		// A fact that overtakes the restatement is said by none that is older: it is made anew.
		for range mendTry {
			changed := r.ledger.Watch(u.Item)
			err := r.restateWhole(ctx, u.Item)
			if again := changed(); err != nil || !again {
				return err
			}
		}
		return nil // it changes all the time: the next round comes
	default:
		return r.restateMissing(ctx, u)
	}
}

// restateWhole says all that the site holds of an item.
func (r *round) restateWhole(ctx context.Context, k wire.DayItem) error {
	facts, err := r.ledger.DayFacts(ctx, k)
	if err != nil {
		return err
	}
	from, end := k.FromUs(), k.FromUs()+wire.DayUs
	for from < end {
		s := wire.Restatement{Item: k, FromUs: from, ToUs: end, FirstUs: facts.FirstUs}
		s.Ranges, facts.Ranges = head(facts.Ranges, func(wire.Covered) int { return 0 })
		if len(facts.Ranges) > 0 {
			s.ToUs = facts.Ranges[0].StartUs
		}
		if s.Gaps, facts.Gaps = head(facts.Gaps, func(g wire.GapFact) int { return len(g.Detail) }); len(facts.Gaps) > 0 {
			s.ToUs = facts.Gaps[0].StartUs
			for n := len(s.Gaps); n > 0 && s.Gaps[n-1].StartUs == s.ToUs; n = len(s.Gaps) {
				facts.Gaps, s.Gaps = append([]wire.GapFact{s.Gaps[n-1]}, facts.Gaps...), s.Gaps[:n-1]
			}
			if len(s.Gaps) == 0 {
				return fmt.Errorf("%d gaps of %v begin at one moment: they can't be said again", len(facts.Gaps), k.Stream)
			}
		}
		if err := r.send(ctx, s); err != nil {
			return err
		}
		from = s.ToUs
	}
	return nil
}

// restateMissing says the events or clips of an item that the cloud does not have like this.
func (r *round) restateMissing(ctx context.Context, u unequal) error {
	facts, err := r.ledger.DayFacts(ctx, u.Item)
	if err != nil {
		return err
	}
	has := map[uint64]bool{}
	if u.Cloud.Count > 0 && u.Cloud.Count <= maxOwn {
		answer, err := r.comparer.Days(ctx, wire.DayAsk{Epoch: r.accord.Epoch, Facts: []wire.DayItem{u.Item}})
		if err == nil && len(answer.Facts) != 1 {
			err = fmt.Errorf("the cloud answers %d items", len(answer.Facts))
		}
		if err != nil {
			return fmt.Errorf("compare facts of day %d: %w", u.Item.Day, err)
		}
		for list := answer.Facts[0]; len(list) >= 8; list = list[8:] {
			has[binary.BigEndian.Uint64(list)] = true
		}
	}
	events := slices.DeleteFunc(facts.Events, func(e wire.EventFact) bool { return has[wire.HashEvent(e)] })
	clips := slices.DeleteFunc(facts.Clips, func(c wire.ClipFact) bool { return has[wire.HashClip(c.Clip, c.State)] })
	from := u.Item.FromUs()
	for len(events)+len(clips) > 0 {
		s := wire.Restatement{Item: u.Item, FromUs: from, ToUs: from + wire.DayUs}
		if len(events) > 0 {
			s.Events, events = head(events, func(e wire.EventFact) int { return len(e.Text) + len(e.Data) + 256 })
		} else {
			s.Clips, clips = head(clips, func(c wire.ClipFact) int { return 256 + len(c.Reason) + 1024*len(c.Gaps) })
		}
		if err := r.send(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// head splits off what one restatement carries.
func head[T any](list []T, size func(T) int) (first, rest []T) {
	n, bytes := 0, 0
	for ; n < len(list) && n < wire.MaxRestated; n++ {
		if bytes += size(list[n]); n > 0 && bytes > restateBytes {
			break
		}
	}
	return list[:n], list[n:]
}

// send numbers a restatement and sends it.
func (r *round) send(ctx context.Context, s wire.Restatement) error {
	r.seq++
	s.Epoch, s.Seq = r.accord.Epoch, r.seq
	within, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	got, err := r.comparer.Restate(within, s)
	var refusal *wire.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == wire.RefusedMissing:
		r.log.Warn("the cloud does not know this camera as one of the site", "camera", s.Item.Stream.Camera, "err", err)
		return nil
	case err != nil:
		return fmt.Errorf("restate day %d of %v: %w", s.Item.Day, s.Item.Stream, err)
	case got.Seq > s.Seq:
		return fmt.Errorf("restatement %d came after %d", s.Seq, got.Seq)
	case got.Parked > 0:
		r.log.Warn("the cloud can't apply facts of a past day", "day", s.Item.Day, "kind", s.Item.Kind, "count", got.Parked)
	}
	return nil
}
