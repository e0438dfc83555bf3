//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// windowsPath is how Wine calls a file of this machine.
func windowsPath(path string) string { return "Z:" + strings.ReplaceAll(path, "/", `\`) }

// wine runs Windows programs.
type wine struct{ run, dir string }

// newWine builds the two programs for Windows.
func newWine(t *testing.T) wine {
	t.Helper()
	run, err := filepath.Abs("../../tools/run-windows-exe")
	if err != nil {
		t.Fatal(err)
	}
	w := wine{run, t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", w.dir, "dtc/cmd/dtc", "dtc/cmd/dtc-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for Windows: %v\n%s", err, out)
	}
	return w
}

func (w wine) exe(name string) string { return filepath.Join(w.dir, name) }

// TestWindowsUnderWine has the Windows agent as a host of the fleet: asked from
// Linux, a watched process that ends, a followed file that its writer renames;
// and the Windows dtc asks a Linux agent. It is Wine and not Windows.
func TestWindowsUnderWine(t *testing.T) {
	w := newWine(t)
	l := newLone(t)
	home, file, disturbed := t.TempDir(), filepath.Join(t.TempDir(), "app.log"), filepath.Join(t.TempDir(), "app.log")
	port := freePort(t)
	at := fmt.Sprintf("127.0.0.2:%d", port)
	l.dtc(t, "issue", "win1", "--ip", "127.0.0.2", "--out", home, "--listen", at, "--monitor", l.monitorAt)
	writeFile(t, filepath.Join(home, "conf", "agent.xml"), fmt.Sprintf(
		"<agent><local_host>%s</local_host><monitor_host>%s</monitor_host><scan_file_time>1</scan_file_time><monitor_files><file_alias>%s,app.log</file_alias><file_alias>%s,win.log</file_alias></monitor_files></agent>",
		at, l.monitorAt, windowsPath(file), windowsPath(disturbed)))
	agent := namespace("").start(t, w.run, w.exe("dtc-agent.exe"), "run", "--home", windowsPath(home))
	eventually(t, agent.log.String, func() bool {
		return namespace("").run(t, dtcPath(), "hosts", "--host", "win1", "--home", l.home).code == 0
	})
	t.Run("ask", func(t *testing.T) {
		for _, status := range []string{"process", "platform", "openfiles", "memory", "cpu"} {
			if out := l.dtc(t, "get", status, "--host", "win1", "--timeout", "30s"); len(strings.TrimSpace(out)) == 0 {
				t.Errorf("get %s: nothing", status)
			}
		}
		out := l.dtc(t, "get", "platform", "--host", "win1", "-o", "json")
		if !strings.Contains(strings.ToLower(out), "windows") {
			t.Errorf("platform: %s", out)
		}
	})
	t.Run("watch", func(t *testing.T) { w.watch(t, l, at) })
	t.Run("watch a hundred", func(t *testing.T) { w.watchMany(t, l, at) })
	t.Run("follow", func(t *testing.T) { w.follow(t, l, file) })
	t.Run("disturbed", func(t *testing.T) { w.disturbed(t, l, disturbed) })
	t.Run("dtc.exe asks a Linux agent", func(t *testing.T) {
		r := namespace("").run(t, w.run, w.exe("dtc.exe"), "get", "memory", "--host", "here", "--home", windowsPath(l.home))
		if r.code != 0 || !strings.Contains(r.stdout, "Mem:") {
			t.Errorf("exit status %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
}

// watch watches a Windows process that exits with 3.
func (w wine) watch(t *testing.T, l *lone, at string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.run, "cmd.exe", "/c", "set /p x=& exit 3")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = cmd.Wait() })
	defer wg.Wait()
	defer stdin.Close()

	pid := 0
	eventually(t, func() string {
		return "no cmd.exe among the processes:\n" + l.dtc(t, "get", "process", "--host", "win1")
	}, func() bool {
		var hosts []struct {
			Process []struct {
				PID  int
				Name string
			}
		}
		if err := json.Unmarshal([]byte(l.dtc(t, "get", "process", "--host", "win1", "-o", "json")), &hosts); err != nil {
			t.Fatal(err)
		}
		for _, p := range hosts[0].Process {
			if strings.EqualFold(p.Name, "cmd.exe") {
				pid = p.PID
			}
		}
		return pid != 0
	})
	xml := filepath.Join(l.home, "conf", "monitor.xml")
	entry := "<ip_port>" + at + "</ip_port>"
	writeFile(t, xml, strings.Replace(readFile(xml), entry, entry+"<monitor_pid>"+strconv.Itoa(pid)+"</monitor_pid>", 1))
	l.dtc(t, "reload")
	logs := func() string {
		paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.2", "*_process_*.log"))
		if len(paths) == 0 {
			return ""
		}
		return readFile(paths[0])
	}
	eventually(t, logs, func() bool { return strings.Contains(logs(), "state=alive") })
	fmt.Fprintln(stdin)
	eventually(t, logs, func() bool { return strings.Contains(logs(), "state=dead") })
	if !regexp.MustCompile(fmt.Sprintf(`pid=%d name=\S+ state=dead exit_code=3 lived=`, pid)).MatchString(logs()) {
		t.Errorf("process log:\n%s", logs())
	}
}

// watchMany watches a hundred Windows processes, more than one wait takes
// handles, and has each told with its exit code.
func (w wine) watchMany(t *testing.T, l *lone, at string) {
	t.Helper()
	const many = 100
	program := filepath.Join(t.TempDir(), "mortals.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/mortals")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for Windows: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.run, program, strconv.Itoa(many))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
	codes, pids := map[string]string{}, []string{}
	for lines := bufio.NewScanner(stdout); len(codes) < many && lines.Scan(); {
		pid, code, ok := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if _, err := strconv.Atoi(pid); !ok || err != nil {
			t.Fatalf("mortals: %s", lines.Text())
		}
		codes[pid], pids = code, append(pids, pid)
	}

	xml := filepath.Join(l.home, "conf", "monitor.xml")
	list := regexp.MustCompile("(<ip_port>" + regexp.QuoteMeta(at) + "</ip_port>)<monitor_pid>[^<]*</monitor_pid>")
	writeFile(t, xml, list.ReplaceAllString(readFile(xml), "$1<monitor_pid>"+strings.Join(pids, ",")+"</monitor_pid>"))
	l.dtc(t, "reload")
	logs := func() string {
		paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.2", "*_process_*.log"))
		var all strings.Builder
		for _, p := range paths {
			all.WriteString(readFile(p))
		}
		return all.String()
	}
	before := strings.Count(logs(), "state=dead")
	eventually(t, logs, func() bool {
		for _, pid := range pids {
			if !regexp.MustCompile("(?m) pid=" + pid + " .*state=alive ").MatchString(logs()) {
				return false
			}
		}
		return true
	})
	_ = stdin.Close()
	eventually(t, logs, func() bool { return strings.Count(logs(), "state=dead") >= before+many })
	for pid, code := range codes {
		if n := len(regexp.MustCompile("(?m) pid="+pid+" .*state=dead exit_code="+code+" ").FindAllString(logs(), -1)); n != 1 {
			t.Errorf("the end of %s with %s stands there %d times", pid, code, n)
		}
	}
	if n := strings.Count(logs(), "state=dead"); n != before+many {
		t.Errorf("%d deaths, want %d", n, before+many)
	}
}

// follow has a Windows program write, rename and write again.
func (w wine) follow(t *testing.T, l *lone, file string) {
	t.Helper()
	copied := filepath.Join(l.home, "logs", "127.0.0.2", "app.log")
	win := windowsPath(file)
	namespace("").must(t, w.run, "cmd.exe", "/c", "echo first>>"+win)
	eventually(t, func() string { return fmt.Sprintf("copy %q", readFile(copied)) }, func() bool { return readFile(copied) == "first\r\n" })
	namespace("").must(t, w.run, "cmd.exe", "/c", "echo second>>"+win+"&& ren "+win+" app.log.1&& echo third>>"+win)
	want := "first\r\nsecond\r\nthird\r\n"
	eventually(t, func() string { return fmt.Sprintf("copy %q", readFile(copied)) }, func() bool { return readFile(copied) == want })
	if got := readFile(file+".1") + readFile(file); got != want {
		t.Errorf("the writer's files are %q", got)
	}
}
