// Package e2e does a regional manager's job in a real Chromium, against the real programs with real video.
//
// steps.mjs drives the browser with playwright-core; the Go test beside it starts a house, hands out its control
// and reports every step. E2E_SHOTS=folder keeps the screenshots. It needs Debian's chromium and the npm packages of
// package-lock.json, which "make test" installs.
package e2e
