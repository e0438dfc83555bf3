package service

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"howett.net/plist"
)

// mayManage fails for who may not change services.
func (s Service) mayManage() error {
	if os.Geteuid() != 0 {
		return errors.New("only root may do that: run it with sudo")
	}
	return nil
}

// keepUp has nothing to add to KeepAlive.
func (s Service) keepUp() error { return nil }

// details adds nothing: launchd tells no more without a program of its own.
func (s Service) details(*Status) {}

// installedHome returns the home that the service was installed with; empty
// where that cannot be read.
func (s Service) installedHome() string {
	data, err := os.ReadFile(filepath.Join("/Library/LaunchDaemons", s.Name+".plist"))
	if err != nil {
		return ""
	}
	var job struct{ ProgramArguments []string }
	if _, err := plist.Unmarshal(data, &job); err != nil {
		return ""
	}
	return homeAmong(job.ProgramArguments)
}

// RunAs runs the program in the foreground, as launchd wants it.
func RunAs(ctx context.Context, _ string, run func(context.Context) error) error { return run(ctx) }

// Log returns where the program's own log goes: launchd keeps what comes on
// standard error in the home's state/.
func Log(_ string, stderr io.Writer) io.Writer { return stderr }

// LogHint says where to read what a service has logged.
func (s Service) LogHint() string {
	return "its log: " + filepath.Join(s.Home, "state", s.Name+".err.log")
}
