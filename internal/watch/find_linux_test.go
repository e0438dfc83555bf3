package watch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// perl starts a Perl program: Perl can name its process as it likes, as nginx
// does. The program prints a line when it is ready, and ends with its input; the
// test sees the line.
func perl(tb testing.TB, script string, args ...string) (cmd *exec.Cmd, said string) {
	tb.Helper()
	cmd = exec.Command("/usr/bin/perl", append([]string{"-e", "$| = 1; " + script + "; <STDIN>"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewReader(out)
	tb.Cleanup(func() {
		_ = in.Close()
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
	})
	said, err = lines.ReadString('\n')
	if err != nil {
		tb.Fatalf("perl: %v", err)
	}
	return cmd, strings.TrimSpace(said)
}

// tag is a word that stands in no other command line of this machine.
func tag(tb testing.TB) string {
	tb.Helper()
	return fmt.Sprintf("dtc-%s-%d", regexp.MustCompile(`\W`).ReplaceAllString(tb.Name(), "-"), time.Now().UnixNano())
}

func newTestFinder(tb testing.TB) *finder {
	tb.Helper()
	f := newFinder(slog.New(slog.NewTextHandler(tb.Output(), nil)))
	tb.Cleanup(f.pids.all.Wait)
	tb.Cleanup(f.files.all.Wait)
	return f
}

func selectors(tb testing.TB, rules ...dtc.ProcessRule) []*selector {
	tb.Helper()
	for i := range rules {
		rules[i].Name = strconv.Itoa(i)
	}
	sels, err := newSelectors(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return sels
}

// arrivalsOf are the processes that came, by selector and pid.
type arrivalsOf struct {
	mu   sync.Mutex
	came map[*selector]map[int]time.Time // the first time of each
	last map[int]found
}

func (a *arrivalsOf) add(s *selector, f found) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.came[s] == nil {
		a.came[s] = map[int]time.Time{}
	}
	pid := f.seen.ID.PID
	if _, again := a.came[s][pid]; !again {
		a.came[s][pid] = time.Now()
	}
	a.last[pid] = f
}

func (a *arrivalsOf) of(s *selector) (pids []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for pid := range a.came[s] {
		pids = append(pids, pid)
	}
	return pids
}

// at waits until a process has come, and returns when.
func (a *arrivalsOf) at(tb testing.TB, s *selector, pid int) (at time.Time, f found) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		at, ok := a.came[s][pid]
		f := a.last[pid]
		a.mu.Unlock()
		if ok {
			return at, f
		}
		if time.Now().After(deadline) {
			tb.Fatalf("process %d has not come; %v have", pid, a.of(s))
		}
	}
}

// runFinder runs a finder until the test ends.
func runFinder(tb testing.TB, f *finder) *arrivalsOf {
	tb.Helper()
	a := &arrivalsOf{came: map[*selector]map[int]time.Time{}, last: map[int]found{}}
	ctx, cancel := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.run(ctx, a.add); err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	tb.Cleanup(wg.Wait)
	tb.Cleanup(cancel)
	return a
}

// sleeper starts a program that sleeps, with a word in its command line.
func sleeper(tb testing.TB, word string) *exec.Cmd {
	tb.Helper()
	cmd, _ := perl(tb, `print "ok\n"`, word)
	return cmd
}

func pidsOf(list []found) (pids []int) {
	for i := range list {
		pids = append(pids, list[i].seen.ID.PID)
	}
	return pids
}

// one returns the only answer of a scan.
func one(tb testing.TB, f *finder, r dtc.ProcessRule) ([]found, error) {
	tb.Helper()
	lists, errs := f.scan(tb.Context(), selectors(tb, r))
	return lists[0], errs[0]
}

func wantPIDs(tb testing.TB, f *finder, r dtc.ProcessRule, want ...int) {
	tb.Helper()
	list, err := one(tb, f, r)
	if got := pidsOf(list); err != nil || !slices.Equal(got, want) {
		tb.Errorf("%+v: %v, %v, want %v", r, got, err, want)
	}
}

// wantNothing wants no process, and why there can be none.
func wantNothing(tb testing.TB, f *finder, r dtc.ProcessRule, why string) {
	tb.Helper()
	list, err := one(tb, f, r)
	if len(list) > 0 || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
		tb.Errorf("%+v: %v, %v, want none: %s", r, pidsOf(list), err, why)
	}
}

