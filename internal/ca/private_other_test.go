//go:build !windows

package ca

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dtc"
)

func wantMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != mode {
		t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), mode)
	}
}

func TestModes(t *testing.T) {
	f := newFleet(t)
	agent := f.home(t, "web1", "10.0.0.7") // has written the register again
	fresh := filepath.Join(t.TempDir(), "home", "conf", "tls")
	_, _, err := AgentKey(fresh)
	must(t, err)
	for _, path := range []string{
		f.path("ca.key"), f.path("monitor.key"), f.path("issued"),
		filepath.Join(agent, "agent.key"), filepath.Join(fresh, "agent.key"),
	} {
		wantMode(t, path, 0o600)
	}
	wantMode(t, f.path("ca.crt"), 0o644)
	wantMode(t, f.dir, 0o700)
	wantMode(t, filepath.Join(agent, "agent.crt"), 0o644)
}

// A key that others may read is refused, with the line that mends it.
func TestOpenKeys(t *testing.T) {
	f := newFleet(t)
	agent := f.home(t, "web1", "10.0.0.7")
	load := func(dir string, role dtc.Role) func() error {
		return func() error { _, err := f.opts.Load(dir, role); return err }
	}
	open := func() error { _, err := f.opts.Open(f.dir); return err }
	for path, use := range map[string]func() error{
		filepath.Join(agent, "agent.key"): load(agent, dtc.RoleAgent),
		f.path("monitor.key"):             load(f.dir, dtc.RoleMonitor),
		f.path("ca.key"):                  open,
	} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o777} {
			must(t, os.Chmod(path, mode))
			if err := use(); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("%s with mode %04o: %v", path, mode, err)
			}
		}
		must(t, os.Chmod(path, 0o400))
		must(t, use())
		must(t, os.Remove(path))
		must(t, os.Mkdir(path, 0o700))
		if err := use(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("a folder at %s: %v", path, err)
		}
	}
}

// Root's commands do not take the register away from the service's user. The
// tests run as root.
func TestRegisterKeepsItsOwner(t *testing.T) {
	f := newFleet(t)
	must(t, os.Chown(f.path(registerFile), 1234, 1235))
	f.invite(t, Invitation{})
	if uid, gid := owner(t, f.path(registerFile)); uid != 1234 || gid != 1235 {
		t.Errorf("owner is now %d:%d", uid, gid)
	}
	wantMode(t, f.path(registerFile), 0o600)
}

func owner(t *testing.T, path string) (uid, gid int) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}
