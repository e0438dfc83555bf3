//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload shows SIGHUP and reload, with good files and bad, on both sides.
func TestReload(t *testing.T) {
	l := newLone(t)
	conf := filepath.Join(l.agentHome, "conf", "agent.xml")
	good := readFile(conf)
	agent := func(args ...string) result {
		return namespace("").run(t, agentPath(), append(args, "--home", l.agentHome)...)
	}

	writeFile(t, conf, strings.Replace(good, "<agent>", "<agent>\n<no_such_element/>", 1))
	if r := agent("reload"); r.code != 1 || !strings.Contains(r.stderr, "agent.xml:") {
		t.Errorf("reload of a bad agent.xml: exit status %d\n%s", r.code, r.stderr)
	}
	if r := agent("config", "check"); r.code != 2 || !regexp.MustCompile(`agent\.xml:\d+: .*no_such_element`).MatchString(r.stderr) {
		t.Errorf("config check of a bad agent.xml: exit status %d\n%s", r.code, r.stderr)
	}
	l.dtc(t, "get", "memory") // runs on with what it had

	// A changed local_host is applied too.
	moved := "127.0.0.1:" + strconv.Itoa(int(freePort(t)))
	writeFile(t, conf, strings.Replace(good, l.agentAt, moved, 1))
	l.agent.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, func() string { return "the agent to move:\n" + l.agent.log.String() }, func() bool {
		return strings.Contains(l.agent.log.String(), "address="+moved)
	})
	xml := filepath.Join(l.home, "conf", "monitor.xml")
	text := strings.Replace(readFile(xml), l.agentAt, moved, 1)
	writeFile(t, xml, strings.Replace(text, moved+"</ip_port>", moved+"</ip_port><detect_interval_time>0</detect_interval_time>", 1))
	if r := namespace("").run(t, dtcPath(), "reload", "--home", l.home); r.code != 1 || !strings.Contains(r.stderr, "monitor.xml:") {
		t.Errorf("reload of a bad monitor.xml: exit status %d\n%s", r.code, r.stderr)
	}
	writeFile(t, xml, text)
	l.serve.cmd.Process.Signal(syscall.SIGHUP)
	l.dtc(t, "get", "memory")
	l.dtc(t, "reload")
}

