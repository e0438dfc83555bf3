//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dtc"
	"dtc/internal/status"
)

// otherUser is a user that has no account.
const otherUser = 1234

// startAs starts a command of the other user, with a file as its standard input.
func startAs(t *testing.T, input, name string, args ...string) *exec.Cmd {
	t.Helper()
	in, err := os.Open(input)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it may have ended
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// TestConfinedAgent shows that an agent that confines itself, as it does when it
// starts, answers, watches and follows as one that does not, also what belongs to
// others.
func TestConfinedAgent(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "private", "app.log")
	writeFile(t, file, "one\ntwo\n")
	for path, mode := range map[string]os.FileMode{filepath.Dir(file): 0o700, file: 0o600} {
		if err := os.Chown(path, otherUser, otherUser); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	killed := startAs(t, file, "sleep", "1000")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	ends := startAs(t, pipe, "sh", "-c", "read x; exit 7")

	l := newLone(t, file)
	checkThreads(t, l.agent.cmd.Process.Pid)
	if log := l.agent.log.String(); !strings.Contains(log, "msg=confined") || strings.Contains(log, `msg="not confined"`) {
		t.Errorf("its log:\n%s", log)
	}
	checkStatuses(t, l, killed.Process.Pid)

	conf := filepath.Join(l.home, "conf", "monitor.xml")
	rules := fmt.Sprintf(`<monitor_process name="there" exe="sleep" min="1"/>
<remote_host><monitor_pid>%d,%d</monitor_pid>`, killed.Process.Pid, ends.Process.Pid)
	writeFile(t, conf, replaceLast(readFile(conf), "<remote_host>", rules))
	l.dtc(t, "reload")
	told := func(what string) {
		eventually(t, func() string { return what + ":\n" + l.processLog() + l.serve.log.String() }, func() bool {
			return strings.Contains(l.processLog(), what)
		})
	}
	told(fmt.Sprintf("pid=%d name=sleep state=alive", killed.Process.Pid))
	told(fmt.Sprintf("pid=%d name=sh state=alive", ends.Process.Pid))
	eventually(t, func() string { return "its process connector" }, func() bool { return hasConnector(l.agent.cmd.Process.Pid) })
	eventually(t, func() string { return "the kernel's log to be open" }, func() bool { return hasOpen(l.agent.cmd.Process.Pid, "/dev/kmsg") })
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	told(fmt.Sprintf("pid=%d name=sleep state=dead signal=9", killed.Process.Pid))
	if _, err := writer.WriteString("x\n"); err != nil {
		t.Fatal(err)
	}
	_ = ends.Wait()
	told(fmt.Sprintf("pid=%d name=sh state=dead exit_code=7", ends.Process.Pid))
	if journals, err := filepath.Glob(filepath.Join(l.agentHome, "state", "watch", "journal-*")); err != nil || len(journals) == 0 {
		t.Errorf("it remembers in %q, %v", journals, err)
	}
	eventually(t, func() string { return "the copy: " + readFile(l.copyOf("app.log")) }, func() bool {
		return readFile(l.copyOf("app.log")) == "one\ntwo\n"
	})
	// What it is handed over of whom to trust stands in conf/tls.
	l.dtc(t, "issue", "gone", "--ip", "127.0.0.9", "--out", filepath.Join(dir, "gone"))
	l.dtc(t, "revoke", "gone")
	revoked := filepath.Join(l.agentHome, "conf", "tls", "revoked")
	eventually(t, func() string { return revoked + ":\n" + l.agent.log.String() }, func() bool { return readFile(revoked) != "" })
	l.agent.stop(t)
	if _, err := os.Lstat(filepath.Join(l.agentHome, "state", "agent.sock")); !os.IsNotExist(err) {
		t.Errorf("its socket is still there: %v", err)
	}
}

// replaceLast replaces the last of what may stand in a comment too.
func replaceLast(s, old, by string) string {
	at := strings.LastIndex(s, old)
	return s[:at] + by + s[at+len(old):]
}

// checkThreads looks at what the kernel says of each thread of an agent of root's.
func checkThreads(t *testing.T, pid int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	seen := map[string]int{}
	for _, file := range files {
		for line := range strings.Lines(readFile(file)) {
			name, value, _ := strings.Cut(line, ":")
			switch name {
			case "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapEff", "CapBnd", "CapInh", "CapAmb":
				seen[name+" "+strings.TrimSpace(value)]++
			}
		}
	}
	want := []string{
		"CapAmb 0000000000000000", "CapBnd 0000010410081406", "CapEff 0000000000001402", "CapEff 0000010410080004",
		"CapInh 0000000000000000", "NoNewPrivs 1", "Seccomp 2", "Seccomp_filters 2",
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("its threads have %v, want %v", seen, want)
	}
}

// checkStatuses asks for all that there is, and compares what is open of a
// process of another user with what root sees.
func checkStatuses(t *testing.T, l *lone, pid int) {
	t.Helper()
	for _, s := range []string{"process", "openfiles", "memory", "cpu", "platform", "disk", "interfaces", "sockets", "users"} {
		var hosts []struct {
			Error     string     `json:"error"`
			OpenFiles []openFile `json:"openfiles"`
		}
		if err := json.Unmarshal([]byte(l.dtc(t, "get", s, "-o", "json")), &hosts); err != nil || len(hosts) != 1 || hosts[0].Error != "" {
			t.Errorf("%s: %v, %v", s, hosts, err)
			continue
		}
		if s == "openfiles" {
			compareOpen(t, slices.DeleteFunc(hosts[0].OpenFiles, func(f openFile) bool { return f.PID != pid }), pid)
		}
	}
}

// openFile is what does not change of an open file while nobody uses it.
type openFile struct {
	PID    int    `json:"pid"`
	FD     string `json:"fd"`
	Mode   string `json:"mode"`
	Type   string `json:"type"`
	Device string `json:"device"`
	Node   string `json:"node"`
	Name   string `json:"name"`
}

func compareOpen(t *testing.T, got []openFile, pid int) {
	t.Helper()
	var want []openFile
	err := status.New(status.Options{}).Get(t.Context(), dtc.Query{Status: dtc.StatusOpenFiles}, func(r *dtc.Report) error {
		for _, f := range r.OpenFiles {
			if f.PID == pid {
				want = append(want, openFile{
					f.PID, strings.Clone(f.FD), strings.Clone(f.Mode), strings.Clone(f.Type), strings.Clone(f.Device),
					strings.Clone(f.Node), strings.Clone(f.Name),
				})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The folder, the root, the program, libraries, three descriptors.
	if len(got) < 8 || !slices.Equal(got, want) {
		t.Errorf("open files of process %d:\n%v\nwant\n%v", pid, got, want)
	}
}

// hasOpen tells whether a process has a file open.
func hasOpen(pid int, path string) bool {
	fds, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(fd)
		return err == nil && to == path
	})
}

// hasConnector tells whether a process has a socket of the process connector.
func hasConnector(pid int) bool {
	const connector = "11" // NETLINK_CONNECTOR
	for line := range strings.Lines(readFile(fmt.Sprintf("/proc/%d/net/netlink", pid))) {
		fields := strings.Fields(line) // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		if len(fields) == 10 && fields[1] == connector && hasOpen(pid, "socket:["+fields[9]+"]") {
			return true
		}
	}
	return false
}
