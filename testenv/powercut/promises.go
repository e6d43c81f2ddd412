package main

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// recordedTo returns how far video of one life of the machine reaches, 0 when there is none.
func (b *book) recordedTo(boot *boot) int64 {
	var end int64
	for _, r := range b.ranges {
		if r.Recorded && r.EndUs > boot.startUs && r.StartUs < boot.cutUs {
			end = r.EndUs
		}
	}
	return end
}

// promises compares what the window said was safe with what is there.
func (b *book) promises(boot *boot) {
	const rounding = 2000
	end := b.recordedTo(boot)
	for _, c := range boot.claims {
		if safe := c.Durable[cameraName(b.camera)]; safe > boot.startUs && safe > end+rounding && !b.expired(safe) {
			b.broken = append(b.broken, fmt.Sprintf("%s %s, start %d: the agent said that video was safe up to %s, and it ends at %s",
				b.name, cameraName(b.camera), boot.number+1, clock(safe), clock(end)))
			return
		}
	}
}

// lastWords tells what the window said of a camera in the seconds before the cut, and what the machine did then.
func (b *boot) lastWords(camera string) string {
	const before = 8_000_000
	var out strings.Builder
	out.WriteString("seconds before the cut, safe up to:")
	for _, c := range b.claims {
		if c.AtUs > b.cutUs-before {
			fmt.Fprintf(&out, " %.1f:%.2f", seconds(b.cutUs-c.AtUs), seconds(b.cutUs-c.Durable[camera]))
		}
	}
	out.WriteString("; idle and at work since the sample before:")
	for i, u := range b.use {
		if i > 0 && u.atUs > b.cutUs-before {
			fmt.Fprintf(&out, " %.1f:%.2f+%.2f", seconds(b.cutUs-u.atUs), seconds(u.idleUs-b.use[i-1].idleUs), seconds(u.busyUs-b.use[i-1].busyUs))
		}
	}
	return out.String()
}

func seconds(us int64) float64 { return float64(us) / 1e6 }

// expired says whether a moment was deleted since, and told of. There is no cloud here: what it never knew of is told of as
// lost, which elsewhere would be a broken promise.
func (b *book) expired(us int64) bool {
	return slices.ContainsFunc(b.ranges, func(r ledger.Range) bool {
		return r.Deleted() && (r.Gap.Reason == wire.Expired || b.deletes && r.Gap.Reason == wire.Lost) && r.StartUs < us && us <= r.EndUs
	})
}
