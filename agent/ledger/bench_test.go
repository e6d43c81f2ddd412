package ledger

import (
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"holdfast/shared/id"
)

const (
	benchCameras = 80
	dayUs        = 24 * 3600 * 1_000_000
)

// filled returns a ledger of 80 cameras that recorded for a number of days with a gap every three hours.
func filled(t testing.TB, days int) (*Ledger, []id.Stream) {
	l := openAt(t, filepath.Join(t.TempDir(), "ledger.db"))
	streams := make([]id.Stream, benchCameras)
	for i := range streams {
		streams[i] = newStream()
	}
	must(t, l.write(t.Context(), "fill", func(x *tx) error {
		for _, s := range streams {
			for at := int64(1); at < int64(days)*dayUs; at += 60_000_000 {
				end := at + 60_000_000
				if at/60_000_000%180 == 179 {
					if _, err := x.beginGap(Gap{Stream: s, Run: 1, StartUs: at, EndUs: end, Reason: "stalled"}); err != nil {
						return err
					}
					continue
				}
				n := l.NextSegment()
				if err := x.closeSegment(Segment{ID: n, Volume: "v", Stream: s, Run: 1, StartUs: at, EndUs: end, Bytes: 30 << 20}); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return l, streams
}

// BenchmarkCoverageDay reads the coverage of one day for all 80 cameras: one operation is the whole page.
func BenchmarkCoverageDay(b *testing.B) {
	l, streams := filled(b, 3)
	for b.Loop() {
		for _, s := range streams {
			ranges, err := l.Coverage(b.Context(), s, dayUs, 2*dayUs)
			if err != nil || len(ranges) != 17 {
				b.Fatalf("%d ranges, %v", len(ranges), err)
			}
		}
	}
	must(b, l.Close())
}

// BenchmarkTold asks for the oldest segments that the cloud knows of where it knows none of a million, and then for
// the oldest that it does not: what retention asks before each deletion.
func BenchmarkTold(b *testing.B) {
	l := quick(b, openAt(b, filepath.Join(b.TempDir(), "ledger.db")))
	_, err := l.w.conn.ExecContext(b.Context(), `BEGIN; INSERT INTO stream (camera, kind) VALUES ('c', 'main');
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
		INSERT INTO segment SELECT i, 'v', 1, 1, i * 60000000, i * 60000000, i * 60000000 + 60000000, 1000, 60, zeroblob(32), 0, '', 1, i FROM n;
		UPDATE queue SET last = 1000000, sent = 1000000 WHERE id = 1; COMMIT`)
	must(b, err)
	for b.Loop() {
		known, _, err := l.Told(b.Context(), "v", true, Place{}, 200)
		must(b, err)
		others, _, err := l.Told(b.Context(), "v", false, Place{}, 200)
		must(b, err)
		if len(known) != 0 || len(others) != 200 {
			b.Fatalf("%d known, %d others", len(known), len(others))
		}
	}
	must(b, l.Close())
}

// BenchmarkCloseSegments closes one segment of each of 80 cameras at the same moment.
func BenchmarkCloseSegments(b *testing.B) {
	l, streams := filled(b, 1)
	at := int64(10 * dayUs)
	for b.Loop() {
		at += 60_000_000
		var wg sync.WaitGroup
		for _, s := range streams {
			wg.Go(func() {
				_, err := l.CloseSegment(b.Context(), Segment{ID: l.NextSegment(), Stream: s, Run: 1, StartUs: at, EndUs: at + 60_000_000}, nil)
				must(b, err)
			})
		}
		wg.Wait()
	}
	must(b, l.Close())
}

// BenchmarkFlushed records one flush round of 80 cameras.
func BenchmarkFlushed(b *testing.B) {
	l, streams := filled(b, 1)
	round := make([]Durable, len(streams))
	for i, s := range streams {
		round[i] = Durable{ID: l.NextSegment()}
		must(b, l.BeginSegment(b.Context(), OpenSegment{ID: round[i].ID, Stream: s, StartUs: 1}, nil))
	}
	n := int64(1)
	for b.Loop() {
		n++
		for i := range round {
			round[i].DurableUs, round[i].Bytes = n, n
		}
		must(b, l.Flushed(b.Context(), n, round))
	}
	must(b, l.Close())
}

// TestLookupsByTimeUseAnIndex guards what the benchmarks show: no lookup reads a whole table.
func TestLookupsByTimeUseAnIndex(t *testing.T) {
	l := open(t)
	for name, query := range map[string]string{"coverage": coverageQuery, "segments": segmentsQuery} {
		rows, err := l.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "c", "main", 1, 2)
		plan, err := list(rows, err, func(rows *sql.Rows) (text string, err error) {
			var n int
			return text, rows.Scan(&n, &n, &n, &text)
		})
		must(t, err)
		text := strings.Join(plan, "\n")
		want := map[string]string{"coverage": "span_start span_long gap_start gap_long gap_open", "segments": "segment_start segment_long"}
		for _, index := range strings.Fields(want[name] + " open_segment_stream") {
			if !strings.Contains(text, index) {
				t.Errorf("%s does not use the index %s:\n%s", name, index, text)
			}
		}
		if strings.Contains(text, "SCAN") {
			t.Errorf("%s reads a whole table:\n%s", name, text)
		}
	}
}
