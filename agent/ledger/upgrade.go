package ledger

// upgrades returns the steps from each version of the schema to the next, from version 1 on. A step is never
// changed once it was released: it must bring a file of its version to what schema.sql said one version later.
func upgrades() []string {
	return []string{
		// 2: bytes of each volume, and its segments in the order in which the cloud was told of them.
		`CREATE TABLE volume (
			id    TEXT PRIMARY KEY,
			bytes INTEGER NOT NULL
		) STRICT, WITHOUT ROWID;
		INSERT INTO volume (id, bytes) SELECT volume, sum(bytes) FROM segment GROUP BY volume;
		CREATE INDEX segment_told ON segment (volume, queue, seq);`,
	}
}
