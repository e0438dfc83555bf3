package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// epoch is the time of all files of the tests' releases.
func epoch() time.Time { return time.Unix(1795382952, 0).UTC() }

// makeRelease makes a release for this machine's Linux from the sources in root.
func makeRelease(tb testing.TB, root, version string) *release {
	tb.Helper()
	r := &release{root: root, out: filepath.Join(tb.TempDir(), "dist"), version: version, time: epoch(), targets: []target{{"linux", "amd64"}}}
	if err := r.make(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return r
}

// fleetOfOne makes the container a monitor and its one agent, from installed
// packages: as the README says it.
func fleetOfOne(tb testing.TB, c *container) {
	tb.Helper()
	c.run(tb, "dtc", "init", "--home", "/var/lib/dtc", "--listen", "127.0.0.1:7700")
	c.run(tb, "systemctl", "enable", "--now", "dtc")
	var join string
	wait(tb, "a token", func() bool {
		for line := range strings.Lines(c.says("dtc invite --home /var/lib/dtc --ip 127.0.0.1 --name one")) {
			if strings.HasPrefix(strings.TrimSpace(line), "dtc-agent join") {
				join = strings.TrimSpace(line)
			}
		}
		return join != ""
	})
	c.sh(tb, join+" --home /var/lib/dtc-agent")
	c.sh(tb, `sed -i 's|<monitor_files>|<monitor_files><file_alias>/var/log/app.log,app.log</file_alias>|' /var/lib/dtc-agent/conf/agent.xml
		sed -i 's|</remote_host>|<monitor_process name="watched" match="sleep 98765$"/></remote_host>|' /var/lib/dtc/conf/monitor.xml`)
	c.run(tb, "dtc-agent", "config", "check", "--home", "/var/lib/dtc-agent")
	c.run(tb, "systemctl", "enable", "--now", "dtc-agent")
	c.run(tb, "dtc", "reload", "--home", "/var/lib/dtc")
	wait(tb, "the agent answers", func() bool {
		return c.command("dtc", "get", "memory", "--home", "/var/lib/dtc").Run() == nil
	})
}

// deaths are the ends of the watched process that the monitor has told.
func deaths(tb testing.TB, c *container) (pids []int) {
	tb.Helper()
	for line := range strings.Lines(c.run(tb, "dtc", "events", "--home", "/var/lib/dtc", "-o", "json", "--state", "dead", "--since", "1h")) {
		var e struct{ PID int }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			tb.Fatalf("%v: %s", err, line)
		}
		pids = append(pids, e.PID)
	}
	return pids
}

// TestPackages makes two releases, and with them what people do with packages.
func TestPackages(t *testing.T) {
	old, next := makeRelease(t, "../..", "v0.1.0"), makeRelease(t, "../..", "v0.2.0-rc1")
	t.Run("deb", func(t *testing.T) { testDebian(t, old, next) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, old, next) })
	t.Run("lintian", func(t *testing.T) { testLintian(t, next) })
	t.Run("again elsewhere", func(t *testing.T) { testAgain(t, next) })
	t.Run("archive", func(t *testing.T) { testArchive(t, next) })
	t.Run("bills", func(t *testing.T) { testBills(t, next) })
}

