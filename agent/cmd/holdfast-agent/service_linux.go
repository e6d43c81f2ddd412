package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kardianos/service"

	"holdfast/agent"
)

// asAdministrator says what who lacks rights does.
const asAdministrator = "this needs the rights of root: run it with sudo"

func elevated() bool { return os.Geteuid() == 0 }

// unit is the systemd unit that "install" writes, around the data folder. The Debian package brings a stricter
// one, with a user of its own.
const unit = `[Unit]
Description={{Description}}
After=network.target
# Without an identity there is nothing to do: holdfast-agent enrol makes it and starts the service.
ConditionPathExists=%s/identity.json
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
Restart=always
RestartSec=1
# A crash loop slows down, where systemd (254 or newer) can do that.
RestartSteps=5
RestartMaxDelaySec=30
# After a power cut a slow disk with much footage takes its time.
TimeoutStartSec=15min
TimeoutStopSec=30
LimitNOFILE=16384
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LockPersonality=yes
UMask=0077

[Install]
WantedBy=multi-user.target
`

func arguments(config string) []string { return []string{"run", "--config", literal(config)} }

func options(cfg agent.Config) service.KeyValue {
	// Blanks end nothing in a condition: its value is the rest of the line.
	return service.KeyValue{"SystemdScript": fmt.Sprintf(unit, literal(cfg.Data))}
}

// literal keeps systemd from expanding what a path holds.
func literal(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// supported refuses service managers that were never tried.
func supported(platform string) error {
	if platform != "linux-systemd" {
		return fmt.Errorf("this machine does not run systemd (but %s): let your own supervisor start  holdfast-agent run", platform)
	}
	return nil
}

// ours refuses to touch the service that the Debian package owns.
func ours() error {
	if _, err := os.Stat("/etc/systemd/system/" + name + ".service"); err != nil {
		return errors.New("the service belongs to the package: remove that, with  apt remove " + name)
	}
	return nil
}

// afterInstall has nothing to add: the unit says it all.
func afterInstall() error { return nil }

// awaitRunning has nothing to wait for: systemctl returns when the unit has notified.
func awaitRunning(context.Context, agent.Config) error { return nil }

// runService exists on Windows only: systemd starts what runs in the foreground.
func runService(program) error { return errors.New("--service is for Windows") }

// notifyReady tells systemd that the service runs (sd_notify(3), READY=1), when it wants to know.
func notifyReady() {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte("READY=1"))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-agent: tell the service manager that the agent runs:", err)
	}
}

// protect makes the package's user, if there is one, the owner of the data folder and lets it read the
// configuration. Links are not followed: what lies in the folder is the service's to choose.
func protect(data, config string) error {
	who, err := user.Lookup("holdfast")
	if err != nil {
		return nil // not installed by the package: whoever runs the agent owns it
	}
	uid, err1 := strconv.Atoi(who.Uid)
	gid, err2 := strconv.Atoi(who.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("look up the service's user: %w", err)
	}
	if filepath.Dir(data) == data {
		return fmt.Errorf("the data folder is %s: give the agent a folder of its own", data)
	}
	root, err := os.OpenRoot(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open data folder: %w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, uid, gid)
	})
	if err = errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("give the data folder to the service: %w", err)
	}
	info, err := os.Stat(config)
	if err == nil && info.Mode().Perm()&0o077 == 0 {
		// Readable by root alone, as an editor or a copy may have left it.
		err = errors.Join(os.Chown(config, 0, gid), os.Chmod(config, 0o640))
	}
	if err != nil {
		return fmt.Errorf("let the service read the configuration: %w", err)
	}
	return nil
}
