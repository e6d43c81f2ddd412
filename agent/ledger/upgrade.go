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
		// 3: what was deleted stays in the account.
		`CREATE TABLE gone (
			id       INTEGER PRIMARY KEY AUTOINCREMENT,
			stream   INTEGER NOT NULL REFERENCES stream (id),
			start_us INTEGER NOT NULL,
			end_us   INTEGER NOT NULL,
			reason   TEXT    NOT NULL,
			CHECK (end_us > start_us AND end_us - start_us <= 21600000000)
		) STRICT;
		CREATE INDEX gone_start ON gone (stream, start_us);`,
	}
}
