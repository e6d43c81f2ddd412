package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast/cloud/ingest"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// BenchmarkApply measures the backlog of a site with 40 cameras: nine events to each coverage fact, in full batches.
func BenchmarkApply(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchApply(b, db.SQLite(b), "sqlite") })
	b.Run("postgres", func(b *testing.B) {
		d, err := store.Open(b.Context(), db.Postgres(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = d.Close() })
		benchApply(b, d, "postgres")
	})
}

func benchApply(b *testing.B, d *store.DB, engine string) {
	const size = wire.MaxBatchFacts
	in := ingest.New(ingest.Config{}, d, ingest.Deps{})
	ref := site(b, d)
	cameras := make([]id.Camera, 40)
	for i := range cameras {
		cameras[i] = id.New[id.Camera]()
	}
	seq := int64(0)
	next := func() wire.Batch {
		facts := make([]wire.Fact, size)
		for i := range facts {
			seq++
			cam := cameras[int(seq)%len(cameras)]
			if seq%10 == 0 {
				minute := seq / 10 / int64(len(cameras)/4) * 60
				cam = cameras[int(seq/10)%len(cameras)]
				facts[i] = fact(b, seq, wire.KindCoverage, cover(cam, minute, minute+60))
				continue
			}
			e := event(at(seq))
			e.Camera, e.Data = cam, []byte(`{"zone":3,"score":0.87}`)
			facts[i] = fact(b, seq, wire.KindEvent, e)
		}
		return batch(1, facts...)
	}
	var spent time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		list := next()
		b.StartTimer()
		began := time.Now()
		ack, err := in.Apply(b.Context(), ref, list)
		if err != nil || ack.Seq != seq || len(ack.Parked) > 0 {
			b.Fatalf("ack %+v, %v", ack, err)
		}
		spent += time.Since(began)
		n += size
	}
	rate := float64(n) / spent.Seconds()
	b.ReportMetric(rate, "facts/s")
	fmt.Printf("ingest %s: %.0f facts/s\n", engine, rate)
}
