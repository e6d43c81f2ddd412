package ownnet

import (
	"os"
	"os/exec"
	"syscall"
)

// apart starts a program in a new network namespace (network_namespaces(7)); whoever is not root takes a new user
// namespace (user_namespaces(7)) for it, which many systems allow.
func apart(cmd *exec.Cmd) error {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	return cmd.Start()
}