// The packages for Debian, on a systemd: installed they start nothing; an upgrade
// starts again what ran and loses no byte of a followed file and no end of a
// watched process, not of one that ends while no agent runs; removed they leave
// their homes; purged they take them, but for the copies of logs.
func testDebian(t *testing.T, old, next *release) {
	t.Helper()
	c := startContainer(t)
	c.put(t, old.out, "dtc_0.1.0_amd64.deb", "dtc-agent_0.1.0_amd64.deb")
	c.put(t, next.out, "dtc_0.2.0~rc1_amd64.deb", "dtc-agent_0.2.0~rc1_amd64.deb")

	// Where no systemd runs they come and go all the same.
	c.sh(t, `unshare --mount sh -ec 'mount -t tmpfs tmpfs /run
		dpkg -i /root/dtc*_0.1.0_amd64.deb; dpkg -i /root/dtc*rc1_amd64.deb; dpkg -r dtc dtc-agent; dpkg -P dtc dtc-agent'
		test ! -e /var/lib/dtc; test ! -e /var/lib/dtc-agent; test ! -e /usr/bin/dtc; ! getent passwd dtc-agent`)

	installed := c.sh(t, "dpkg -i /root/dtc*_0.1.0_amd64.deb")
	for _, want := range []string{"dtc init --home /var/lib/dtc", "dtc-agent: next the line"} {
		if !strings.Contains(installed, want) {
			t.Errorf("the installation does not say %q:\n%s", want, installed)
		}
	}
	for _, service := range []string{"dtc", "dtc-agent"} {
		if got := c.says("systemctl is-enabled " + service + "; systemctl is-active " + service); got != "disabled\ninactive" {
			t.Errorf("%s is %q once it is installed", service, got)
		}
	}
	c.sh(t, `man -w dtc-logs dtc-agent-join
		test -s /usr/share/bash-completion/completions/dtc -a -s /usr/share/zsh/vendor-completions/_dtc-agent
		dtc-agent config check --config /usr/share/doc/dtc-agent/examples/agent.xml
		dtc config check --config /usr/share/doc/dtc/examples/monitor.xml
		systemd-analyze verify /usr/lib/systemd/system/dtc.service /usr/lib/systemd/system/dtc-agent.service`)

	fleetOfOne(t, c)
	c.sh(t, `install -m 0600 /dev/null /var/log/app.log
		systemd-run -q --unit=watched sleep 98765
		systemd-run -q --unit=writer sh -c 'i=0; while :; do i=$((i+1)); echo "line $i of the application"; sleep 0.002; done >>/var/log/app.log'`)
	first := c.mainPID(t, "watched")
	wait(t, "the watched process is known", func() bool {
		return strings.Contains(c.says("dtc events --home /var/lib/dtc --state alive"), "sleep")
	})

	// The agent is not root, and sees what root alone may see.
	if user := c.run(t, "ps", "-o", "user=", "-p", strconv.Itoa(c.mainPID(t, "dtc-agent"))); user != "dtc-agent" {
		t.Errorf("the agent runs as %s", user)
	}
	writer := strconv.Itoa(c.mainPID(t, "writer"))
	if out := c.run(t, "dtc", "get", "openfiles", "--home", "/var/lib/dtc", "--pid", writer); !strings.Contains(out, "/var/log/app.log") {
		t.Errorf("it does not see what the writer has open:\n%s", out)
	}

	// It ends when the agent before has stopped and the one after has not begun.
	c.sh(t, `mkdir -p /run/systemd/system/dtc-agent.service.d
		printf '[Service]\nExecStartPre=+-/usr/bin/systemctl kill -s KILL watched\n' >/run/systemd/system/dtc-agent.service.d/test.conf`)
	agent, monitor := c.mainPID(t, "dtc-agent"), c.mainPID(t, "dtc")
	c.sh(t, "dpkg -i /root/dtc*rc1_amd64.deb; rm -r /run/systemd/system/dtc-agent.service.d; systemctl daemon-reload")
	if c.mainPID(t, "dtc-agent") == agent || c.mainPID(t, "dtc") == monitor {
		t.Error("a service was not started again by the upgrade")
	}
	wait(t, "the agent answers after the upgrade", func() bool {
		return strings.Contains(c.says("dtc hosts --home /var/lib/dtc"), "0.2.0-rc1")
	})
	wait(t, "its end is told", func() bool { return len(deaths(t, c)) > 0 })
	c.sh(t, "systemctl stop writer")
	wait(t, "the copy is complete", func() bool {
		return c.command("cmp", "/var/log/app.log", "/var/lib/dtc/logs/127.0.0.1/app.log").Run() == nil
	})
	c.run(t, "dtc", "logs", "verify", "--home", "/var/lib/dtc")
	if got := deaths(t, c); len(got) != 1 || got[0] != first {
		t.Errorf("told the ends of %d, want that of %d alone", got, first)
	}

	c.sh(t, "dpkg -r dtc dtc-agent")
	if got := c.says("systemctl is-active dtc dtc-agent"); got != "inactive\ninactive" {
		t.Errorf("removed, they are %q", got)
	}
	c.sh(t, "test -s /var/lib/dtc/conf/tls/ca.key -a -s /var/lib/dtc-agent/conf/tls/agent.key; test ! -e /usr/bin/dtc-agent")
	purged := c.sh(t, "dpkg -P dtc dtc-agent")
	if !strings.Contains(purged, "the copies of logs stay in /var/lib/dtc/logs") {
		t.Errorf("the purge does not tell of the copies:\n%s", purged)
	}
	c.sh(t, `test ! -e /var/lib/dtc-agent; cmp /var/log/app.log /var/lib/dtc/logs/127.0.0.1/app.log
		test "$(ls -A /var/lib/dtc)" = logs; test -z "$(find /etc/systemd/system -name 'dtc*')"`)
}

