package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"holdfast/agent"
)

// asAdministrator says what who lacks rights does.
const asAdministrator = "this needs the rights of an administrator: run it from a prompt opened with \"Run as administrator\""

func elevated() bool { return windows.GetCurrentProcessToken().IsElevated() }

func arguments(config string) []string { return []string{"run", "--service", "--config", config} }

// options are none: afterInstall sets what the library can't.
func options(agent.Config) service.KeyValue { return nil }

func supported(string) error { return nil }

func ours() error { return nil }

// stopLimit is what a shutdown of Windows grants the service; the agent takes about 20 s at most.
const stopLimit = 30 * time.Second

// afterInstall tells Windows what to do after a crash, which is nothing unless it is told, and to wait for the
// agent when the machine goes down.
func afterInstall() error {
	return withService(func(s *mgr.Service) error {
		again := func(after time.Duration) mgr.RecoveryAction {
			return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: after}
		}
		err := s.SetRecoveryActions([]mgr.RecoveryAction{again(time.Second), again(5 * time.Second), again(30 * time.Second)}, 600)
		if err != nil {
			err = fmt.Errorf("restart after a crash: %w", err)
		}
		errFlag := s.SetRecoveryActionsOnNonCrashFailures(true)
		if errFlag != nil {
			errFlag = fmt.Errorf("restart after a failed start: %w", errFlag)
		}
		limit := uint32(stopLimit.Milliseconds()) // SERVICE_PRESHUTDOWN_INFO has this one field
		errStop := windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_PRESHUTDOWN_INFO, (*byte)(unsafe.Pointer(&limit)))
		if errStop != nil {
			errStop = fmt.Errorf("time to end when the machine goes down: %w", errStop)
		}
		return errors.Join(err, errFlag, errStop)
	})
}

func withService(do func(*mgr.Service) error) (err error) {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("reach the service manager: %w", err)
	}
	defer func() { err = errors.Join(err, m.Disconnect()) }()
	s, err := m.OpenService(name)
	if err != nil {
		return fmt.Errorf("open the service: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// awaitRunning returns when the service that was told to start records, or has ended.
func awaitRunning(ctx context.Context, cfg agent.Config) error {
	return withService(func(s *mgr.Service) error {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			status, err := s.Query()
			switch {
			case err != nil:
				return fmt.Errorf("ask the service: %w", err)
			case status.State == svc.Running:
				return nil
			case status.State == svc.Stopped:
				log := cfg.Log.File
				if log == "" {
					log = logFile(cfg)
				}
				return fmt.Errorf("the service ended while it was starting: %s says why", log)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return errors.New("the service is still starting")
			}
		}
	})
}

// notifyReady does nothing: a service is run by runService, which tells the service manager.
func notifyReady() {}

// protect leaves the data folder, with everything in it, and the configuration to the system and administrators:
// ProgramData is readable by every user otherwise.
func protect(data, config string) error {
	if filepath.Dir(data) == data {
		return fmt.Errorf("the data folder is %s: give the agent a folder of its own", data)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	for path, list := range map[string]string{data: "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", config: "D:PAI(A;;FA;;;SY)(A;;FA;;;BA)"} {
		sd, err := windows.SecurityDescriptorFromString(list)
		if err != nil {
			return fmt.Errorf("parse access list: %w", err)
		}
		dacl, _, err := sd.DACL()
		if err == nil {
			err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
				windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
		}
		if err != nil {
			return fmt.Errorf("protect %s from other users: %w", path, err)
		}
	}
	return nil
}

// handler speaks with the service manager itself: unlike the library's it is "starting" until recording can
// begin, it gets the time to end when the machine goes down, and it needs no guess whether this is a service.
type handler struct{ run program }

// Execute implements svc.Handler.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, exit uint32) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.run(ctx, sync.OnceFunc(func() { close(ready) })) }()
	now := svc.Status{State: svc.StartPending, WaitHint: 10_000}
	changes <- now
	beat := time.NewTicker(2 * time.Second)
	defer beat.Stop()
	for {
		select {
		case <-ready:
			ready = nil
			if now.State == svc.StartPending {
				now = svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown}
				changes <- now
			}
		case <-beat.C:
			if now.State != svc.Running {
				now.CheckPoint++ // it takes long, but it goes on
				changes <- now
			}
		case r := <-requests:
			switch r.Cmd {
			case svc.Stop, svc.Shutdown, svc.PreShutdown:
				cancel()
				now = svc.Status{State: svc.StopPending, WaitHint: 10_000}
			}
			changes <- now
		case err := <-done:
			if err != nil || ctx.Err() == nil {
				return true, 1 // work has logged why; the service manager starts it again
			}
			return false, 0
		}
	}
}

// runService runs as a Windows service.
func runService(p program) error {
	// What a service manager sets need not be what the session had that installed the service.
	path, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err = errors.Join(err, os.Setenv("ProgramData", path)); err != nil {
		return fmt.Errorf("find the folder for data: %w", err)
	}
	if err := svc.Run(name, &handler{p}); err != nil {
		return fmt.Errorf("run under the service manager, which alone may call --service: %w", err)
	}
	return nil
}
