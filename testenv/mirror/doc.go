// Package mirror joins a real ledger and outbox with the cloud's real ingest over a real database, and compares what the
// two hold: whatever was lost or changed on the way, at the end the cloud holds what the site does, once.
//
// Its tests change the cloud's tables behind its back, put a cloud back to an old backup, and let a copy of an agent speak.
// Between the two houses there are no sockets here (testenv/line has them), and no video.
package mirror
