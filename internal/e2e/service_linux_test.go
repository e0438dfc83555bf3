package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// serviced is a machine with both programs as its services.
type serviced struct {
	*machine
	monitor, agent string // their homes
}

func (s *serviced) dtc(tb testing.TB, args ...string) result {
	tb.Helper()
	return s.run(tb, dtcPath(), append(args, "--home", s.monitor)...)
}

// service has a service command of the agent succeed.
func (s *serviced) service(tb testing.TB, args ...string) string {
	tb.Helper()
	return s.must(tb, agentPath(), append([]string{"service"}, args...)...)
}

// agentPID is the pid of the agent's service, 0 if none runs.
func (s *serviced) agentPID(tb testing.TB) int {
	tb.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(s.must(tb, "systemctl", "show", "-P", "MainPID", "dtc-agent")))
	if err != nil {
		tb.Fatal(err)
	}
	return pid
}

// log is what the services have logged.
func (s *serviced) log() string {
	return readFile(filepath.Join(s.work, "agent.log")) + readFile(filepath.Join(s.work, "monitor.log"))
}

// TestServiceUnderSystemd has a real systemd start both programs, keep them
// running, and lock them up without hiding anything from the agent.
func TestServiceUnderSystemd(t *testing.T) {
	m := bootMachine(t)
	s := &serviced{m, filepath.Join(m.work, "monitor"), filepath.Join(m.work, "agent")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log(), s.run(t, "systemctl", "status", "dtc", "dtc-agent").stdout)
		}
	})
	victim := s.others(t)
	s.must(t, dtcPath(), "init", "--home", s.monitor, "--listen", "127.0.0.1:7700")
	for home, at := range map[string]string{s.agent: "127.0.0.1:7701", filepath.Join(m.work, "free"): "127.0.0.2:7701"} {
		ip, _, _ := strings.Cut(at, ":")
		s.must(t, dtcPath(), "issue", filepath.Base(home), "--ip", ip, "--out", home, "--listen", at, "--home", s.monitor)
	}
	for name, log := range map[string]string{"dtc-agent": "agent.log", "dtc": "monitor.log"} {
		s.dropIn(t, name, "[Service]\nStandardError=append:"+filepath.Join(m.work, log)+"\n")
	}
	conf := filepath.Join(s.monitor, "conf", "monitor.xml")
	writeFile(t, conf, strings.Replace(readFile(conf), "<name>agent</name>", fmt.Sprintf("<name>agent</name><monitor_pid>%d</monitor_pid>", victim), 1))

	for range 2 { // it may be repeated
		s.service(t, "install", "--home", s.agent)
		s.must(t, dtcPath(), "service", "install", "--home", s.monitor)
	}
	for _, program := range []string{agentPath(), dtcPath()} {
		if out := s.must(t, program, "service", "status"); !regexp.MustCompile(`: active \(running\) since .*, pid \d+, home /.*, starts with the machine\n`).MatchString(out) {
			t.Errorf("status: %s", out)
		}
	}
	t.Run("sees as much", s.seesAsMuch)
	t.Run("tells what is hidden", s.tellsWhatIsHidden)
	t.Run("reads the kernel's log", s.readsKernelLog)
	t.Run("watches", func(t *testing.T) { s.watches(t, victim) })
	t.Run("kept up", s.keptUp)
	t.Run("reload", s.reloads)
	t.Run("refuses", s.refuses)
	t.Run("end", s.ends)
	t.Run("another user", s.runsAsOwner)
}

