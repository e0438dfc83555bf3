package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that takes a second on an idle
// machine.
const patience = 90 * time.Second

// boot makes a root of its own over this machine's, of which nothing comes back,
// and starts systemd in it.
const boot = `
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ip link set lo up
rm -rf etc/systemd/system/*.wants usr/sbin/policy-rc.d var/lib/dtc var/lib/dtc-agent
: >etc/machine-id
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --unit=basic.target
`

// container is a machine with systemd, in namespaces of its own over the files
// of this one.
type container struct{ pid string }

// startContainer starts one; it ends with the test.
func startContainer(tb testing.TB) *container {
	tb.Helper()
	var told bytes.Buffer
	cmd := exec.Command("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
		"sh", "-c", boot, "boot", tb.TempDir())
	cmd.Stdout, cmd.Stderr = &told, &told
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	c := &container{}
	wait(tb, "systemd runs", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		c.pid = strings.TrimSpace(string(children))
		if c.pid == "" {
			return false
		}
		out, _ := c.command("systemctl", "is-system-running").Output()
		return strings.TrimSpace(string(out)) == "running" || strings.TrimSpace(string(out)) == "degraded"
	})
	tb.Cleanup(func() {
		if tb.Failed() {
			out, _ := c.command("journalctl", "--no-pager", "-o", "cat", "-u", "dtc", "-u", "dtc-agent").CombinedOutput()
			tb.Logf("the journal:\n%s\nsystemd:\n%s", out, told.String())
		}
	})
	return c
}

// command is a program in the container.
func (c *container) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", c.pid, "-a", "-r", "--wdns=/", name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	return cmd
}

// run runs a program there that has to succeed, and returns what it said.
func (c *container) run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// sh is run of a line for the shell.
func (c *container) sh(tb testing.TB, line string) string {
	tb.Helper()
	return c.run(tb, "sh", "-ec", line)
}

// says runs a line for the shell that may fail, and returns what it said.
func (c *container) says(line string) string {
	out, _ := c.command("sh", "-c", line).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// put copies files into the container's /root.
func (c *container) put(tb testing.TB, dir string, names ...string) {
	tb.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		cmd := c.command("sh", "-c", "cat >/root/"+name)
		cmd.Stdin = bytes.NewReader(data)
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Fatalf("%v\n%s", err, out)
		}
	}
}

// mainPID is the process of a service.
func (c *container) mainPID(tb testing.TB, service string) int {
	tb.Helper()
	pid, err := strconv.Atoi(c.run(tb, "systemctl", "show", "-P", "MainPID", service))
	if err != nil {
		tb.Fatal(err)
	}
	return pid
}

// wait waits until something is so.
func wait(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}
