//go:build !linux

package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	library "github.com/kardianos/service"
)

const (
	startTime = 90 * time.Second       // for a service to come up, or to end
	lookEvery = 200 * time.Millisecond // while it does
)

// idle is what the library is to run, and does not: RunAs does.
type idle struct{}

func (idle) Start(library.Service) error { return nil }
func (idle) Stop(library.Service) error  { return nil }

// library returns the service as the system's manager has it.
func (s Service) library() (library.Service, error) {
	return library.New(idle{}, &library.Config{
		Name:        s.Name,
		DisplayName: map[string]string{"dtc-agent": "DTC agent", "dtc": "DTC monitor"}[s.Name],
		Description: map[string]string{
			"dtc-agent": "Answers the monitor, watches processes, ships log files",
			"dtc":       "Watches processes, receives log files, tells people",
		}[s.Name],
		UserName:   s.User,
		Executable: s.Exec,
		Arguments:  []string{s.verb(), "--home", s.Home},
		Option: library.KeyValue{
			"KeepAlive": true, "RunAtLoad": true, // launchd
			"LogDirectory": filepath.Join(s.Home, "state"),
			"OnFailure":    "restart", "OnFailureDelayDuration": "2s", "OnFailureResetPeriod": 60, // Windows
		},
	})
}

// Install makes the program a service that starts with the machine, and starts
// it. It may be repeated. told is what was done, a line each.
func (s Service) Install(ctx context.Context) (told []string, err error) {
	if err := s.mayManage(); err != nil {
		return nil, err
	}
	l, err := s.library()
	if err != nil {
		return nil, err
	}
	switch _, err := l.Status(); {
	case errors.Is(err, library.ErrNotInstalled):
		if err := l.Install(); err != nil {
			return nil, err
		}
		if err := s.keepUp(); err != nil {
			return nil, err
		}
		told = append(told, s.Name+" is a service now")
	case err != nil:
		return nil, err
	default:
		if home := s.installedHome(); home != "" && home != s.Home {
			return nil, fmt.Errorf("%s is a service already, with the home %q: name that with --home, or take that service away with 'service uninstall' first", s.Name, home)
		}
		told = append(told, s.Name+" is a service already")
	}
	if err := s.Start(ctx); err != nil {
		return told, err
	}
	return append(told, s.Name+" runs, and starts with the machine"), nil
}

// Uninstall stops the service and takes it away. The home and what is in it
// stay.
func (s Service) Uninstall(ctx context.Context) (told []string, err error) {
	if err := s.mayManage(); err != nil {
		return nil, err
	}
	home := s.installedHome()
	switch err := s.Stop(ctx); {
	case errors.Is(err, errNotInstalled):
		return []string{s.Name + " is not installed as a service"}, nil
	case err != nil:
		return nil, err
	}
	l, err := s.library()
	if err != nil {
		return nil, err
	}
	if err := l.Uninstall(); err != nil {
		return nil, err
	}
	return []string{s.Name + " is stopped and no service any more", "the home " + home + " stays as it is"}, nil
}

// Start starts the service and waits until it is up.
func (s Service) Start(ctx context.Context) error {
	return s.drive(ctx, library.StatusRunning, library.Service.Start)
}

// Stop stops the service and waits until it has ended.
func (s Service) Stop(ctx context.Context) error {
	return s.drive(ctx, library.StatusStopped, library.Service.Stop)
}

// drive has the service be in a state.
func (s Service) drive(ctx context.Context, want library.Status, do func(library.Service) error) error {
	if err := s.mayManage(); err != nil {
		return err
	}
	l, err := s.library()
	if err != nil {
		return err
	}
	is, err := l.Status()
	if errors.Is(err, library.ErrNotInstalled) {
		return errNotInstalled
	}
	if err != nil || is == want {
		return err
	}
	if err := do(l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		if is, err = l.Status(); err != nil || is == want {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s it is not as it was told to be; see the system's log", startTime)
		case <-t.C:
		}
	}
}

// Status returns how the service is.
func (s Service) Status(context.Context) (Status, error) {
	l, err := s.library()
	if err != nil {
		return Status{}, err
	}
	is, err := l.Status()
	if errors.Is(err, library.ErrNotInstalled) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, err
	}
	st := Status{Installed: true, Running: is == library.StatusRunning, State: "stopped", Home: s.installedHome(), Boots: true}
	if st.Running {
		st.State = "running"
	}
	s.details(&st)
	return st, nil
}