func TestScanByCommandLine(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	a, b := sleeper(t, word), sleeper(t, word+" and\nmore\x01é")
	wantPIDs(t, f, dtc.ProcessRule{Match: word}, a.Process.Pid, b.Process.Pid)
	wantPIDs(t, f, dtc.ProcessRule{Match: "^/usr/bin/perl -e .* " + word + "$"}, a.Process.Pid)
	wantPIDs(t, f, dtc.ProcessRule{Match: word + ` and more\?é$`}, b.Process.Pid)
	wantPIDs(t, f, dtc.ProcessRule{Match: word, User: "root"}, a.Process.Pid, b.Process.Pid)
	wantPIDs(t, f, dtc.ProcessRule{Match: word, User: "0"}, a.Process.Pid, b.Process.Pid)
	wantPIDs(t, f, dtc.ProcessRule{Match: word, User: "nobody"})
	wantNothing(t, f, dtc.ProcessRule{Match: word, User: "no such user"}, `there is no user "no such user"`)
	wantPIDs(t, f, dtc.ProcessRule{Match: `^\[kthreadd\]$`}, 2)

	list, err := one(t, f, dtc.ProcessRule{Match: word + " and"})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	ps, err := exec.Command("ps", "-o", "user=", "-o", "args=", "-ww", "-p", strconv.Itoa(b.Process.Pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	user, command, _ := strings.Cut(strings.TrimSpace(string(ps)), " ")
	who := &list[0]
	if who.seen.ID != identify(t, b.Process.Pid) || who.seen.Name != "perl" || who.user != user || who.command != strings.TrimSpace(command) {
		t.Errorf("found %+v, ps says %q %q", who, user, command)
	}
}

func TestScanOfLongCommandLine(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	c := sleeper(t, strings.Repeat("é", 30_000)+word)
	list, err := one(t, f, dtc.ProcessRule{Match: word + "$"})
	if err != nil || !slices.Equal(pidsOf(list), []int{c.Process.Pid}) {
		t.Fatalf("%v, %v", pidsOf(list), err)
	}
	if got := list[0].command; len(got) > maxCommand || len(got) < maxCommand-1 || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// TestScanWaitsForForks has a process that matches make children all the time,
// which execute another program: for a moment each looks like its parent.
func TestScanWaitsForForks(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	cmd, _ := perl(t, `my $p = fork; if (!$p) { while (1) { my $c = fork; if (!$c) { select(undef,undef,undef,0.01); exec "/bin/true" } wait } } print "$p\n"; <STDIN>; kill 9, $p; wait`, word)
	parents, err := one(t, f, dtc.ProcessRule{Match: word})
	if err != nil || len(parents) != 2 || parents[0].seen.ID.PID != cmd.Process.Pid {
		t.Fatalf("%v, %v", pidsOf(parents), err)
	}
	for range 5 {
		wantPIDs(t, f, dtc.ProcessRule{Match: word}, pidsOf(parents)...)
	}
}

func TestScanByProgram(t *testing.T) {
	f, dir := newTestFinder(t), t.TempDir()
	program := filepath.Join(dir, "my program")
	data, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	run := func(path string) int {
		t.Helper()
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd.Process.Pid
	}
	pid := run(program)
	wantPIDs(t, f, dtc.ProcessRule{Exe: program}, pid)
	wantPIDs(t, f, dtc.ProcessRule{Exe: "my program"}, pid)
	wantPIDs(t, f, dtc.ProcessRule{Exe: "program"})
	wantPIDs(t, f, dtc.ProcessRule{Exe: filepath.Dir(program)})
	wantNothing(t, f, dtc.ProcessRule{Exe: "bin/sleep"}, `exe "bin/sleep" is no whole path`)

	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	wantPIDs(t, f, dtc.ProcessRule{Exe: filepath.Join(link, "my program")}, pid)

	// An update puts another file in its place.
	if err := os.Rename(program, program+".old"); err != nil {
		t.Fatal(err)
	}
	second := run(program)
	wantPIDs(t, f, dtc.ProcessRule{Exe: program}, second)
	if err := os.Remove(program + ".old"); err != nil {
		t.Fatal(err)
	}
	wantPIDs(t, f, dtc.ProcessRule{Exe: program + ".old"}, pid)
	if err := os.Link(program, program+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil { // which has another name still
		t.Fatal(err)
	}
	wantPIDs(t, f, dtc.ProcessRule{Exe: program}, second)
	third := run(program + " (deleted)")
	wantPIDs(t, f, dtc.ProcessRule{Exe: program + " (deleted)"}, third)
	wantPIDs(t, f, dtc.ProcessRule{Exe: program}, second)
}

func TestScanOfNobody(t *testing.T) {
	f := newTestFinder(t)
	if lists, errs := f.scan(t.Context(), nil); len(lists) != 0 || len(errs) != 0 {
		t.Errorf("%v, %v", lists, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, errs := f.scan(ctx, selectors(t, dtc.ProcessRule{Match: "x"}, dtc.ProcessRule{Port: 1})); !errors.Is(errs[0], context.Canceled) || !errors.Is(errs[1], context.Canceled) {
		t.Errorf("%v", errs)
	}
}

// TestScanLeavesZombiesOut has a process end that nobody reaps.
func TestScanLeavesZombiesOut(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	_, said := perl(t, `my $p = fork; if (!$p) { $0 = "`+word+`"; sleep 1000 } sleep 1 until -e "/proc/$p"; print "$p\n"`)
	pid, _ := strconv.Atoi(said)
	eventually(t, "it is found", func() bool {
		list, _ := one(t, f, dtc.ProcessRule{Match: "^" + word})
		return slices.Equal(pidsOf(list), []int{pid})
	})
	_ = unix.Kill(pid, unix.SIGKILL)
	eventually(t, "a zombie", func() bool { seen, err := proc.Look(pid); return err == nil && seen.Zombie })
	if list, err := one(t, f, dtc.ProcessRule{Match: "defunct"}); err != nil || slices.Contains(pidsOf(list), pid) {
		t.Errorf("%v, %v", pidsOf(list), err)
	}
}

// TestProgramsThatMayNotBeSeen has another user look.
func TestProgramsThatMayNotBeSeen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("the tests run as root")
	}
	word := tag(t)
	c := sleeper(t, word)
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = []string{helperEnv + "=exe perl"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "run it as root") {
		t.Errorf("of %d: %s, %v", c.Process.Pid, out, err)
	}
	cmd = exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = []string{helperEnv + "=exe surely-nothing-is-called-so"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "0 <nil>" {
		t.Errorf("%s, %v", out, err)
	}
}

// exeHelper looks for a program and prints how many processes run it.
func exeHelper(name string) {
	f := newFinder(slog.New(slog.DiscardHandler))
	sels, err := newSelectors([]dtc.ProcessRule{{Exe: name}})
	if err != nil {
		panic(err)
	}
	lists, errs := f.scan(context.Background(), sels)
	fmt.Println(len(lists[0]), errs[0])
}
