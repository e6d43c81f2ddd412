package coverage

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// GapWord is a gap as its ledger tells it; an EndUs of 0 means that it is open, one of StartUs that it is no
// more. Seq orders words of one queue.
type GapWord struct {
	wire.GapFact
	Seq int64
}

// WriteGaps stores gaps. Of several words about one gap the one of the highest queue and seq stands.
func WriteGaps(ctx context.Context, q store.Querier, src Source, words []GapWord) error {
	// One statement can't touch a row twice in PostgreSQL: keep the last word about each gap.
	last := make(map[int64]int, len(words))
	for i, w := range words {
		last[w.ID] = i
	}
	rows := bulk.New(13, len(last))
	for i, w := range words {
		if last[w.ID] != i {
			continue
		}
		end := w.EndUs
		if end == 0 {
			end = Lasts
		}
		rows.Add(src.Org, w.Stream.Camera, w.Stream.Kind, src.Agent, src.Epoch, w.ID, w.Run, w.StartUs, end,
			string(w.Reason), w.Detail, src.Queue, w.Seq)
	}
	err := rows.Exec(ctx, q, `INSERT INTO gap
			(org, camera, stream, agent, epoch, id, run, start_us, end_us, reason, detail, queue, seq)`,
		`ON CONFLICT (agent, epoch, id) DO UPDATE SET camera = excluded.camera, stream = excluded.stream,
			run = excluded.run, start_us = excluded.start_us, end_us = excluded.end_us, reason = excluded.reason,
			detail = excluded.detail, queue = excluded.queue, seq = excluded.seq
		WHERE gap.queue < excluded.queue OR (gap.queue = excluded.queue AND gap.seq < excluded.seq)`)
	if err != nil {
		return fmt.Errorf("write gaps: %w", err)
	}
	return nil
}

// Sweep forgets the removed spans, the gaps and the counts of a camera that ended before
// beforeUs. What is recorded stays.
func Sweep(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, beforeUs int64) error {
	for _, statement := range []string{
		`DELETE FROM span WHERE ($1 = '*' OR org = $1) AND camera = $2 AND gone <> '' AND end_us < $3`,
		`DELETE FROM gap WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream IN ('main', 'sub') AND end_us < $3`,
	} {
		if _, err := q.ExecContext(ctx, statement, scope.Filter(), camera, beforeUs); err != nil {
			return fmt.Errorf("sweep coverage: %w", err)
		}
	}
	_, err := q.ExecContext(ctx, `DELETE FROM stream_day WHERE ($1 = '*' OR org = $1) AND camera = $2 AND day < $3`,
		scope.Filter(), camera, beforeUs/dayUs)
	if err != nil {
		return fmt.Errorf("sweep bitrates: %w", err)
	}
	return nil
}