// TestRejoinAfterRevoke shows that the copies of a host that was revoked go on
// where they were, once it is let in again with another key.
func TestRejoinAfterRevoke(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.log")
	l := newLone(t, file)
	copied := filepath.Join(l.home, "logs", "127.0.0.1", "app.log")
	is := func(want string) {
		t.Helper()
		eventually(t, func() string { return different([]byte(readFile(copied)), []byte(want)) }, func() bool { return readFile(copied) == want })
	}
	writeFile(t, file, "one\n")
	is("one\n")
	l.dtc(t, "revoke", "here")
	writeFile(t, file, "one\ntwo\n") // the agent's attempts to send it are refused
	eventually(t, l.agent.log.String, func() bool { return strings.Contains(l.agent.log.String(), "revoked") })
	eventually(t, l.agent.log.String, func() bool { return strings.Contains(l.dtc(t, "events", "-o", "json"), `"state":"refused"`) })
	l.agent.stop(t)
	if got := readFile(copied); got != "one\n" {
		t.Errorf("from a revoked agent: %q", got)
	}

	home := t.TempDir()
	l.dtc(t, "issue", "here", "--ip", "127.0.0.1", "--out", home, "--listen", l.agentAt, "--monitor", l.monitorAt)
	writeFile(t, filepath.Join(home, "conf", "agent.xml"), agentXML(l.agentAt, l.monitorAt, file))
	namespace("").start(t, agentPath(), "run", "--home", home)
	eventually(t, func() string { return different([]byte(readFile(copied)), []byte("one\ntwo\n")) }, func() bool {
		return strings.HasSuffix(readFile(copied), "two\n")
	})
	time.Sleep(time.Second) // nothing more may come
	if got := readFile(copied); strings.Count(got, "two\n") != 1 {
		t.Errorf("after it joined again: %q", got)
	}
	out := l.dtc(t, "events", "-o", "json")
	for _, want := range []string{`"state":"refused"`, `"state":"changed"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no event %s:\n%s", want, out)
		}
	}
}

// TestTerminalSafety shows that what a host can name and write reaches the
// terminal escaped.
func TestTerminalSafety(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.log")
	l := newLone(t, file)

	evil := filepath.Join(dir, "e\x1b[31mvil\x07")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(sleep, evil); err != nil {
		data, _ := os.ReadFile(sleep)
		if err := os.WriteFile(evil, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := spawn(t, "", evil, "600")
	writeFile(t, file, "good\x1b]0;owned\x07 \u202edetrevni \u009b31m\r\n")
	copied := filepath.Join(l.home, "logs", "127.0.0.1", "app.log")
	eventually(t, func() string { return "no copy of the log" }, func() bool { return readFile(copied) == readFile(file) })

	xml := filepath.Join(l.home, "conf", "monitor.xml")
	writeFile(t, xml, strings.Replace(readFile(xml), l.agentAt+"</ip_port>", l.agentAt+"</ip_port><monitor_pid>"+strconv.Itoa(p.Process.Pid)+"</monitor_pid>", 1))
	l.dtc(t, "reload")
	logs := func() string {
		paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.1", "*_process_*.log"))
		if len(paths) == 0 {
			return ""
		}
		return readFile(paths[0])
	}
	eventually(t, func() string { return "alive of the evil process\n" + logs() }, func() bool { return strings.Contains(logs(), "state=alive") })

	for _, args := range [][]string{
		{"get", "process"},
		{"get", "openfiles"},
		{"get", "process", "-o", "json"},
		{"get", "process", "-o", "jsonl"},
		{"logs"},
		{"logs", "app.log"},
		{"events"},
		{"events", "-o", "json"},
	} {
		out := onTerminal(t, append([]string{dtcPath()}, append(args, "--home", l.home)...)...)
		if !strings.Contains(out, "vil") && !strings.Contains(out, "good") {
			t.Errorf("dtc %s does not show it:\n%s", strings.Join(args, " "), tail(out, 5))
		}
		for _, bad := range []string{"\x1b[31mvil", "\x1b]", "\x07", "\u202e", "\u009b"} {
			if strings.Contains(out, bad) {
				t.Errorf("dtc %s sends %q to the terminal", strings.Join(args, " "), bad)
			}
		}
	}
	if raw := l.dtc(t, "logs", "--raw", "app.log"); raw != readFile(file) {
		t.Errorf("logs --raw: %q", raw)
	}
}

// onTerminal runs a command on a pseudo-terminal of 500 columns and returns
// what it wrote there.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	for i, a := range args {
		args[i] = "'" + a + "'"
	}
	cmd := exec.CommandContext(t.Context(), "script", "-qec", "stty cols 500; "+strings.Join(args, " "), "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s on a terminal: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestDemo runs the demo and ends it by SIGINT, as Ctrl-C does.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, dtcPath(), "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return "the demo to be through:\n" + out.String() }, func() bool {
		return strings.Contains(out.String(), "Ctrl-C ends it")
	})
	homes, _ := filepath.Glob(filepath.Join(tmp, "dtc-demo-*"))
	if len(homes) != 1 {
		t.Fatalf("throw-away homes: %v", homes)
	}
	// What it invites to do works.
	namespace("").must(t, dtcPath(), "get", "process", "--home", homes[0])
	var events []struct{ State string }
	for line := range strings.Lines(namespace("").must(t, dtcPath(), "events", "-o", "json", "--home", homes[0])) {
		var e struct{ State string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	if len(events) < 2 {
		t.Errorf("events: %v", events)
	}
	for _, want := range []string{"state=alive", "state=dead signal=9", "line 4, in the new file", "compared just now"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out.String())
		}
	}
	began := time.Now()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	err := cmd.Wait()
	if took := time.Since(began); err != nil || took > 5*time.Second {
		t.Errorf("Ctrl-C: %v after %s\n%s", err, took, tail(out.String(), 10))
	}
	left, _ := os.ReadDir(tmp)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if out := namespace("").run(t, "pgrep", "-g", strconv.Itoa(cmd.Process.Pid)).stdout; out != "" {
		t.Errorf("processes left: %s", out)
	}
}