// others starts processes of another user with what is hard to see, and returns
// the pid of one.
func (s *serviced) others(t *testing.T) int {
	t.Helper()
	const script = `cd /; exec 3<>"$0/removed"; rm "$0/removed"; chmod 600 "$0/secret"; exec 4<"$0/secret" 5<>/dev/zero
exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'sleep 1000 | sleep 1001 & exec perl -MIO::Socket -e "
\$a = IO::Socket::INET->new(LocalAddr => q(127.0.0.1:8123), Listen => 5); sleep 1000"'`
	writeFile(t, filepath.Join(s.work, "secret"), strings.Repeat("x", 5000))
	s.must(t, "systemd-run", "--unit=others", "--property=DefaultDependencies=no", "--property=KillMode=process", "bash", "-c", script, s.work)
	pid := 0
	eventually(t, func() string { return s.run(t, "systemctl", "status", "others").stdout }, func() bool {
		pid, _ = strconv.Atoi(strings.TrimSpace(s.run(t, "pgrep", "-x", "perl").stdout))
		return pid > 0 && strings.Contains(s.run(t, "ss", "-ltn").stdout, ":8123")
	})
	return pid
}

// dropIn changes a unit.
func (s *serviced) dropIn(t *testing.T, name, text string) {
	t.Helper()
	dir := fmt.Sprintf("/run/systemd/system/%s.service.d", name)
	file := filepath.Join(s.work, "drop-in")
	writeFile(t, file, text)
	s.must(t, "sh", "-c", `mkdir -p "$0" && cp "$1" "$0/$(echo "$1" | sha256sum | cut -c1-8).conf" && systemctl daemon-reload`, dir, file)
}

// rows returns what a host of the two says, each item as a line of JSON with the
// fields named, or all.
func (s *serviced) rows(t *testing.T, host, status string, keep func(map[string]any) bool) []string {
	t.Helper()
	r := s.dtc(t, "get", status, "--host", host, "-o", "json", "--timeout", "30s")
	var hosts []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.stdout), &hosts); err != nil || r.code != 0 || len(hosts) != 1 {
		t.Fatalf("%s of %s: %v\n%s%s", status, host, err, r.stdout, r.stderr)
	}
	if strings.Count(r.stderr, "\n") > 1 {
		t.Errorf("%s of %s: notes:\n%s", status, host, r.stderr)
	}
	var items []map[string]any
	if err := json.Unmarshal(hosts[0][status], &items); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, item := range items {
		if !keep(item) {
			continue
		}
		for _, moving := range []string{"cpu_percent", "cpu_seconds", "mem_percent", "rss_bytes", "available_bytes", "used_bytes", "free_bytes", "used_percent", "free_inodes", "used_inodes"} {
			delete(item, moving)
		}
		row, _ := json.Marshal(item)
		rows = append(rows, string(row))
	}
	slices.Sort(rows)
	return rows
}

// startFree starts an agent that no unit binds, by a command that takes it for
// its last arguments.
func (s *serviced) startFree(t *testing.T, command ...string) {
	t.Helper()
	home := filepath.Join(s.work, "free")
	command = append(command, agentPath(), "run", "--home", home)
	free := s.command(t.Context(), command[0], command[1:]...)
	if err := free.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.must(t, "pkill", "-f", "run --home "+home) // what was started waits for that one
		_ = free.Wait()
	})
	eventually(t, func() string { return s.dtc(t, "hosts").stdout }, func() bool { return s.dtc(t, "hosts").code == 0 })
}

// tellsWhatIsHidden has an agent without one capability say what it cannot see.
func (s *serviced) tellsWhatIsHidden(t *testing.T) {
	s.startFree(t, "setpriv", "--bounding-set=-all,+dac_read_search,+checkpoint_restore,+net_admin,+syslog,+lease")
	if r := s.dtc(t, "get", "openfiles", "--host", "free"); !regexp.MustCompile(`perl .* /proc/\d+/fd/4 \(readlink: Permission denied\)`).MatchString(r.stdout) {
		t.Errorf("openfiles: %s%s", tail(r.stdout, 20), r.stderr)
	}
	if r := s.dtc(t, "get", "sockets", "--host", "free"); !strings.Contains(r.stderr, "could not be read, so that owners may be missing: permission denied") {
		t.Errorf("sockets: %+v", r)
	}
}

