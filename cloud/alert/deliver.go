package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"holdfast/cloud/store"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/backoff"
)

const (
	workers    = 8    // receivers that are served at once
	perRound   = 1000 // deliveries that one round looks at
	perLetter  = 50   // incidents in one e-mail
	perCall    = 20   // webhooks to one receiver in a row
	callFactor = 30   // a webhook, which a program reads, gets this many times more than PerHour
	maxRetry   = 30 * time.Minute
	idle       = time.Minute // between rounds without news, for rows that another process made
	troubled   = 5 * time.Second
	second     = time.Second
	watched    = 15 * time.Second // between looks at an incident that has just ended
	maxError   = 1000             // characters of an error that are kept
)

// sender is the state of Run.
type sender struct {
	a       *Alert
	busy    map[string]bool // targets that are being served
	caps    map[string]*allowance
	results chan []alerts.Delivery
	unsaved []alerts.Delivery // done, and not yet in the database
	live    sync.WaitGroup
}

// Run delivers what is due until ctx ends, and waits for what is under way.
func (a *Alert) Run(ctx context.Context) error {
	s := &sender{a: a, busy: map[string]bool{}, caps: map[string]*allowance{}, results: make(chan []alerts.Delivery, workers)}
	defer s.end(ctx)
	for {
		timer := time.NewTimer(s.round(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case done := <-s.results:
			s.take(done)
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// end waits for what is under way, and stores what became of it.
func (s *sender) end(ctx context.Context) {
	go func() {
		s.live.Wait()
		close(s.results)
	}()
	for done := range s.results {
		s.take(done)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), troubled)
	defer cancel()
	if err := s.save(ctx); err != nil {
		s.a.log.Error("what became of messages could not be stored; some may be sent again", "count", len(s.unsaved), "err", err)
	}
}

func (s *sender) take(done []alerts.Delivery) {
	for _, d := range done {
		delete(s.busy, d.Target)
	}
	s.unsaved = append(s.unsaved, done...)
}

// save stores what became of deliveries.
func (s *sender) save(ctx context.Context) error {
	if len(s.unsaved) == 0 {
		return nil
	}
	err := s.a.db.Tx(ctx, func(q store.Querier) error {
		for _, d := range s.unsaved {
			if err := alerts.Update(ctx, q, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.unsaved = nil
	}
	return err
}

// round starts what is due and returns when to look again. Nothing is started while results can't be stored: it
// would be sent again.
func (s *sender) round(ctx context.Context) time.Duration {
	scope := store.System(store.UseWatch)
	if err := s.save(ctx); err != nil {
		s.trouble(ctx, err)
		return troubled
	}
	now := time.Now()
	// What is due in a moment comes along with what is due now.
	due, err := alerts.Due(ctx, s.a.db.Read(), scope, now.Add(s.a.cfg.Gather).UnixMicro(), perRound)
	if err != nil {
		s.trouble(ctx, err)
		return troubled
	}
	order, groups := s.group(due, now)
	for _, target := range order {
		if len(s.busy) < workers {
			s.start(ctx, target, groups[target])
		}
	}
	if len(s.busy) > 0 {
		return second // others may become due meanwhile
	}
	next, ok, err := alerts.NextDue(ctx, s.a.db.Read(), scope)
	if err != nil {
		s.trouble(ctx, err)
		return troubled
	}
	if !ok {
		return idle
	}
	return min(max(time.Until(time.UnixMicro(next)), time.Millisecond), idle)
}

// group sorts what is due by target; order holds the targets for which something is due now.
func (s *sender) group(due []alerts.Delivery, now time.Time) (order []string, groups map[string][]alerts.Delivery) {
	groups = map[string][]alerts.Delivery{}
	for _, d := range due {
		isDue := d.DueUs <= now.UnixMicro()
		if s.busy[d.Target] || !isDue && d.Tries > 0 {
			continue
		}
		if isDue && !slices.Contains(order, d.Target) {
			order = append(order, d.Target)
		}
		groups[d.Target] = append(groups[d.Target], d)
	}
	return order, groups
}

func (s *sender) trouble(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.a.log.Error("messages can't be delivered now; the next try follows: is the database reachable?", "err", err)
	}
}

// start serves one target in the background.
func (s *sender) start(ctx context.Context, target string, due []alerts.Delivery) {
	s.busy[target] = true
	if s.caps[target] == nil {
		s.caps[target] = &allowance{}
	}
	limit := s.caps[target]
	// serve answers for one delivery at least, which frees the target again.
	s.live.Go(func() {
		done := s.a.serve(ctx, limit, target, due)
		if ctx.Err() != nil {
			// What the end of the program broke off is no fault of the receiver: it stays due.
			done = slices.DeleteFunc(done, func(d alerts.Delivery) bool { return d.State != alerts.Accepted })
		}
		s.results <- done
	})
}

// serve tells one target what is due, and returns what became of it.
func (a *Alert) serve(ctx context.Context, limit *allowance, target string, due []alerts.Delivery) []alerts.Delivery {
	t, err := alerts.GetTarget(ctx, a.db.Read(), store.System(store.UseWatch), target)
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			a.log.Error("a receiver of messages can't be read", "target", target, "err", err)
		}
		return a.later(due, troubled, "")
	}
	limit.open(t.Kind, a.cfg.PerHour)
	list, done := a.read(ctx, due)
	if t.Kind == alerts.Email {
		return append(done, a.serveMail(ctx, limit, t, list)...)
	}
	return append(done, a.serveHook(ctx, limit, t, list)...)
}

// allowance is how many messages one target gets. Only the one that serves the target uses it.
type allowance struct{ bucket *rate.Limiter }

// open makes the bucket when the kind of the target is known.
func (w *allowance) open(kind alerts.Kind, perHour int) {
	if w.bucket != nil {
		return
	}
	if kind == alerts.Webhook {
		perHour *= callFactor
	}
	w.bucket = rate.NewLimiter(rate.Every(time.Hour/time.Duration(perHour)), max(perHour/2, 1))
}

// admit asks for one message, or how long to wait for it.
func (w *allowance) admit() (wait time.Duration, ok bool) {
	r := w.bucket.Reserve()
	if wait = r.Delay(); wait == 0 {
		return 0, true
	}
	r.Cancel()
	return wait, false
}

// read gathers what the deliveries are about. Done are those that are not to be told now: the beginning of an incident
// that is over, for another message tells both; of one that has just ended and is being watched; and of a site that is
// gone.
func (a *Alert) read(ctx context.Context, due []alerts.Delivery) (list []news, done []alerts.Delivery) {
	final := func(d alerts.Delivery, state alerts.State, why string) {
		d.State, d.ChangedUs, d.Error = state, time.Now().UnixMicro(), why
		done = append(done, d)
	}
	for _, d := range due {
		n, err := a.news(ctx, d)
		switch {
		case errors.Is(err, store.ErrNotFound):
			final(d, alerts.Failed, "The site was removed.")
		case err != nil:
			if ctx.Err() == nil {
				a.log.Error("an incident can't be read", "incident", d.Incident, "err", err)
			}
			done = append(done, a.later([]alerts.Delivery{d}, troubled, "")...)
		case n.delivery.Phase.Ends():
			list = append(list, n)
		case n.incident.SettledUs != 0:
			final(d, alerts.Superseded, "")
		case n.incident.EndUs != 0:
			done = append(done, a.later([]alerts.Delivery{d}, watched, "")...)
		default:
			list = append(list, n)
		}
	}
	return list, done
}

func (a *Alert) news(ctx context.Context, d alerts.Delivery) (n news, err error) {
	scope := store.Org(d.Org)
	n.delivery, n.zone = d, time.UTC
	if n.incident, err = health.GetIncident(ctx, a.db.Read(), scope, d.Incident); err != nil {
		return n, err
	}
	if n.site, err = orgs.GetSite(ctx, a.db.Read(), scope, n.incident.Site); err != nil {
		return n, err
	}
	org, err := orgs.Get(ctx, a.db.Read(), scope, d.Org)
	if err != nil {
		return n, err
	}
	n.org = org.Name
	if zone, err := time.LoadLocation(n.site.Timezone); err == nil {
		n.zone = zone
	}
	return n, nil
}

// serveMail sends one e-mail about everything, or about the first incidents of very many.
func (a *Alert) serveMail(ctx context.Context, limit *allowance, t alerts.Target, list []news) []alerts.Delivery {
	if len(list) == 0 {
		return nil
	}
	if wait, ok := limit.admit(); !ok {
		return a.later(deliveries(list), wait, heldBack(wait))
	}
	part := list[:min(len(list), perLetter)]
	err := a.send(ctx, t, letter(part, a.cfg.Portal))
	done := a.outcome(t, part, err)
	if err != nil {
		return append(done, a.after(done, list[len(part):], err)...)
	}
	return done
}

// serveHook calls the webhook for each piece of news, until one call fails or others should have their turn.
func (a *Alert) serveHook(ctx context.Context, limit *allowance, t alerts.Target, list []news) (done []alerts.Delivery) {
	for i, n := range list {
		if i == perCall {
			return done
		}
		if wait, ok := limit.admit(); !ok {
			return append(done, a.later(deliveries(list[i:]), wait, heldBack(wait))...)
		}
		m, err := call(n, a.cfg.Portal)
		if err == nil {
			err = a.send(ctx, t, m)
		}
		result := a.outcome(t, []news{n}, err)
		done = append(done, result...)
		if err != nil {
			return append(done, a.after(result, list[i+1:], err)...)
		}
	}
	return done
}

// after puts off the rest behind a try that failed: what fails now fails for the next one, too.
func (a *Alert) after(failed []alerts.Delivery, rest []news, err error) []alerts.Delivery {
	wait := troubled
	if failed[0].State == alerts.Pending {
		wait = time.Until(time.UnixMicro(failed[0].DueUs))
	}
	return a.later(deliveries(rest), wait, advice(err))
}

func deliveries(list []news) []alerts.Delivery {
	out := make([]alerts.Delivery, len(list))
	for i, n := range list {
		out[i] = n.delivery
	}
	return out
}

func heldBack(wait time.Duration) string {
	return fmt.Sprintf("Held back for %v: this receiver got many messages in the last hour.", wait.Round(time.Second))
}

// later puts deliveries off without counting a try.
func (a *Alert) later(list []alerts.Delivery, wait time.Duration, why string) []alerts.Delivery {
	now := time.Now()
	for i := range list {
		list[i].DueUs, list[i].ChangedUs = now.Add(max(wait, time.Millisecond)).UnixMicro(), now.UnixMicro()
		if why != "" {
			list[i].Error = cut(why)
		}
	}
	return list
}

// outcome says what became of telling the news: accepted, to be tried again, or given up.
func (a *Alert) outcome(t alerts.Target, list []news, err error) []alerts.Delivery {
	now := time.Now()
	out := deliveries(list)
	for i := range out {
		d := &out[i]
		d.Tries++
		d.ChangedUs = now.UnixMicro()
		if err == nil {
			d.State, d.Error = alerts.Accepted, ""
			continue
		}
		var f *fault
		after := time.Duration(0)
		if errors.As(err, &f) {
			after = f.after
		}
		d.Error = cut(advice(err))
		d.DueUs = now.Add(a.wait(d.Tries, after)).UnixMicro()
		if f != nil && f.final || now.UnixMicro()-d.CreatedUs > a.cfg.GiveUp.Microseconds() {
			d.State = alerts.Failed
		}
	}
	switch {
	case err == nil:
		a.log.Info("message accepted", "kind", t.Kind, "org", t.Org, "news", len(out))
	case out[0].State == alerts.Failed:
		a.log.Error("a message was given up: check the receiver in the settings", "kind", t.Kind, "org", t.Org, "tries", out[0].Tries, "err", err)
	default:
		a.log.Warn("a message was not accepted; the next try follows", "kind", t.Kind, "org", t.Org, "tries", out[0].Tries, "err", err)
	}
	return out
}

// wait returns the time until the try after so many.
func (a *Alert) wait(tries int, after time.Duration) time.Duration {
	t := backoff.New(backoff.Policy{Min: a.cfg.Retry, Cap: max(maxRetry, a.cfg.Retry)})
	for range min(tries, 30) - 1 {
		t.Next(0)
	}
	return t.Next(after)
}

func cut(s string) string {
	if r := []rune(s); len(r) > maxError {
		return string(r[:maxError])
	}
	return s
}
