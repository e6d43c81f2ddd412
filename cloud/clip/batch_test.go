package clip_test

import (
	"context"
	"database/sql"
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// counted counts the statements that go through it.
type counted struct {
	store.Querier
	n int
}

func (c *counted) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.n++
	return c.Querier.ExecContext(ctx, query, args...)
}

func (c *counted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.n++
	return c.Querier.QueryContext(ctx, query, args...)
}

func (c *counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.n++
	return c.Querier.QueryRowContext(ctx, query, args...)
}

// TestABacklogAsksForItsRulesOnce has a full batch of events cost one statement where no rule chooses any of them: the
// site's whole backlog comes in such batches.
func TestABacklogAsksForItsRulesOnce(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.rule(t, clips.Rule{Name: "elsewhere", EventKind: "motion", Camera: id.New[id.Camera](), Enabled: true})
		s.rule(t, clips.Rule{Name: "off", EventKind: "motion"})
		list := make([]wire.EventFact, wire.MaxBatchFacts)
		for i := range list {
			list[i] = wire.EventFact{ID: id.New[id.Event](), Camera: id.New[id.Camera](), Kind: "motion", Source: "nvr", AtUs: int64(i+1) * second}
		}
		s.tx(t, func(q store.Querier) error {
			c := &counted{Querier: q}
			err := s.OnEvents(t.Context(), c, s.ref, list)
			if c.n != 1 {
				t.Errorf("%d events that no rule chooses cost %d statements", len(list), c.n)
			}
			return err
		})
	})
}
