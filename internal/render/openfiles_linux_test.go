package render

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

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/status"
)

// lsofOf renders our answer about some processes.
func lsofOf(t *testing.T, pids ...int) string {
	t.Helper()
	var b bytes.Buffer
	d := NewDocument(&b, dtc.StatusOpenFiles, 1, Options{})
	query := dtc.Query{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{PIDs: pids}}
	err := status.New(status.Options{}).Get(t.Context(), query, func(r *dtc.Report) error { return d.Add(0, r) })
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// oddProcess starts a process with the given name and the files of a script of
// bash, as a user.
func oddProcess(t *testing.T, name, script string, uid uint32) int {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, name) // which the kernel takes as the name of the process
	data, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", script+"; echo ready >&$READY; exec {READY}>&-; exec -a sleep \"$0\" 600", program)
	ready, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{end}
	cmd.Env = append(os.Environ(), "READY=3")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	for parent := dir; uid != 0 && parent != os.TempDir(); parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := ready.Read(make([]byte, 8)); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	ready.Close()
	for { // until it is the program
		now, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		if err == nil && now == program {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return cmd.Process.Pid
}

// The text about processes that do nothing is, byte by byte, what lsof prints
// about them: the widths of the columns too.
func TestCollectedOpenFilesAsLsof(t *testing.T) {
	bound, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	udp := os.NewFile(uintptr(bound), "udp")
	defer udp.Close()
	if err := unix.Bind(bound, &unix.SockaddrInet4{}); err != nil {
		t.Fatal(err)
	}
	for name, pids := range map[string][]int{
		"a thread of the kernel": {2},
		"nothing but names":      {oddProcess(t, "x", "exec <&- >&- 2>&-", 0)},
		"a number of one digit":  {oddProcess(t, "x", "exec <&- >&-", 0)},
		"large numbers":          {oddProcess(t, "x", "ulimit -n 19000; exec 9999</dev/null 10000</dev/null 10007</dev/null 18765</dev/null", 0)},
		"a user without a name":  {oddProcess(t, "x", "true", 4242)},
		"a user with a number":   {oddProcess(t, "x", "true", 123456789)},
		"nobody":                 {oddProcess(t, "x", "true", 65534)},
		"a short command":        {oddProcess(t, "c", "true", 0)},
		"a space":                {oddProcess(t, "a b", "true", 0)},
		"a long command":         {oddProcess(t, "a long command", "true", 0)},
		"spaces at the end":      {oddProcess(t, "12345678  ", "true", 0)},
		"control characters":     {oddProcess(t, "a\x1b\tb\x7f\x01", "true", 0)},
		"not ASCII":              {oddProcess(t, "é漢字", "true", 0)},
		"not UTF-8":              {oddProcess(t, "a\xff\x80\xe9", "true", 0)},
		"backslashes":            {oddProcess(t, `\\a\b`, "true", 0)},
		"names":                  {oddProcess(t, "x", `exec 4>'a b  ' 5>$'tab\ttab' 6>$'new\nline' 7>$'\x1b[31m\x7f\xff' 8>'é 漢字' 9>$'e\u0301' 10>'  x\y'`, 0)},
		"a lock":                 {oddProcess(t, "x", "exec 5>locked 6<locked; flock -x 5; exec 7>other; flock -s 7", 0)},
		"a large file":           {oddProcess(t, "x", "truncate -s 15T huge || truncate -s 900G huge; exec 5<huge", 0)},
		"a socket of UDP":        {start(t, []string{"sleep", "600"}, t.TempDir(), udp)},
		"several": {
			2, oddProcess(t, "one", "ulimit -n 19000; exec 12345</dev/null", 0), oddProcess(t, "two two", "true", 4242), start(t, []string{"sleep", "600"}, t.TempDir(), udp),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var list []string
			for _, pid := range pids {
				list = append(list, strconv.Itoa(pid))
			}
			var got, want string
			for range 10 { // a process needs a moment to come to rest
				got, want = lsofOf(t, pids...), run(t, "", "lsof", "-n", "-P", "-p", strings.Join(list, ","))
				if got == want {
					return
				}
			}
			t.Errorf("got\n%swant\n%s", got, want)
		})
	}
}
