package people

import (
	"context"
	"fmt"

	"holdfast/cloud/store"
)

// CountFailure adds one to the counter of a key and returns what it is now. A counter that is older than its
// time begins again at 1 and is forgotten at untilUs. Two that count at once never get the same number.
func CountFailure(ctx context.Context, q store.Querier, key string, nowUs, untilUs int64) (count int, until int64, err error) {
	err = q.QueryRowContext(ctx, `INSERT INTO login_failure (key, failures, until_us) VALUES ($1, 1, $3)
		ON CONFLICT (key) DO UPDATE SET
			failures = CASE WHEN login_failure.until_us <= $2 THEN 1 ELSE login_failure.failures + 1 END,
			until_us = CASE WHEN login_failure.until_us <= $2 THEN excluded.until_us ELSE login_failure.until_us END
		RETURNING failures, until_us`, key, nowUs, untilUs).Scan(&count, &until)
	if err != nil {
		return 0, 0, fmt.Errorf("count failed sign-in: %w", err)
	}
	return count, until, nil
}

// ForgiveFailure takes one from the counter of a key, or all of it.
func ForgiveFailure(ctx context.Context, q store.Querier, key string, all bool) error {
	_, err := q.ExecContext(ctx, `UPDATE login_failure SET failures = CASE WHEN $2 OR failures < 1 THEN 0 ELSE failures - 1 END
		WHERE key = $1`, key, all)
	if err != nil {
		return fmt.Errorf("forgive failed sign-in: %w", err)
	}
	return nil
}
