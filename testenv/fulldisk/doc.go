// Package fulldisk proves that a full disk is a normal state: a whole site with real video lives for minutes on a file
// system that is full all the time.
//
// It checks that recording goes on while the oldest goes, that ledger and log are never the first to fail, that what
// is held keeps its bytes, and that everything that went without the cloud's knowledge reaches it as lost. It never
// uses a disk of this machine: without root, who can mount a small one, it is skipped.
package fulldisk
