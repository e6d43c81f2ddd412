package coverage_test

import (
	"testing"

	"holdfast/cloud/store"
	"holdfast/cloud/store/coverage"
	"holdfast/shared/id"
	"holdfast/testenv/db"
)

func TestRatesAndNearest(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		const day = int64(86_400_000_000)
		now := 20_000 * day
		org := id.New[id.Org]()
		a, b := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, id.Stream{Camera: id.New[id.Camera](), Kind: id.Sub}
		made := func(s id.Stream, at, seconds, bytes int64) coverage.Made {
			return coverage.Made{Stream: s, StartUs: at, EndUs: at + seconds*1_000_000, Bytes: bytes}
		}
		err := d.Tx(t.Context(), func(q store.Querier) error {
			for range 2 { // saying it twice changes no rate
				if err := coverage.Count(t.Context(), q, org, []coverage.Made{
					made(a, now-day, 60, 6000), made(a, now-2*day, 60, 18_000), made(a, now-40*day, 60, 1_000_000), made(b, now-day, 10, 10), made(b, now, 0, 7),
				}); err != nil {
					return err
				}
			}
			return coverage.Write(t.Context(), q, org, []coverage.Word{
				{Stream: a, StartUs: now, EndUs: now + 100},
				{Stream: a, StartUs: now + 500, EndUs: now + 600, Gone: "expired"},
				{Stream: a, StartUs: now + 5000, EndUs: now + 6000},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		scope := store.Org(org)
		for kind, want := range map[id.StreamKind]map[id.Camera]float64{id.Main: {a.Camera: 200}, id.Sub: {b.Camera: 1}} {
			got, err := coverage.Rates(t.Context(), d.Read(), scope, kind, now)
			if err != nil || len(got) != 1 {
				t.Errorf("Rates(%s) = %v, %v", kind, got, err)
			}
			for camera, rate := range want {
				if got[camera] != rate {
					t.Errorf("%s makes %v B/s, want %v", kind, got[camera], rate)
				}
			}
		}
		for _, try := range []struct{ from, to, before, after int64 }{
			{now + 700, now + 800, now + 100, now + 5000},
			{now + 450, now + 650, now + 100, now + 5000}, // removed video is none
			{now - 50, now - 20, 0, now},
			{now + 7000, now + 8000, now + 6000, 0},
		} {
			before, after, err := coverage.Nearest(t.Context(), d.Read(), scope, a, try.from, try.to)
			if err != nil || before != try.before || after != try.after {
				t.Errorf("Nearest(%d, %d) = %d, %d, %v; want %d, %d", try.from, try.to, before, after, err, try.before, try.after)
			}
		}
	})
}
