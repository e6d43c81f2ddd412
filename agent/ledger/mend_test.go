package ledger

import (
	"context"
	"strings"
	"testing"

	"holdfast/shared/wire"
)

// What Examine finds of what follows from segments, Mend mends: each harm is found, mended, and gone.
func TestMend(t *testing.T) {
	for name, c := range map[string]struct{ harm, found, done string }{
		"volumes":     {`UPDATE volume SET bytes = bytes + 7`, "its segments have", "volumes were added up anew"},
		"sums":        {`UPDATE stream SET bytes = bytes + 7`, "its segments have", "added up anew"},
		"a span gone": {`DELETE FROM span WHERE id = (SELECT min(id) FROM span)`, "where the segments have", "made anew from 6 segments"},
		"a span more": {`INSERT INTO span (stream, run, origin, start_us, end_us) VALUES (1, 1, '', 9000000000, 9100000000)`, "but in no segment", "made anew"},
		"untold": {
			`UPDATE outbox SET kind = 'event', body = '{}' WHERE seq = (SELECT max(seq) FROM outbox WHERE kind = 'coverage')`, "where no such fact is",
			"the cloud is told of 1 segments",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			s := newStream()
			for n := range int64(6) {
				at := 1 + n*70_000_000
				_, err := l.CloseSegment(t.Context(), Segment{ID: l.NextSegment(), Volume: "v", Stream: s, Run: 1, StartUs: at, EndUs: at + 60_000_000, Bytes: 5}, nil)
				must(t, err)
			}
			must(t, l.write(t.Context(), "harm", func(x *tx) error { return x.exec(c.harm) }))
			found, err := Examine(t.Context(), l.path)
			if err != nil || len(found) != 1 || !strings.Contains(found[0], c.found) {
				t.Fatalf("found %q, %v, want %q", found, err, c.found)
			}
			done, err := l.Mend(t.Context())
			if err != nil || len(done) != 1 || !strings.Contains(done[0], c.done) {
				t.Fatalf("done %q, %v, want %q", done, err, c.done)
			}
			if done, err = l.Mend(context.Background()); err != nil || len(done) != 0 {
				t.Errorf("done again %q, %v", done, err)
			}
			told := 0
			for _, list := range facts(t, l) {
				for _, f := range list {
					if f.Kind == wire.KindCoverage {
						told++
					}
				}
			}
			if told != 6 {
				t.Errorf("the cloud is told of %d segments, want 6", told)
			}
		})
	}
}