// seesAsMuch compares with an agent that nothing binds.
func (s *serviced) seesAsMuch(t *testing.T) {
	s.startFree(t, "env")
	ours := func(item map[string]any) bool { // what stays as it is while it is asked
		for _, name := range []string{"name", "command"} {
			if text, ok := item[name].(string); ok && (strings.Contains(text, "dtc") || strings.Contains(text, "systemd")) {
				return false
			}
		}
		if port, ok := item["local_port"]; ok {
			return port == 8123.0
		}
		return true
	}
	for status, least := range map[string]int{"process": 3, "openfiles": 30, "sockets": 1, "services": 5, "disk": 3} {
		bound, unbound := s.rows(t, "agent", status, ours), s.rows(t, "free", status, ours)
		if len(unbound) < least {
			t.Errorf("%s: %d rows, expected %d and more", status, len(unbound), least)
		}
		for _, row := range unbound {
			if !slices.Contains(bound, row) {
				t.Errorf("%s: the service does not see %s", status, row)
			}
		}
		for _, row := range bound {
			if !slices.Contains(unbound, row) {
				t.Errorf("%s: the service alone sees %s", status, row)
			}
		}
	}
}

// readsKernelLog has the agent's protections bind a program that reads the
// kernel's log: the agent itself does not look at it in a container.
func (s *serviced) readsKernelLog(t *testing.T) {
	unit := s.service(t, "unit", "--home", s.agent)
	for _, line := range [][2]string{
		{"Type=notify", "Type=oneshot"},
		{"Restart=always", "Restart=no"},
		{"WatchdogSec=30", "WatchdogSec=0"},
		{"ExecStart=" + agentPath() + " run --home " + s.agent, "ExecStart=dd if=/dev/kmsg of=/dev/null count=1 bs=8192 iflag=nonblock"},
	} {
		changed := strings.Replace(unit, line[0], line[1], 1)
		if changed == unit {
			t.Fatalf("the unit has no %q:\n%s", line[0], unit)
		}
		unit = changed
	}
	file := filepath.Join(s.work, "kmsg.service")
	writeFile(t, file, unit)
	s.must(t, "cp", file, "/run/systemd/system")
	s.must(t, "systemctl", "daemon-reload")
	if r := s.run(t, "systemctl", "start", "kmsg"); r.code != 0 {
		t.Errorf("%+v\n%s", r, s.run(t, "systemctl", "status", "kmsg").stdout)
	}
}

// watches has a process of another user end, and looks for how that is told.
func (s *serviced) watches(t *testing.T, victim int) {
	t.Helper()
	logs := func() string {
		paths, _ := filepath.Glob(filepath.Join(s.monitor, "logs", "127.0.0.1", "*_process_*.log"))
		if len(paths) == 0 {
			return ""
		}
		return readFile(paths[0])
	}
	eventually(t, logs, func() bool { return strings.Contains(logs(), fmt.Sprintf("pid=%d name=perl state=alive", victim)) })
	s.must(t, "kill", "-9", strconv.Itoa(victim))
	eventually(t, logs, func() bool {
		return strings.Contains(logs(), fmt.Sprintf("pid=%d name=perl state=dead signal=9", victim))
	})
	for line := range strings.Lines(s.log()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("the log has %s", line)
		}
	}
}

// keptUp kills the agent, and has it hang.
func (s *serviced) keptUp(t *testing.T) {
	again := func(before int) {
		t.Helper()
		eventually(t, func() string { return "the agent is not started again:\n" + s.log() }, func() bool {
			now := s.agentPID(t)
			return now != 0 && now != before && s.dtc(t, "get", "memory", "--host", "agent").code == 0
		})
	}
	pid := s.agentPID(t)
	s.must(t, "kill", "-9", strconv.Itoa(pid))
	again(pid)
	s.dropIn(t, "dtc-agent", "[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\nStandardError=append:"+filepath.Join(s.work, "agent.log")+"\n")
	s.must(t, "systemctl", "restart", "dtc-agent")
	pid = s.agentPID(t)
	s.must(t, "kill", "-STOP", strconv.Itoa(pid))
	again(pid)
}

