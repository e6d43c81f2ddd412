package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/testenv/powercut/uml"
)

// prepare gives the machine what every Linux has: /proc, /sys, /dev, memory to write to, and loopback.
func prepare() error {
	for _, m := range []uml.Mount{
		{Device: "none", At: "/proc", Type: "proc"},
		{Device: "none", At: "/sys", Type: "sysfs"},
		{Device: "none", At: "/mnt", Type: "tmpfs"},
		{Device: "none", At: uml.Scrap, Type: "tmpfs"},
		{Device: "none", At: uml.Host, Type: "hostfs", Data: os.Getenv("share")},
	} {
		if err := mount(m); err != nil {
			return err
		}
	}
	// The kernel has put a /dev of its own over the host's if it was built to: else the disks would be missing.
	if _, err := os.Stat("/dev/ubda"); err != nil {
		if err := mount(uml.Mount{Device: "none", At: "/dev", Type: "devtmpfs"}); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": uml.Scrap, "TMPDIR": uml.Scrap,
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return loopback()
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("set up loopback: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	r, err := unix.NewIfreq("lo")
	if err == nil {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}
	if err == nil {
		_, err = net.InterfaceByName("lo")
	}
	if err != nil {
		return fmt.Errorf("set up loopback: %w", err)
	}
	return nil
}

func mount(m uml.Mount) error {
	if strings.HasPrefix(m.At, "/mnt/") {
		if err := os.MkdirAll(m.At, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.At, err)
		}
	}
	if err := unix.Mount(m.Device, m.At, m.Type, m.Flags, m.Data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", m.Device, m.At, err)
	}
	return nil
}

// unmount unmounts; what ends its work on the disk in this moment gets a little time.
func unmount(at string) error {
	var err error
	for range 100 {
		if err = unix.Unmount(at, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", at, err)
	}
	return nil
}

func unmountAll() error {
	var errs []error
	for _, at := range []string{uml.Disk2, uml.Disk, uml.Host} {
		if err := unmount(at); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

// copyAll copies a file or a folder, durably.
func copyAll(a uml.Copy) error {
	if _, err := os.Lstat(a.From); errors.Is(err, fs.ErrNotExist) && a.Maybe {
		return nil
	}
	return filepath.WalkDir(a.From, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(a.To, strings.TrimPrefix(path, a.From))
		if d.IsDir() {
			if err := os.MkdirAll(to, 0o700); err != nil {
				return err
			}
			return syncFolder(filepath.Dir(to))
		}
		return copyFile(path, to)
	})
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, buf)
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return syncFolder(filepath.Dir(to))
}

func syncFolder(path string) error {
	if strings.HasPrefix(path, uml.Host) || strings.HasPrefix(path, uml.Scrap) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // memory has nothing to sync
	}
	return errors.Join(err, f.Close())
}
