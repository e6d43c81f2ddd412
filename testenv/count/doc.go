// Package count is the master check of Holdfast's promise: every camera-minute is accounted for.
//
// It runs a real site through a cut of its line and a crash of its agent, and then counts: every frame that a camera
// sent is on the disk or inside a declared gap, the cloud knows what the ledger knows, every event is there once and
// in order, and every file decodes.
package count