// reloads has systemctl reload tell how it went.
func (s *serviced) reloads(t *testing.T) {
	conf := filepath.Join(s.agent, "conf", "agent.xml")
	good := readFile(conf)
	pid := s.agentPID(t)
	s.must(t, "systemctl", "reload", "dtc-agent")
	writeFile(t, conf, strings.Replace(good, "<agent>", "<agent><no_such_element/>", 1))
	if r := s.run(t, "systemctl", "reload", "dtc-agent"); r.code == 0 {
		t.Error("systemctl takes a bad agent.xml")
	}
	writeFile(t, conf, good)
	s.must(t, "systemctl", "reload", "dtc-agent")
	if now := s.agentPID(t); now != pid {
		t.Errorf("after reloads the agent has the pid %d, and had %d", now, pid)
	}
}

// refuses has the commands say what keeps them from it.
func (s *serviced) refuses(t *testing.T) {
	for _, test := range []struct {
		want string
		code int
		args []string
	}{
		{"only root may do that", 1, []string{"setpriv", "--reuid", "65534", agentPath(), "service", "stop"}},
		{"is there for the home \"" + s.agent, 1, []string{agentPath(), "service", "install", "--home", filepath.Join(s.work, "free")}},
		{"no such file", 2, []string{agentPath(), "service", "install", "--home", filepath.Join(s.work, "none")}},
	} {
		r := s.run(t, test.args[0], test.args[1:]...)
		if r.code != test.code || !strings.Contains(r.stderr, test.want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: exit status %d, %q; want %d, %q", test.args, r.code, r.stderr, test.code, test.want)
		}
	}
}

// ends stops the service, starts it, and takes it away.
func (s *serviced) ends(t *testing.T) {
	for range 2 {
		s.service(t, "stop")
	}
	if r := s.run(t, agentPath(), "service", "status"); r.code != 1 || !strings.Contains(r.stdout, "inactive (dead)") || !strings.Contains(r.stdout, s.agent) {
		t.Errorf("status of a stopped one: %+v", r)
	}
	for range 2 {
		s.service(t, "start")
	}
	s.service(t, "status")
	for range 2 {
		s.service(t, "uninstall")
	}
	if r := s.run(t, agentPath(), "service", "status"); r.code != 1 || !strings.Contains(r.stderr, "not installed") {
		t.Errorf("status of none: %+v", r)
	}
	if r := s.run(t, agentPath(), "service", "start"); r.code != 1 || !strings.Contains(r.stderr, "not installed") {
		t.Errorf("start of none: %+v", r)
	}
	if r := s.run(t, "test", "-e", "/etc/systemd/system/dtc-agent.service"); r.code == 0 {
		t.Error("the unit file is still there")
	}
	if _, err := os.Stat(filepath.Join(s.agent, "conf", "tls", "agent.key")); err != nil {
		t.Error(err)
	}
	s.must(t, dtcPath(), "service", "uninstall")
}

// runsAsOwner has the service of a home that is not root's run as its owner, and
// see as much as root.
func (s *serviced) runsAsOwner(t *testing.T) {
	s.must(t, "chown", "-R", "daemon", s.agent)
	s.service(t, "install", "--home", s.agent)
	if user := strings.TrimSpace(s.must(t, "ps", "-o", "user=", "-p", strconv.Itoa(s.agentPID(t)))); user != "daemon" {
		t.Errorf("it runs as %s", user)
	}
	r := s.dtc(t, "get", "openfiles", "--host", "agent")
	if r.code != 0 || !strings.Contains(r.stdout, "/run/systemd/private") || strings.Contains(r.stdout, "Permission denied") {
		t.Errorf("openfiles: %s%s", tail(r.stdout, 20), r.stderr)
	}
	s.service(t, "uninstall")
}
