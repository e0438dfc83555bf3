//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWindowsServiceUnderWine makes a service of the Windows agent, which Wine's
// service manager starts, stops and asks.
func TestWindowsServiceUnderWine(t *testing.T) {
	w := newWine(t)
	w.stayUp(t)
	monitor, home := t.TempDir(), filepath.Join(t.TempDir(), "a home")
	namespace("").must(t, dtcPath(), "init", "--home", monitor, "--listen", "127.0.0.1:17700")
	at := fmt.Sprintf("127.0.0.2:%d", freePort(t))
	namespace("").must(t, dtcPath(), "issue", "win1", "--ip", "127.0.0.2", "--out", home, "--listen", at, "--home", monitor)
	agent := func(args ...string) result {
		t.Helper()
		return namespace("").run(t, w.run, append([]string{w.exe("dtc-agent.exe")}, args...)...)
	}
	service := func(code int, want, what string, args ...string) {
		t.Helper()
		r := agent(append([]string{"service", what}, args...)...)
		if out := r.stdout + r.stderr; r.code != code || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("service %s: exit status %d, want %d, and %q\n%s", what, r.code, code, want, out)
		}
	}
	reachable := func(want string) {
		t.Helper()
		hosts := func() string { return namespace("").run(t, dtcPath(), "hosts", "--home", monitor).stdout }
		eventually(t, hosts, func() bool { return strings.Contains(hosts(), want) })
	}
	agent("service", "uninstall") // what a run that was killed has left
	t.Cleanup(func() { agent("service", "uninstall") })
	const running = `dtc-agent: running since .*, pid \d+, home Z:.*\\a home, starts with the machine`

	service(1, "not installed as a service", "status")
	for _, told := range []string{"is a service now", "is a service already"} {
		service(0, told, "install", "--home", windowsPath(home))
	}
	reachable("reachable")
	service(0, running, "status")
	service(0, "dtc-agent is stopped", "stop")
	service(1, "stopped, home Z:", "status")
	reachable("refused")
	service(0, "dtc-agent runs", "start")
	reachable("reachable")
	service(0, running, "status")
	service(0, "no service any more\r?\nthe home Z:.*stays", "uninstall")
	service(1, "not installed as a service", "status")
	service(1, "not installed", "start")
	reachable("refused")
}

// stayUp keeps Wine's Windows running: without a program it shuts down, and with
// the next one starts all services.
func (w wine) stayUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, w.run, "cmd.exe", "/c", "set /p x=")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		cancel()
		_ = cmd.Wait()
	})
}
