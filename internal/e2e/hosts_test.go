//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fleet is a monitor and some agents, each in a namespace of its own.
type fleet struct {
	*network
	t      testing.TB // of the whole fleet: daemons outlive the subtest that starts them
	home   string     // of the monitor
	homes  []string   // of all; 0 is the monitor's
	serve  *daemon
	agents []*daemon // 0 is nil
}

// newFleet makes a fleet the way an operator does: init, invite and join by
// network for all hosts but the last, issue for that.
func newFleet(tb testing.TB, hosts int) *fleet {
	tb.Helper()
	f := &fleet{network: newNetwork(tb, hosts+1), t: tb, home: tb.TempDir()}
	monitorAt := f.ips[0] + ":7700"
	f.dtc(tb, "init", "--listen", monitorAt)
	f.startServe(tb)
	f.homes, f.agents = []string{f.home}, []*daemon{nil}
	for i := 1; i <= hosts; i++ {
		home := tb.TempDir()
		f.homes = append(f.homes, home)
		name, at := fmt.Sprintf("web%d", i), f.ips[i]+":7701"
		if i < hosts {
			out := f.dtc(tb, "invite", "--name", name, "--ip", f.ips[i])
			line := regexp.MustCompile(`(?m)^\s*dtc-agent (join .*)$`).FindStringSubmatch(out)
			if line == nil {
				tb.Fatalf("dtc invite prints no line to paste:\n%s", out)
			}
			args := append(strings.Fields(line[1]), "--home", home)
			f.nodes[i].must(tb, agentPath(), args...)
		} else {
			f.dtc(tb, "issue", name, "--ip", f.ips[i], "--out", home, "--listen", at, "--monitor", monitorAt)
		}
		f.agents = append(f.agents, nil)
	}
	return f
}

// dtc runs a command of the monitor that has to succeed.
func (f *fleet) dtc(tb testing.TB, args ...string) string {
	tb.Helper()
	return f.nodes[0].must(tb, dtcPath(), append(args, "--home", f.home)...)
}

func (f *fleet) startServe(tb testing.TB) {
	tb.Helper()
	f.serve = f.nodes[0].start(f.t, dtcPath(), "serve", "--home", f.home)
	f.waitServe(tb)
}

// waitServe waits until the service answers on its socket.
func (f *fleet) waitServe(tb testing.TB) {
	tb.Helper()
	eventually(tb, func() string { return "dtc serve to answer:\n" + f.serve.log.String() }, func() bool {
		return f.nodes[0].run(tb, dtcPath(), "reload", "--home", f.home).code == 0
	})
}

func (f *fleet) startAgent(tb testing.TB, i int) {
	tb.Helper()
	f.agents[i] = f.nodes[i].start(f.t, agentPath(), "run", "--home", f.homes[i])
}

// follow has the agent i follow a file.
func (f *fleet) follow(tb testing.TB, i int, paths ...string) {
	tb.Helper()
	writeFile(tb, filepath.Join(f.homes[i], "conf", "agent.xml"), agentXML(f.ips[i]+":7701", f.ips[0]+":7700", paths...))
}

// watch puts pids into monitor.xml and has the service apply it.
func (f *fleet) watch(tb testing.TB, i int, pids ...int) {
	tb.Helper()
	path := filepath.Join(f.home, "conf", "monitor.xml")
	text := readFile(path)
	var list []string
	for _, pid := range pids {
		list = append(list, strconv.Itoa(pid))
	}
	at := regexp.MustCompile(`(<ip_port>` + regexp.QuoteMeta(f.ips[i]+":7701") + `</ip_port>)`)
	if !at.MatchString(text) {
		tb.Fatalf("no host %s in monitor.xml:\n%s", f.ips[i], text)
	}
	writeFile(tb, path, at.ReplaceAllString(text, "$1<monitor_pid>"+strings.Join(list, ",")+"</monitor_pid>"))
	f.dtc(tb, "reload")
}

