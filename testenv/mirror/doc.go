// Package mirror joins a real ledger and outbox with the cloud's real ingest over a real database, and compares what the
// two hold: whatever was lost or changed on the way, at the end the cloud holds what the site does.
package mirror
