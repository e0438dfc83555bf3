//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// machine is a container whose first process is a real systemd: namespaces of
// its own, this machine's files without the right to change them.
type machine struct {
	pid  int
	work string // a folder that it shares with the test, under the same name
}

// bootScript makes the container from inside and becomes its systemd. It starts
// none of this machine's services; the kernel's settings and devices are not
// there to be changed.
const bootScript = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/work /run/bin
mount --bind "$WORK" /run/work
mount --bind "$BIN" /run/bin
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p "$WORK" "$BIN"
mount --move /run/work "$WORK"
mount --move /run/bin "$BIN"
mkdir -p /run/systemd/system /run/lock
ln -s /dev/null /run/systemd/system/network-online.target
printf '[Unit]\nDefaultDependencies=no\n' >/run/systemd/system/dtc-test.target
for d in /etc/systemd/system /usr/lib/systemd/system/sysinit.target.wants /usr/lib/systemd/system-generators; do
  mount -t tmpfs tmpfs $d
done
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/tty c 5 0
ln -s pts/ptmx /dev/ptmx
mkdir /dev/mqueue
mknod -m 644 /dev/kmsg c 1 11
mount -o remount,bind,ro /
ip link set lo up
exec /lib/systemd/systemd --system --unit=dtc-test.target --log-target=null --show-status=no </dev/null >/dev/null 2>&1`

// bootMachine boots a machine, which ends with the test and with all that it
// started.
func bootMachine(tb testing.TB) *machine {
	tb.Helper()
	group := controlGroup(tb)
	m := &machine{work: tb.TempDir()}
	cmd := exec.Command("unshare", "--cgroup", "bash", "-c", bootScript)
	cmd.Env = append(os.Environ(), "container=dtc-test", "WORK="+m.work, "BIN="+bin)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // with the first process the kernel ends all others
		_ = cmd.Wait()
	})
	m.pid = cmd.Process.Pid
	eventually(tb, func() string { return "systemd does not listen" }, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/private", m.pid))
		return err == nil
	})
	return m
}

// controlGroup makes a control group for a container, which is removed at the
// end of the test.
func controlGroup(tb testing.TB) *os.File {
	tb.Helper()
	for line := range strings.Lines(readFile("/proc/self/mounts")) {
		fields := strings.Fields(line)
		if fields[2] != "cgroup2" {
			continue
		}
		dir := filepath.Join(fields[1], "dtc-e2e-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			eventually(tb, func() string { return "the control group stays in use" }, func() bool { return removeGroups(dir) == nil })
		})
		group, err := os.Open(dir)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = group.Close() })
		return group
	}
	tb.Fatal("this test needs a mounted cgroup2")
	return nil
}

// removeGroups removes a control group and those in it.
func removeGroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeGroups(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// command returns a command that runs in the machine.
func (m *machine) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"-t", strconv.Itoa(m.pid), "-m", "-p", "-u", "-i", "-n", "-C", name,
	}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.Dir = "/"
	return cmd
}

// run runs a command in the machine to its end, whatever its exit status.
func (m *machine) run(tb testing.TB, name string, args ...string) result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := m.command(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit status tells
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command in the machine that has to succeed, and returns its
// standard output.
func (m *machine) must(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	r := m.run(tb, name, args...)
	if r.code != 0 {
		tb.Fatalf("%s %s: exit status %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}