// processLog returns what stands in the process logs of host i.
func (f *fleet) processLog(i int) string {
	paths, _ := filepath.Glob(filepath.Join(f.home, "logs", f.ips[i], f.ips[i]+"_7701_process_*.log"))
	var all strings.Builder
	for _, p := range paths {
		all.WriteString(readFile(p))
	}
	return all.String()
}

// line waits for a line of host i's process log that matches re.
func (f *fleet) line(tb testing.TB, i int, re string) string {
	tb.Helper()
	wanted := regexp.MustCompile("(?m)^.*" + re + ".*$")
	var got string
	eventually(tb, func() string { return fmt.Sprintf("no line %q in\n%s", re, f.processLog(i)) }, func() bool {
		got = wanted.FindString(f.processLog(i))
		return got != ""
	})
	return got
}

// spawn starts a process to be watched; it is reaped when it ends.
func spawn(tb testing.TB, ns namespace, name string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := ns.command(context.Background(), name, args...)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = cmd.Wait() })
	tb.Cleanup(func() { cmd.Process.Kill(); wg.Wait() })
	return cmd
}

// TestThreeHosts is the main job on three hosts: joined by network and by
// hand, asked, watched and followed through cuts and kills.
func TestThreeHosts(t *testing.T) {
	f := newFleet(t, 3)
	for i := 1; i <= 3; i++ {
		f.startAgent(t, i)
	}
	eventually(t, func() string { return f.dtc(t, "hosts") }, func() bool {
		return f.nodes[0].run(t, dtcPath(), "hosts", "--home", f.home).code == 0
	})
	t.Run("ask", func(t *testing.T) { testAsk(t, f) })
	t.Run("watch", func(t *testing.T) { testWatch(t, f) })
	t.Run("follow", func(t *testing.T) { testFollow(t, f) })
	t.Run("revoke", func(t *testing.T) { testRevoke(t, f) })
	t.Run("stop", func(t *testing.T) {
		f.serve.stop(t)
		f.agents[1].stop(t)
	})
}

func testAsk(t *testing.T, f *fleet) {
	t.Helper()
	for _, status := range []string{"process", "platform", "openfiles", "memory", "cpu"} {
		r := f.nodes[0].run(t, dtcPath(), "get", status, "--home", f.home, "--timeout", "30s")
		if r.code != 0 || !strings.Contains(r.stderr, "3 of 3 hosts answered") {
			t.Errorf("get %s: exit status %d, %s", status, r.code, r.stderr)
		}
		for i := 1; i <= 3; i++ {
			head := fmt.Sprintf("==> web%d (%s:7701) <==\n", i, f.ips[i])
			if strings.Count(r.stdout, head) != 1 {
				t.Errorf("get %s: no part %q", status, head)
			}
		}
	}
	var answers []struct {
		Host, Address string
		Platform      struct{ Hostname, Kernel string }
	}
	out := f.dtc(t, "get_platform", "-o", "json", "--host", "web[12]")
	if err := json.Unmarshal([]byte(out), &answers); err != nil || len(answers) != 2 || answers[1].Host != "web2" || answers[1].Platform.Kernel == "" {
		t.Errorf("get_platform -o json: %v\n%s", err, out)
	}

	f.cut(t, 3)
	began := time.Now()
	r := f.nodes[0].run(t, dtcPath(), "get", "memory", "--home", f.home, "--timeout", "2s")
	took := time.Since(began)
	f.heal(t, 3)
	if r.code != 1 || !strings.Contains(r.stderr, "2 of 3 hosts answered") || !regexp.MustCompile(`(?m)^.*web3.*(timed out|no route).*$`).MatchString(r.stderr) {
		t.Errorf("one link cut: exit status %d\n%s", r.code, r.stderr)
	}
	if took > 10*time.Second { // 2 s of timeout; generous for a busy machine
		t.Errorf("one link cut: took %s with a timeout of 2 s", took)
	}
}

