package watch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
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

// sleeper starts a program that sleeps, with a word in its command line.
func sleeper(tb testing.TB, word string) *exec.Cmd {
	tb.Helper()
	cmd, _ := perl(tb, `print "ok\n"`, word)
	return cmd
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
	cmd, _ := perl(t, `my $p = fork; if (!$p) { while (1) { select(undef,undef,undef,0.02); my $c = fork; if (!$c) { exec "/bin/true" } wait } } print "$p\n"; <STDIN>; kill 9, $p; wait`, word)
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
