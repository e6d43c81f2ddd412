package convert

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// humble makes a program start below what else runs, and without a window.
func humble(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.BELOW_NORMAL_PRIORITY_CLASS | windows.CREATE_NO_WINDOW}
}

func yield(*exec.Cmd) {}
