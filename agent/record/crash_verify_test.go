package record

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// verify holds what is on disk and in the ledger against what was filmed. Nothing may be recording.
func (v *victim) verify() {
	v.t.Helper()
	ctx := context.Background()
	report, err := Check(ctx, CheckConfig{
		Depth: Full, Keys: []ed25519.PublicKey{v.key.Public().(ed25519.PublicKey)}, Tolerance: beat + 50*time.Millisecond,
	}, v.ledger, v.disk, slog.New(slog.DiscardHandler))
	if err != nil {
		v.t.Errorf("check: %v", err)
	}
	for _, f := range report.Findings {
		if f.Severity != Note {
			v.t.Errorf("check: %v", f)
		}
	}
	v.verifyNames()
	for _, volume := range v.disk.Volumes() {
		if volume.Older {
			v.t.Errorf("volume %s is taken for an older copy of itself", volume.Path)
		}
	}
	for i, s := range v.streams {
		ranges, err := v.ledger.Coverage(ctx, s, v.began, v.clock.Now())
		if err != nil {
			v.t.Fatal(err)
		}
		v.verifyTime(i, ranges)
		v.verifyStream(i, v.onDisk(i), ranges)
	}
}

// verifyTime: from the first start on every moment is recorded, in a gap, or was deleted by retention.
func (v *victim) verifyTime(i int, ranges []ledger.Range) {
	v.t.Helper()
	at := v.began
	for _, r := range append(ranges, ledger.Range{StartUs: v.clock.Now(), EndUs: v.clock.Now(), Recorded: true}) {
		if r.StartUs-at > beatUs {
			v.t.Errorf("%v: nothing is known of the %d ms from %d on", v.streams[i], (r.StartUs-at)/1000, at)
		}
		if !r.Recorded && r.Gap.Reason == wire.NotConfigured {
			v.t.Errorf("%v is said not to be configured from %d to %d", v.streams[i], r.StartUs, r.EndUs)
		}
		at = max(at, r.EndUs)
	}
}

// verifyStream: every frame from before the safe end is there or was deleted by retention; no frame is missing before
// one of the same life that is there, but in gaps that had been declared before the cut; and no other frame is missing
// outside a gap.
func (v *victim) verifyStream(i int, on map[int]bool, ranges []ledger.Range) {
	v.t.Helper()
	newest := map[int]int{}
	for n := range on {
		life := v.shots[i][n].life
		newest[life] = max(newest[life], n)
	}
	bad := 0
	for n, s := range v.shots[i] {
		if on[n] || deleted(ranges, s.wallUs) {
			continue
		}
		reason, ok := gapAt(ranges, s.wallUs)
		crash := reason == wire.AgentCrashed || reason == wire.HostOff || reason == wire.Lost || reason == wire.Unknown
		last, any := newest[s.life]
		text := ""
		switch {
		case s.wallUs+beatUs <= v.safeUs[i][s.life] && (!ok || crash):
			text = "was said to be safe"
		case any && n < last && (!ok || crash):
			text = fmt.Sprintf("is older than frame %d, which is there", last)
		case !ok:
			text = "is in no gap"
		default:
			continue
		}
		if bad++; bad < 4 {
			v.t.Errorf("%v: frame %d of life %d at %d is lost (gap %q, safe %d) and %s", v.streams[i], n, s.life, s.wallUs, reason, v.safeUs[i][s.life], text)
		}
	}
}

func deleted(ranges []ledger.Range, at int64) bool {
	return slices.ContainsFunc(ranges, func(r ledger.Range) bool { return r.Deleted() && at >= r.StartUs-beatUs && at < r.EndUs })
}

// gapAt returns the reason of the gap at a moment, else of one within a frame of it.
func gapAt(ranges []ledger.Range, at int64) (wire.Reason, bool) {
	for _, near := range []int64{0, beatUs} {
		for _, r := range ranges {
			if !r.Recorded && at >= r.StartUs-near && at < r.EndUs+near {
				return r.Gap.Reason, true
			}
		}
	}
	return "", false
}

// onDisk returns the frames of a stream that are on disk, after comparing each with what the camera made.
func (v *victim) onDisk(i int) map[int]bool {
	v.t.Helper()
	segments, err := v.ledger.SegmentsAfter(context.Background(), 0, 1_000_000)
	if err != nil {
		v.t.Fatal(err)
	}
	on := map[int]bool{}
	for _, seg := range segments {
		if seg.Stream != v.streams[i] {
			continue
		}
		file, size, err := v.disk.OpenRead(seg.Volume, seg.ID)
		if err != nil {
			v.t.Errorf("segment %d: %v", seg.ID, err)
			continue
		}
		for part, err := range mp4.Parts(file, size) {
			if err != nil {
				v.t.Errorf("segment %d: %v", seg.ID, err)
				break
			}
			samples, err := mp4.ReadSamples(file, part)
			if err != nil {
				v.t.Errorf("segment %d: %v", seg.ID, err)
				break
			}
			for _, s := range samples {
				n := int(binary.BigEndian.Uint64(s.Units[0][1:]))
				if n >= len(v.shots[i]) || on[n] || !bytes.Equal(s.Units[0][1:], drawn(i, n)[1:]) {
					v.t.Errorf("segment %d holds frame %d twice, or not as it was made", seg.ID, n)
					continue
				}
				on[n] = true
			}
		}
		if err := file.Close(); err != nil {
			v.t.Error(err)
		}
	}
	return on
}

// trims returns what the cloud will be told was deleted.
func (v *victim) trims() (out []wire.TrimFact) {
	v.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(v.folder, "ledger.db")+"?mode=ro")
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query(`SELECT body FROM outbox WHERE kind = ?`, wire.KindTrim)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		var fact wire.TrimFact
		if err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &fact)); err != nil {
			v.t.Fatal(err)
		}
		out = append(out, fact)
	}
	if err := rows.Err(); err != nil {
		v.t.Fatal(err)
	}
	return out
}

// verifyNames looks for files that are none of ours; Check knows the segments. What a write of a small file has left
// that was cut short goes with the next start, or is hidden beside the ledger.
func (v *victim) verifyNames() {
	v.t.Helper()
	for _, name := range v.fs.Files() {
		base := filepath.Base(name)
		if base == ".volumes.json.new" || base == ".volume.json.new" {
			continue
		}
		if !strings.HasSuffix(base, ".mp4") && base != "volume.json" && base != "volumes.json" {
			v.t.Errorf("a file that nobody knows: %s", name)
		}
	}
}
