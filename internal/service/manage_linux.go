package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"dtc/internal/atomicfile"
)

// errRoot is what is said to who may not do it.
var errRoot = errors.New("only root may do that: run it with sudo")

// Install makes the program a service that starts with the machine, and starts
// it. It may be repeated. told is what was done, a line each.
func (s Service) Install(ctx context.Context) (told []string, err error) {
	d, err := s.openAsRoot(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if s.User == "" {
		if s.User, err = owner(s.Home); err != nil {
			return nil, err
		}
	}
	unit, err := s.Unit()
	if err != nil {
		return nil, err
	}
	if err := s.makeFolders(); err != nil {
		return nil, err
	}
	file, changed, err := s.place(unit)
	if err != nil {
		return nil, err
	}
	if changed {
		told = append(told, "made "+file)
		if err := d.reload(); err != nil {
			return told, err
		}
	} else {
		told = append(told, file+" is as it should be")
	}
	if err := d.enable(); err != nil {
		return told, err
	}
	start := "StartUnit"
	if changed {
		start = "RestartUnit" // starts it too
	}
	if err := d.job(start); err != nil {
		return told, err
	}
	if err := d.up(ctx); err != nil {
		return told, err
	}
	return append(told, s.Name+" runs, and starts with the machine"), nil
}

// makeFolders makes what the service is to write to, of the home's owner: once
// locked up it cannot.
func (s Service) makeFolders() error {
	info, err := os.Stat(s.Home)
	if err != nil {
		return fmt.Errorf("look at the home: %w", err)
	}
	for _, dir := range s.writable() {
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder of the home: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := os.Lchown(dir, int(st.Uid), int(st.Gid)); err != nil {
				return fmt.Errorf("make a folder of the home: %w", err)
			}
		}
	}
	return nil
}

// owner returns the name of who owns a home, empty if that is root: the service
// has no right to write what is another's.
func owner(home string) (string, error) {
	info, err := os.Stat(home)
	if err != nil {
		return "", fmt.Errorf("look at the home: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return "", nil
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(st.Uid), 10))
	if err != nil {
		return "", fmt.Errorf("the home %s belongs to a user without a name: chown it, or name one with --user: %w", home, err)
	}
	return u.Username, nil
}

// place writes the unit file if it is not there as it should be. A package's
// file is left as it is, and is good for the home that it has.
func (s Service) place(unit string) (file string, changed bool, err error) {
	file = ownUnit(s.Name)
	there, path, err := s.unitFile()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", false, err
	case homeOf(there) != s.Home:
		return "", false, fmt.Errorf("%s is there for the home %q: name that with --home, or take that service away with 'service uninstall' first", path, homeOf(there))
	case path != file || there == unit:
		return path, false, nil
	}
	if err := atomicfile.Write(file, []byte(unit), 0o644); err != nil {
		return "", false, fmt.Errorf("write the unit file: %w", err)
	}
	return file, true, nil
}

// unitFile reads the unit file that is in force: the machine's own, else a
// package's.
func (s Service) unitFile() (text, path string, err error) {
	for _, path := range append([]string{ownUnit(s.Name)}, packagedUnits(s.Name)...) {
		data, err := os.ReadFile(path)
		if err == nil {
			return string(data), path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("read the unit file: %w", err)
		}
	}
	return "", "", fs.ErrNotExist
}

// Uninstall stops the service and takes it away. The home and what is in it
// stay.
func (s Service) Uninstall(ctx context.Context) (told []string, err error) {
	d, err := s.openAsRoot(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	text, path, err := s.unitFile()
	if errors.Is(err, fs.ErrNotExist) {
		return []string{s.Name + " is not installed as a service"}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := d.job("StopUnit"); err != nil {
		return nil, err
	}
	if err := d.down(ctx); err != nil {
		return nil, err
	}
	if err := d.disable(); err != nil {
		return nil, err
	}
	told = []string{s.Name + " is stopped, and does not start with the machine any more"}
	if path != ownUnit(s.Name) {
		told = append(told, path+" stays: it is of a package")
	} else {
		if err := os.Remove(path); err != nil {
			return told, fmt.Errorf("remove the unit file: %w", err)
		}
		told = append(told, "removed "+path)
	}
	if err := d.reload(); err != nil {
		return told, err
	}
	return append(told, "the home "+homeOf(text)+" stays as it is"), nil
}

// Start starts the service and waits until it is up.
func (s Service) Start(ctx context.Context) error { return s.drive(ctx, "StartUnit", (*systemd).up) }

// Stop stops the service and waits until it has ended.
func (s Service) Stop(ctx context.Context) error { return s.drive(ctx, "StopUnit", (*systemd).down) }

func (s Service) drive(ctx context.Context, method string, wait func(*systemd, context.Context) error) error {
	d, err := s.openAsRoot(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if _, _, err := s.unitFile(); errors.Is(err, fs.ErrNotExist) {
		return errNotInstalled
	}
	if err := d.job(method); err != nil {
		return err
	}
	return wait(d, ctx)
}

// Status returns how the service is. Who is not root needs the system's D-Bus
// for it.
func (s Service) Status(ctx context.Context) (Status, error) {
	d, err := s.open(ctx)
	if err != nil {
		return Status{}, err
	}
	defer d.close()
	u, err := d.look()
	if err != nil {
		return Status{}, err
	}
	st := Status{Installed: u.load == "loaded", Running: u.running(), Since: u.since, PID: u.pid, Boots: u.boots == "enabled"}
	st.State = fmt.Sprintf("%s (%s)", u.active, u.sub)
	if text, err := os.ReadFile(u.file); err == nil {
		st.Home = homeOf(string(text))
	}
	return st, nil
}

func (s Service) openAsRoot(ctx context.Context) (*systemd, error) {
	if os.Geteuid() != 0 {
		return nil, errRoot
	}
	return s.open(ctx)
}

// RunAs runs the program in the foreground: it is what the service manager has
// started, or somebody by hand.
func RunAs(ctx context.Context, _ string, run func(context.Context) error) error { return run(ctx) }

// Log returns where the program's own log goes: systemd keeps what comes on
// standard error.
func Log(_ string, stderr io.Writer) io.Writer { return stderr }

// LogHint says where to read what a service has logged.
func (s Service) LogHint() string { return "its log: journalctl -u " + s.Name }
