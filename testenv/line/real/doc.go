// Package real breaks the line between the real programs, and the cloud behind it, in every way that sites have seen,
// and then holds the cloud against the site: every event once and in order, and of every moment the same account.
//
// It has tests only. Each makes a house of its own and leaves nothing behind; none waits by sleeping. What needs root
// skips with the reason. -long has the faults last as long as they do at sites.
package real
