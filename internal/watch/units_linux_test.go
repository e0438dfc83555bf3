package watch

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// hierarchies are where this machine has control groups that units can be in.
func hierarchies(tb testing.TB) []string {
	tb.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		tb.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, " - cgroup2 ") || strings.Contains(line, "name=systemd") {
			dirs = append(dirs, strings.Fields(line)[4])
		}
	}
	if len(dirs) == 0 {
		tb.Fatal("no control groups are mounted")
	}
	return dirs
}

// group makes a control group until the test ends, and returns its folder. Those
// above it that are not there are made too.
func group(tb testing.TB, root string, elem ...string) string {
	tb.Helper()
	dir := root
	for _, name := range elem {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err == nil {
			tb.Cleanup(func() { dropGroup(tb, dir) })
		} else if !os.IsExist(err) {
			tb.Fatal(err)
		}
	}
	return dir
}

// dropGroup removes a group when its processes have gone.
func dropGroup(tb testing.TB, dir string) {
	tb.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = unix.Rmdir(dir); err == nil || os.IsNotExist(err) {
			return
		}
	}
	tb.Errorf("remove %s: %v", dir, err)
}

// join puts a process into a group.
func join(tb testing.TB, dir string, pid int) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		tb.Fatal(err)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, root := range hierarchies(t) {
		t.Run(filepath.Base(root), func(t *testing.T) {
			f, word := newTestFinder(t), tag(t)
			unit := group(t, root, "system.slice", word+".service")
			nested := group(t, root, "system.slice", "system-dtctest.slice", word+"@1.service", "sub")
			wantNothing(t, f, dtc.ProcessRule{Unit: word}, "no processes of unit "+strconv.Quote(word+".service"))

			main, _ := perl(t, `$SIG{USR1} = sub { my $p = fork; if (!$p) { sleep 1000 } print "$p\n"; wait }; print "ok\n"; while (1) { sleep 1 }`, word)
			join(t, unit, main.Process.Pid)
			other := sleeper(t, word)
			join(t, nested, other.Process.Pid)
			wantPIDs(t, f, dtc.ProcessRule{Unit: word}, main.Process.Pid)
			wantPIDs(t, f, dtc.ProcessRule{Unit: word + ".service"}, main.Process.Pid)
			wantPIDs(t, f, dtc.ProcessRule{Unit: word + ".service", User: "root"}, main.Process.Pid)
			wantPIDs(t, f, dtc.ProcessRule{Unit: word, User: "nobody"})
			wantPIDs(t, f, dtc.ProcessRule{Unit: word + "@1"}, other.Process.Pid)
			wantNothing(t, f, dtc.ProcessRule{Unit: word + ".scope"}, "no processes of unit")
			wantNothing(t, f, dtc.ProcessRule{Unit: "../" + word}, "is no name of a unit")

			// A helper that the main process makes is not one of those meant, until it
			// is left alone.
			if err := unix.Kill(main.Process.Pid, unix.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			helper := 0
			eventually(t, "a helper", func() bool {
				data, err := os.ReadFile(filepath.Join(unit, "cgroup.procs"))
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(string(data)) {
					if pid, _ := strconv.Atoi(strings.TrimSpace(line)); pid != main.Process.Pid {
						helper = pid
					}
				}
				return helper != 0
			})
			wantPIDs(t, f, dtc.ProcessRule{Unit: word}, main.Process.Pid)
			a := runFinder(t, f)
			sels := selectors(t, dtc.ProcessRule{Unit: word})
			f.want(sels)
			a.at(t, sels[0], main.Process.Pid)
			if got := a.of(sels[0]); !slices.Equal(got, []int{main.Process.Pid}) {
				t.Errorf("%v came", got)
			}
			_ = main.Process.Kill()
			_ = main.Wait()
			a.at(t, sels[0], helper)
			_ = unix.Kill(helper, unix.SIGKILL)
		})
	}
}

// TestUnitStartsAgain removes a unit's control group and makes it again, also in
// another slice.
func TestUnitStartsAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	root := hierarchies(t)[0]
	f, word := newTestFinder(t), tag(t)
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Unit: word})
	f.want(sels)
	for _, slice := range []string{"system.slice", "system.slice", "dtctest.slice"} {
		c := start(t, "exit 0")
		dir := group(t, root, slice, word+".service")
		join(t, dir, c.pid)
		a.at(t, sels[0], c.pid)
		c.kill()
		dropGroup(t, dir)
	}
}

// TestPassingProcessesOfUnits has processes run in a unit for a moment, beside the
// main one, as systemd does to check or to reload a service.
func TestPassingProcessesOfUnits(t *testing.T) {
	t.Parallel() // it mostly waits
	f, word := newTestFinder(t), tag(t)
	unit := group(t, hierarchies(t)[0], "system.slice", word+".service")
	main := start(t, "exit 0")
	join(t, unit, main.pid)
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Unit: word})
	f.want(sels)
	a.at(t, sels[0], main.pid)
	for range 5 {
		passing := start(t, "exit 0")
		join(t, unit, passing.pid)
		scanned := make(chan []found)
		go func() {
			lists, _ := f.scan(t.Context(), sels)
			scanned <- lists[0]
		}()
		time.Sleep(500 * time.Millisecond)
		passing.kill()
		if pids := pidsOf(<-scanned); !slices.Equal(pids, []int{main.pid}) {
			t.Errorf("%v were found, and %d was passing", pids, passing.pid)
		}
	}
	if got := a.of(sels[0]); !slices.Equal(got, []int{main.pid}) {
		t.Errorf("%v came, and the main process is %d", got, main.pid)
	}
	second := start(t, "exit 0")
	join(t, unit, second.pid)
	a.at(t, sels[0], second.pid)
}
