//go:build !windows

package convert

import (
	"os/exec"
	"syscall"
)

func humble(*exec.Cmd) {}

// yield puts a program that runs below what else does. Without the right to do so it runs as the agent does.
func yield(cmd *exec.Cmd) {
	const below = 10
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, below)
}
