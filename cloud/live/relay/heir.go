package relay

import (
	"maps"

	"holdfast/shared/wire"
)

// claim makes a pull the one of the stream that it brings, or returns the one that there is. One that brings sound which that
// one lacks takes its place.
func (r *Relay) claim(p *pull, got wire.LiveAnswer) (twin *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	codec, _ := codecOf(got.Codec)
	of := source{p.want.agent, p.want.camera, got.Stream, codec, got.Reordered, p.want.alone}
	before := r.streams[of]
	if before == nil || before.done() {
		r.streams[of] = p
		return nil
	}
	if got.Audio == before.answer().Audio || got.Audio == "" {
		before.told(p.want, got)
		r.pulls[p.want] = before
		return before
	}
	r.streams[of] = p
	maps.DeleteFunc(r.pulls, func(_ want, other *pull) bool { return other == before })
	before.bequeath(p)
	return nil
}

// renew has the site asked again by whoever comes to a pull with another wish than its own: its answer may be another now.
func (r *Relay) renew(p *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.pulls, func(w want, other *pull) bool { return other == p && w != p.want })
}

// told keeps what the site has answered to one who wanted something else, which comes to this pull.
func (p *pull) told(w want, got wire.LiveAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others[w] = got
}

// answerTo is what the site has answered to one who wants that: what the stream is to him. Without such an answer it is that
// to the pull.
func (p *pull) answerTo(w want) wire.LiveAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if got, ok := p.others[w]; ok && w != p.want {
		return got
	}
	return p.got
}

// bequeath has those who watch go over to another pull, and their answers.
func (p *pull) bequeath(to *pull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.told(p.want, p.got)
	for w, got := range p.others {
		to.told(w, got)
	}
	p.heir = to
	for l := range p.legs {
		l.turn()
	}
}

// isSucceeded says whether another pull has taken the place of this one.
func (p *pull) isSucceeded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heir != nil
}

// succeeded moves the caller's share to the pull that has taken the place of this one, if one has, and returns it.
func (p *pull) succeeded() *pull {
	p.mu.Lock()
	to := p.heir
	p.mu.Unlock()
	if to == nil || !to.share() {
		return p
	}
	p.leave()
	return to.succeeded()
}
