package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kardianos/service"

	"holdfast/agent"
)

// name is the service's, on every operating system.
const name = "holdfast-agent"

// program is the agent as a service sees it: it calls ready once when recording can start, and returns when
// ctx ends.
type program func(ctx context.Context, ready func()) error

// idle satisfies the service library where a service is only controlled. What runs needs no library: systemd
// starts "run" and is notified, and on Windows runService speaks with the service manager.
type idle struct{}

// Start does nothing.
func (idle) Start(service.Service) error { return nil }

// Stop does nothing.
func (idle) Stop(service.Service) error { return nil }

// newService returns the service of this machine that runs with the configuration.
func newService(config string, cfg agent.Config) (service.Service, error) {
	s, err := service.New(idle{}, &service.Config{
		Name: name, DisplayName: "Holdfast agent", Description: "Records the site's cameras and keeps the cloud informed.",
		Arguments: arguments(config), Option: options(cfg),
	})
	if err == nil {
		err = supported(s.Platform())
	}
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	return s, nil
}

// control runs an action on the service. Installing and starting need a configuration that is right, and get it;
// to stop and to remove is always possible.
func control(c *cli, needsConfig bool, action func(service.Service, agent.Config) error) error {
	if !elevated() {
		return errors.New(asAdministrator)
	}
	var cfg agent.Config
	if needsConfig {
		var err error
		if cfg, err = agent.Load(c.Config); err != nil {
			return err
		}
	}
	s, err := newService(c.Config, cfg)
	if err != nil {
		return err
	}
	return action(s, cfg)
}

func installed(s service.Service) bool {
	_, err := s.Status()
	return !errors.Is(err, service.ErrNotInstalled)
}

var errNotInstalled = errors.New("the service is not installed: run  holdfast-agent install")

type installCmd struct{}

// Run installs the service.
func (installCmd) Run(c *cli, out io.Writer) error {
	return control(c, true, func(s service.Service, cfg agent.Config) error {
		if installed(s) {
			return errors.New("the service is installed already; to install it anew:  holdfast-agent uninstall  first")
		}
		if err := protect(cfg.Data, c.Config); err != nil {
			return err
		}
		if err := s.Install(); err != nil {
			return fmt.Errorf("install the service: %w", err)
		}
		if err := afterInstall(); err != nil {
			fmt.Fprintln(out, "The service is installed, but not all of it could be set:", err)
		}
		next := "holdfast-agent start"
		if !enrolled(cfg) {
			next = "holdfast-agent enrol --cloud ADDRESS CODE"
		}
		_, err := fmt.Fprintln(out, "Installed. Next: ", next)
		return err
	})
}

type uninstallCmd struct{}

// Run stops and removes the service.
func (uninstallCmd) Run(c *cli, out io.Writer) error {
	return control(c, false, func(s service.Service, _ agent.Config) error {
		if !installed(s) {
			return errNotInstalled
		}
		if err := ours(); err != nil {
			return err
		}
		if status, err := s.Status(); err != nil || status == service.StatusRunning {
			if err := s.Stop(); err != nil {
				return fmt.Errorf("stop the service: %w", err)
			}
		}
		if err := s.Uninstall(); err != nil {
			return fmt.Errorf("remove the service: %w", err)
		}
		_, err := fmt.Fprintln(out, "Removed. Footage and identity stay where they are.")
		return err
	})
}

type startCmd struct{}

// Run starts the service and returns when it records.
func (startCmd) Run(ctx context.Context, c *cli, out io.Writer) error {
	return control(c, true, func(s service.Service, cfg agent.Config) error {
		if !installed(s) {
			return errNotInstalled
		}
		if !enrolled(cfg) {
			return errors.New("this machine is not enrolled yet: make a code in the portal and run  holdfast-agent enrol --cloud ADDRESS CODE")
		}
		if err := s.Start(); err != nil {
			return fmt.Errorf("start the service: %w", err)
		}
		if err := awaitRunning(ctx, cfg); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "The service is running.")
		return err
	})
}

type stopCmd struct{}

// Run stops the service and returns when it has ended.
func (stopCmd) Run(c *cli, out io.Writer) error {
	return control(c, false, func(s service.Service, _ agent.Config) error {
		if !installed(s) {
			return errNotInstalled
		}
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stop the service: %w", err)
		}
		_, err := fmt.Fprintln(out, "The service has stopped.")
		return err
	})
}

// afterEnrol hands the identity to the service's user and starts the service where it is installed.
func afterEnrol(ctx context.Context, c *cli, cfg agent.Config, out io.Writer) error {
	if elevated() {
		if err := protect(cfg.Data, c.Config); err != nil {
			return err
		}
		s, err := newService(c.Config, cfg)
		if err == nil && installed(s) {
			if status, err := s.Status(); err != nil || status == service.StatusRunning {
				if err := s.Stop(); err != nil {
					return fmt.Errorf("stop the service: %w", err)
				}
			}
			if err := s.Start(); err != nil {
				return fmt.Errorf("start the service: %w", err)
			}
			if err := awaitRunning(ctx, cfg); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, "The service is running.")
			return err
		}
	}
	_, err := fmt.Fprintln(out, "Next:  holdfast-agent install, then  holdfast-agent start")
	return err
}

// enrolled says whether the data folder holds an identity. A damaged one counts: the start says what is wrong.
func enrolled(cfg agent.Config) bool {
	_, err := os.Stat(filepath.Join(cfg.Data, "identity.json"))
	return !errors.Is(err, fs.ErrNotExist)
}