func testWatch(t *testing.T, f *fleet) {
	t.Helper()
	killed := spawn(t, f.nodes[1], "sleep", "600")
	exits := spawn(t, f.nodes[2], "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
	later := spawn(t, f.nodes[3], "sleep", "600")
	f.watch(t, 1, killed.Process.Pid, 4194303)
	f.watch(t, 2, exits.Process.Pid)
	f.watch(t, 3, later.Process.Pid)
	f.line(t, 1, fmt.Sprintf(`host=web1 address=%s:7701 pid=%d name=sleep state=alive event=`, f.ips[1], killed.Process.Pid))
	f.line(t, 1, `pid=4194303 .*state=missing`)
	f.line(t, 2, fmt.Sprintf(`pid=%d .*state=alive`, exits.Process.Pid))
	f.line(t, 3, fmt.Sprintf(`pid=%d .*state=alive`, later.Process.Pid))

	killed.Process.Kill()
	got := f.line(t, 1, fmt.Sprintf(`pid=%d name=sleep state=dead`, killed.Process.Pid))
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d) host=web1 address=\S+ pid=\d+ name=sleep state=dead signal=9 lived=\S+ (\S+ )*event=\S+$`).MatchString(got) {
		t.Errorf("killed by SIGKILL: %s", got)
	}
	f.nodes[2].must(t, "kill", "-TERM", strconv.Itoa(exits.Process.Pid))
	if got := f.line(t, 2, `state=dead`); !strings.Contains(got, " exit_code=3 ") {
		t.Errorf("exited with 3: %s", got)
	}

	// Once was before its agent was started.
	before := strings.Count(f.processLog(3), "state=unreachable")
	f.cut(t, 3)
	eventually(t, func() string { return f.processLog(3) }, func() bool {
		return strings.Count(f.processLog(3), "state=unreachable") == before+1
	})
	later.Process.Kill()
	died := time.Now()
	time.Sleep(2 * time.Second)
	f.heal(t, 3)
	got = f.line(t, 3, fmt.Sprintf(`pid=%d .*state=dead`, later.Process.Pid))
	at := regexp.MustCompile(`died_at=(\S+)`).FindStringSubmatch(got)
	if at == nil || !strings.Contains(got, "signal=9") {
		t.Fatalf("died while the link was cut: %s", got)
	}
	when, err := time.Parse(time.RFC3339Nano, at[1])
	if diff := when.Sub(died); err != nil || diff < -time.Second || diff > time.Second {
		t.Errorf("died_at is %s off (%v): %s", diff, err, got)
	}
	eventually(t, func() string { return f.processLog(3) }, func() bool {
		return strings.Count(f.processLog(3), "state=reachable") == before+1
	})
	if strings.Count(f.processLog(3), "state=dead") != 1 || strings.Count(f.processLog(3), "state=unreachable") != before+1 {
		t.Errorf("told more than once:\n%s", f.processLog(3))
	}
	out := f.dtc(t, "events", "-o", "json", "--host", "web3")
	for _, want := range []string{`"state":"dead"`, `"state":"unreachable"`, `"state":"reachable"`, `"died_at":`} {
		if !strings.Contains(out, want) {
			t.Errorf("dtc events has no %s:\n%s", want, out)
		}
	}
}

// writer appends numbered lines to a file and remembers every byte.
type writer struct {
	path  string
	truth bytes.Buffer
	next  int
	file  *os.File
}

func (w *writer) open(tb testing.TB) {
	tb.Helper()
	if w.file != nil {
		w.file.Close()
	}
	var err error
	if w.file, err = os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		tb.Fatal(err)
	}
}

func (w *writer) lines(tb testing.TB, n int) {
	tb.Helper()
	var b bytes.Buffer
	for range n {
		w.next++
		fmt.Fprintf(&b, "%08d %s\n", w.next, strings.Repeat("x", rand.IntN(200)))
	}
	if _, err := w.file.Write(b.Bytes()); err != nil {
		tb.Fatal(err)
	}
	w.truth.Write(b.Bytes())
}

// rotate renames as logrotate does, with k files kept.
func (w *writer) rotate(tb testing.TB, k int) {
	tb.Helper()
	for i := k; i > 0; i-- {
		os.Rename(fmt.Sprintf("%s.%d", w.path, i), fmt.Sprintf("%s.%d", w.path, i+1))
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		tb.Fatal(err)
	}
	w.open(tb)
}

func testFollow(t *testing.T, f *fleet) {
	t.Helper()
	w := &writer{path: filepath.Join(t.TempDir(), "app.log")}
	w.open(t)
	f.follow(t, 1, w.path)
	f.nodes[1].must(t, agentPath(), "reload", "--home", f.homes[1])
	f.dtc(t, "reload")
	for i := range 10 {
		w.lines(t, 500)
		switch i {
		case 1, 6:
			f.cut(t, 1)
		case 2, 5:
			f.agents[1].kill9()
			f.startAgent(t, 1)
		case 4, 8:
			f.serve.kill9()
			f.startServe(t)
		}
		for range 20 {
			w.lines(t, 25)
			time.Sleep(5 * time.Millisecond)
		}
		w.rotate(t, 12)
		if i == 1 || i == 6 {
			time.Sleep(300 * time.Millisecond)
			f.heal(t, 1)
		}
	}
	w.lines(t, 100)
	path := filepath.Join(f.home, "logs", f.ips[1], "app.log")
	eventually(t, func() string { return different([]byte(readFile(path)), w.truth.Bytes()) }, func() bool {
		return readFile(path) == w.truth.String()
	})
	time.Sleep(time.Second) // nothing more may come
	if got := readFile(path); got != w.truth.String() {
		t.Fatal(different([]byte(got), w.truth.Bytes()))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the copy: %v %v, wanted mode 0640", info.Mode(), err)
	}
	if r := f.nodes[0].run(t, dtcPath(), "logs", "verify", "app.log", "--home", f.home); r.code != 0 {
		t.Errorf("logs verify: exit status %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if out := f.dtc(t, "logs", "ls"); !strings.Contains(out, "app.log") || !strings.Contains(out, "web1") {
		t.Errorf("logs ls:\n%s", out)
	}
	if out := f.dtc(t, "logs", "-n", "2", "--raw", "app.log"); out != tail(w.truth.String(), 3) {
		t.Errorf("logs -n 2 --raw:\n%s\nwanted\n%s", out, tail(w.truth.String(), 3))
	}
}

// different says where two byte strings part.
func different(got, want []byte) string {
	n := min(len(got), len(want))
	at := n
	for i := range n {
		if got[i] != want[i] {
			at = i
			break
		}
	}
	return fmt.Sprintf("the copy has %d bytes, the source %d; they part at %d:\n got %q\nwant %q", len(got), len(want), at,
		got[max(0, at-60):min(len(got), at+60)], want[max(0, at-60):min(len(want), at+60)])
}

func testRevoke(t *testing.T, f *fleet) {
	t.Helper()
	f.dtc(t, "revoke", "web2")
	r := f.nodes[0].run(t, dtcPath(), "get", "memory", "--host", "web2", "--home", f.home)
	if r.code != 1 || !strings.Contains(r.stderr, "certificate not accepted") {
		t.Errorf("asking a revoked host: exit status %d\n%s", r.code, r.stderr)
	}
	f.line(t, 2, "state=unreachable")
	f.dtc(t, "forget", "web2")
	if text := readFile(filepath.Join(f.home, "conf", "monitor.xml")); strings.Contains(text, f.ips[2]+":") {
		t.Errorf("forgotten, and still there:\n%s", text)
	}
	if out := f.dtc(t, "hosts"); strings.Contains(out, "web2") {
		t.Errorf("forgotten, and still listed:\n%s", out)
	}
}
