package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// servicesAnswer is what the helper processes "services" and "services as nobody" say.
type servicesAnswer struct {
	Services []dtc.Service
	Notes    []string
	Err      string
	Took     time.Duration // of the fastest of some answers
}

// tellServices is the helper: it says which services the system has that it
// runs in.
func tellServices() {
	var a servicesAnswer
	c := New(Options{})
	for range 5 {
		begun := time.Now()
		var err error
		a.Services, a.Notes, err = c.services(context.Background())
		if err != nil {
			a.Err = err.Error()
		}
		if took := time.Since(begun); a.Took == 0 || took < a.Took {
			a.Took = took
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(a)
}

// nobody is the user without any right.
const nobody = 65534

func tellServicesAsNobody() {
	if err := syscall.Setuid(nobody); err != nil {
		os.Exit(1)
	}
	tellServices()
}

// aSystemd is systemd as the first process of a container.
type aSystemd struct{ pid int }

// bootScript makes the container from inside and becomes its systemd. Of the
// host's files it may change none; what the kernel has but once, its settings
// and devices, is not there.
const bootScript = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
cp "$UNITS"/* /run/systemd/system/
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
mount -o remount,bind,ro /
exec /lib/systemd/systemd --system --unit=dtc.target --log-target=null --show-status=no </dev/null >/dev/null 2>&1`

// bootSystemd boots systemd with the units given, next to those of this
// machine, of which it starts none. It ends with the test, with all that it
// started.
func bootSystemd(tb testing.TB, units map[string]string) *aSystemd {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range units {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	group := controlGroup(tb)
	cmd := exec.Command("unshare", "--cgroup", "sh", "-c", bootScript)
	cmd.Env = append(os.Environ(), "container=dtc-test", "UNITS="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The kernel ends all others of the container with its first process,
		// and its mounts with the last.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s := &aSystemd{pid: cmd.Process.Pid}
	eventually(tb, "systemd to listen", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/private", s.pid))
		return err == nil
	})
	return s
}

// controlGroup makes a control group for a container, which is removed at the
// end of the test.
func controlGroup(tb testing.TB) *os.File {
	tb.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if fields[2] != "cgroup2" {
			continue
		}
		const prefix = "dtc-test-"
		left, _ := filepath.Glob(filepath.Join(fields[1], prefix+"*"))
		for _, dir := range left { // by a test that was killed
			pid := strings.TrimPrefix(filepath.Base(dir), prefix)
			if _, err := os.Stat("/proc/" + pid); err != nil {
				_ = removeGroups(dir)
			}
		}
		dir := filepath.Join(fields[1], prefix+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			eventually(tb, "the control group to be empty", func() bool { return removeGroups(dir) == nil })
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

// run runs a program in the container.
func (s *aSystemd) run(tb testing.TB, env string, command ...string) []byte {
	tb.Helper()
	cmd := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(s.pid), "-m", "-p", "-u", "-i", "-n", "-C"}, command...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%q: %v: %s", command, err, stderr.Bytes())
	}
	return out
}

// services has the helper of a kind ask for the services.
func (s *aSystemd) services(tb testing.TB, kind string) servicesAnswer {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	out := s.run(tb, helperEnv+"="+kind, self)
	var a servicesAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		tb.Fatalf("%s: %v", out, err)
	}
	if a.Err != "" {
		tb.Fatal(a.Err)
	}
	return a
}

// unitState is how a unit is, as systemctl says.
type unitState struct{ Unit, Load, Active, Sub, Description string }

// list is what systemctl list-units says.
func (s *aSystemd) list(tb testing.TB) []unitState {
	tb.Helper()
	var list []unitState
	out := s.run(tb, "", "systemctl", "list-units", "--type=service", "--all", "--output=json")
	if err := json.Unmarshal(out, &list); err != nil {
		tb.Fatalf("%s: %v", out, err)
	}
	return list
}

// show gives the properties of all services as systemctl show prints them.
func (s *aSystemd) show(tb testing.TB, units []unitState) map[string]map[string]string {
	tb.Helper()
	command := []string{
		"systemctl", "show", "--timestamp=us",
		"-p", "Id,MainPID,ActiveEnterTimestamp,ActiveExitTimestamp,InactiveEnterTimestamp,InactiveExitTimestamp",
	}
	for _, u := range units {
		command = append(command, u.Unit)
	}
	all := make(map[string]map[string]string)
	for paragraph := range bytes.SplitSeq(s.run(tb, "", command...), []byte("\n\n")) {
		properties := make(map[string]string)
		for line := range strings.Lines(string(paragraph)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			properties[name] = value
		}
		all[properties["Id"]] = properties
	}
	return all
}

const service = "[Unit]\nDefaultDependencies=no\n[Service]\n"

// hostileDescription would change the terminal's title, and turn the text.
const hostileDescription = "evil \x1b]0;title\x07 \u202egnp.exe"

// testUnits are services in all states, and as many as a host has.
func testUnits() map[string]string {
	units := map[string]string{
		"dtc-running.service":      service + "ExecStart=sleep 1000\n",
		"dtc-failed.service":       service + "ExecStart=sh -c 'exit 3'\n",
		"dtc-oneshot.service":      service + "Type=oneshot\nRemainAfterExit=yes\nExecStart=true\n",
		"dtc-over.service":         service + "Type=oneshot\nExecStart=true\n",
		"dtc-inactive.service":     service + "ExecStart=sleep 1000\n",
		"dtc-preparing.service":    service + "ExecStartPre=sleep 1000\nExecStart=sleep 1000\n",
		"dtc-starting.service":     service + "Type=oneshot\nExecStart=sleep 1000\n",
		"dtc-stopping.service":     service + "ExecStart=sleep 1000\nExecStop=sleep 1000\n",
		"dtc-reloading.service":    service + "ExecStart=sleep 1000\nExecReload=sleep 1000\n",
		"dtc-hostile.service":      "[Unit]\nDescription=" + hostileDescription + "\n" + service + "ExecStart=sleep 1000\n",
		`dtc-a\x20b:c_d@é.service`: service + "ExecStart=sleep 1000\n",
		"Dtc-Upper.service":        service + "ExecStart=sleep 1000\n",
		"dtc-many@.service":        service + "ExecStart=sleep 1000\n",
		"dbus.socket":              "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
		"dbus.service": "[Unit]\nRequires=dbus.socket\n" + service +
			"Type=notify\nExecStart=dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only\n",
	}
	var target strings.Builder
	target.WriteString("[Unit]\nDefaultDependencies=no\nAfter=dtc-inactive.service dtc-missing.service\n")
	for name := range units {
		if name != "dtc-inactive.service" && !strings.Contains(name, "@.") {
			fmt.Fprintf(&target, "Wants=%s\n", name)
		}
	}
	for i := range 40 {
		fmt.Fprintf(&target, "Wants=dtc-many@%d.service\nAfter=dtc-many@%d.service\n", i, 100+i)
	}
	units["dtc.target"] = target.String()
	return units
}

func TestServicesOfSystemd(t *testing.T) {
	s := bootSystemd(t, testUnits())
	s.settle(t, map[string]string{"dtc-running.service": "running", "dtc-stopping.service": "running", "dtc-reloading.service": "running"})
	s.run(t, "", "systemctl", "stop", "--no-block", "dtc-stopping.service")
	s.run(t, "", "systemctl", "reload", "--no-block", "dtc-reloading.service")
	s.settle(t, map[string]string{
		"dtc-running.service": "running", "dtc-failed.service": "failed", "dtc-oneshot.service": "exited",
		"dtc-over.service": "dead", "dtc-inactive.service": "dead", "dtc-missing.service": "dead",
		"dtc-preparing.service": "start-pre", "dtc-starting.service": "start", "dtc-stopping.service": "stop",
		"dtc-reloading.service": "reload", "dtc-hostile.service": "running", "dbus.service": "running",
		"dtc-many@39.service": "running",
	})
	list := s.list(t)
	shown := s.show(t, list)
	for _, kind := range []string{"services", "services as nobody"} {
		t.Run(kind, func(t *testing.T) {
			a := s.services(t, kind)
			if len(a.Notes) > 0 {
				t.Error(a.Notes)
			}
			t.Logf("%d services in %v", len(a.Services), a.Took)
			compareServices(t, a.Services, list, shown)
			if i := slices.IndexFunc(a.Services, func(s dtc.Service) bool { return s.Name == "dtc-hostile.service" }); i < 0 {
				t.Error("dtc-hostile.service is not there")
			} else if got := a.Services[i].Description; got != hostileDescription {
				t.Errorf("description %q, want %q", got, hostileDescription)
			}
		})
	}
	s.compareSince(t, s.services(t, "services").Services)
}

// settle waits until units are in a state.
func (s *aSystemd) settle(tb testing.TB, want map[string]string) {
	tb.Helper()
	eventually(tb, fmt.Sprint("units to be ", want), func() bool {
		reached := 0
		for _, u := range s.list(tb) {
			if sub, ok := want[u.Unit]; ok && sub == u.Sub {
				reached++
			}
		}
		return reached == len(want)
	})
}

func compareServices(tb testing.TB, got []dtc.Service, list []unitState, shown map[string]map[string]string) {
	tb.Helper()
	if len(got) != len(list) {
		tb.Errorf("%d services, systemctl lists %d", len(got), len(list))
	}
	for i := range min(len(got), len(list)) {
		g, w := got[i], list[i]
		if is := (unitState{g.Name, g.Load, g.State, g.SubState, g.Description}); is != w {
			tb.Errorf("got %+v, systemctl lists %+v", is, w)
			continue
		}
		properties, ok := shown[g.Name]
		if !ok {
			tb.Errorf("%s: systemctl shows nothing", g.Name)
			continue
		}
		pid := properties["MainPID"]
		if pid == "0" {
			pid = "-1"
		}
		if strconv.Itoa(g.PID) != pid {
			tb.Errorf("%s: pid %d, systemctl shows %s", g.Name, g.PID, pid)
		}
		since := ""
		if !g.Since.IsZero() {
			since = g.Since.UTC().Format("Mon 2006-01-02 15:04:05.000000 MST")
		}
		if want := properties[stateSince(g.State)]; since != want {
			tb.Errorf("%s: since %q, systemctl shows %q", g.Name, since, want)
		}
	}
}

// compareSince compares with the line of systemctl status that says since when a
// unit is in its state.
func (s *aSystemd) compareSince(t *testing.T, services []dtc.Service) {
	t.Helper()
	compared := 0
	for _, g := range services {
		if !strings.HasPrefix(g.Name, "dtc-") || strings.HasPrefix(g.Name, "dtc-many") || g.Load != "loaded" {
			continue
		}
		out := s.run(t, "", "sh", "-c", `systemctl status --lines=0 -- "$0" || [ $? = 3 ]`, g.Name)
		_, since, _ := strings.Cut(string(out), " since ")
		since, _, _ = strings.Cut(since, ";")
		want := ""
		if !g.Since.IsZero() {
			want = g.Since.UTC().Format("Mon 2006-01-02 15:04:05 MST")
		}
		if compared++; since != want {
			t.Errorf("%s, %s: since %q, systemctl status has %q", g.Name, g.State, want, since)
		}
	}
	if compared < 10 {
		t.Errorf("only %d services compared", compared)
	}
}
