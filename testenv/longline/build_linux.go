package longline

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/testenv/nat"
)

func (l *Line) build() error {
	near, err := l.machine("near")
	if err != nil {
		return err
	}
	far, err := l.machine("far")
	if err != nil {
		return err
	}
	l.Near, l.Far = near.Do, far.Do
	if l.near, err = end(near, NearAddr, FarAddr); err != nil {
		return err
	}
	l.far, err = end(far, FarAddr, NearAddr)
	return err
}

func (l *Line) machine(name string) (*nat.Namespace, error) {
	n, err := nat.NewNamespace(name)
	if err == nil {
		l.machines = append(l.machines, n)
	}
	return n, err
}

// device is the name of the line's end at either machine.
const device = "line"

// end makes an end of the line at a machine, which sends all that is for elsewhere over it.
func end(at *nat.Namespace, own, other string) (*os.File, error) {
	fd := -1
	err := at.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	if err == nil {
		err = at.IP(fmt.Sprintf("addr add %s peer %s dev %s\nlink set %s up\nroute add default dev %s", own, other, device, device, device))
	}
	if err == nil {
		return os.NewFile(uintptr(fd), device), nil
	}
	if fd >= 0 {
		err = errors.Join(err, unix.Close(fd))
	}
	return nil, err
}
