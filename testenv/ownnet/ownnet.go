// Package ownnet gives a test a network of its own, in which it can swallow packets.
//
// The test runs once more in a process of its own, whose only network is a loopback that no other process shares; what
// is changed there goes with the process. It needs Linux with network namespaces, and nft and ip; where they can't be
// had the test is skipped with the reason, never passed.
package ownnet

import (
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const marker = "HOLDFAST_OWN_NETWORK"

// In reports whether this process has a network of its own. If not, it runs the calling test once more in a process that
// has, with the same flags, and fails the test if it fails there.
func In(t *testing.T) bool {
	t.Helper()
	if os.Getenv(marker) == t.Name() {
		run(t, "ip", "link", "set", "lo", "up")
		run(t, "nft", "add table inet holdfast")
		run(t, "nft", "add chain inet holdfast in { type filter hook input priority 0; }")
		return true
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a network of its own needs %s: install iproute2 and nftables", program)
		}
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.parallel=8", "-test.timeout=20m"}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), marker+"="+t.Name())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := apart(cmd); err != nil {
		t.Skipf("this system gives no process a network of its own: %v", err)
	}
	err := cmd.Wait()
	switch {
	case err != nil:
		t.Errorf("in a network of its own: %v\n%s", err, out.String())
	case strings.Contains(out.String(), "--- SKIP: "+t.Name()):
		t.Skip(out.String())
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Errorf("it did not run in a network of its own:\n%s", out.String())
	default:
		t.Log(out.String())
	}
	return false
}

// Swallow returns what has all packets dropped that arrive and match an nft expression, like "tcp dport 80", without a
// word to who sent them, and what ends that.
func Swallow(t testing.TB, match string) (begin, end func()) {
	t.Helper()
	chain := fmt.Sprintf("c%08x", crc32.ChecksumIEEE([]byte(t.Name()+match))) // one of its own: no rule need be looked for
	run(t, "nft", "add chain inet holdfast "+chain)
	run(t, "nft", "add rule inet holdfast in "+match+" jump "+chain)
	return func() { run(t, "nft", "add rule inet holdfast "+chain+" drop") }, func() { run(t, "nft", "flush chain inet holdfast "+chain) }
}

func run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}