// The packages for RPM's systems hold what they should, and their scripts start
// again what ran, and stop it when it goes. The rpm is Debian's.
func testRPM(t *testing.T, old, next *release) {
	t.Helper()
	c := startContainer(t)
	c.put(t, old.out, "dtc-0.1.0-1.x86_64.rpm", "dtc-agent-0.1.0-1.x86_64.rpm")
	c.put(t, next.out, "dtc-0.2.0~rc1-1.x86_64.rpm", "dtc-agent-0.2.0~rc1-1.x86_64.rpm")
	c.sh(t, `rpm -K --nosignature /root/*.rpm
		rpm -qpl /root/dtc-agent-0.2.0~rc1-1.x86_64.rpm | grep -x /usr/lib/systemd/system/dtc-agent.service
		rpm -qpl /root/dtc-0.2.0~rc1-1.x86_64.rpm | grep -x /usr/share/zsh/site-functions/_dtc
		rpm --force-debian --nodeps -i /root/dtc*-0.1.0-1.x86_64.rpm`)
	fleetOfOne(t, c)
	agent, monitor := c.mainPID(t, "dtc-agent"), c.mainPID(t, "dtc")
	c.sh(t, "rpm --force-debian --nodeps -U /root/dtc*-0.2.0~rc1-1.x86_64.rpm")
	if c.mainPID(t, "dtc-agent") == agent || c.mainPID(t, "dtc") == monitor {
		t.Error("a service was not started again by the upgrade")
	}
	wait(t, "the agent answers after the upgrade", func() bool {
		return strings.Contains(c.says("dtc hosts --home /var/lib/dtc"), "0.2.0-rc1")
	})
	c.sh(t, "rpm --force-debian --nodeps -e dtc dtc-agent")
	if got := c.says("systemctl is-active dtc dtc-agent"); got != "inactive\ninactive" {
		t.Errorf("removed, they are %q", got)
	}
	c.sh(t, `test -s /var/lib/dtc/conf/tls/ca.key -a -s /var/lib/dtc-agent/conf/tls/agent.key
		test -z "$(find /etc/systemd/system -name 'dtc*')"; test ! -e /usr/bin/dtc`)
}

// The packages are as Debian's own checker wants them.
func testLintian(t *testing.T, r *release) {
	t.Helper()
	out, err := exec.Command("lintian", "--allow-root", filepath.Join(r.out, "dtc_0.2.0~rc1_amd64.deb"),
		filepath.Join(r.out, "dtc-agent_0.2.0~rc1_amd64.deb")).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}
