package status

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"dtc"
	"dtc/internal/proc"
)

// gather returns all that comes of a query, in copies.
func gather(tb testing.TB, q dtc.Query) (all dtc.Report) {
	tb.Helper()
	c := New(Options{})
	partial := true
	err := c.Get(tb.Context(), q, func(r *dtc.Report) error {
		if !partial {
			tb.Error("a part behind the last one")
		}
		partial = r.Partial
		for _, p := range r.Process {
			own(&p.User, &p.TTY, &p.State, &p.Name, &p.Command)
			all.Process = append(all.Process, p)
		}
		for _, f := range r.OpenFiles {
			own(&f.User, &f.Command, &f.FD, &f.Mode, &f.Lock, &f.Type, &f.Device, &f.Node, &f.Name)
			all.OpenFiles = append(all.OpenFiles, f)
		}
		return nil
	})
	if err != nil || partial {
		tb.Errorf("%+v: partial %v, %v", q, partial, err)
	}
	return all
}

// processesOf asks for processes and for open files, and returns of whom
// answers came, which must be the same ones.
func processesOf(tb testing.TB, s dtc.Selection) []int {
	tb.Helper()
	list := gather(tb, dtc.Query{Status: dtc.StatusProcess, Selection: s})
	pids := pidsOf(&list)
	files := gather(tb, dtc.Query{Status: dtc.StatusOpenFiles, Selection: s})
	var owners []int
	for _, f := range files.OpenFiles {
		owners = append(owners, f.PID)
	}
	if owners = slices.Compact(owners); !slices.Equal(owners, pids) {
		tb.Errorf("%+v: processes %v, but open files of %v", s, pids, owners)
	}
	return pids
}

func TestChosenProcesses(t *testing.T) {
	a, b := sleeper(t, nil), sleeper(t, nil)
	for _, test := range []struct {
		pids, want []int
	}{
		{[]int{b, a, b}, []int{a, b}},
		{[]int{a, 1 << 30, 0}, []int{a}},
		{[]int{1 << 30}, nil},
	} {
		slices.Sort(test.want)
		if got := processesOf(t, dtc.Selection{PIDs: test.pids}); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.pids, got, test.want)
		}
	}
}

func TestProcessesOfUsers(t *testing.T) {
	const uid = 60_123 // has no name
	mine := sleeper(t, nil)
	other := sleeper(t, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	})
	nobody := sleeper(t, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	all := []int{mine, other, nobody}
	for _, test := range []struct {
		users []string
		want  []int
	}{
		{[]string{"root"}, []int{mine}},
		{[]string{"0"}, []int{mine}},
		{[]string{fmt.Sprint(uid)}, []int{other}},
		{[]string{"nobody", fmt.Sprint(uid)}, []int{other, nobody}},
		{[]string{"65534"}, []int{nobody}},
		{[]string{"nobody else", "../nobody", "-1"}, nil},
	} {
		slices.Sort(test.want)
		if got := processesOf(t, dtc.Selection{PIDs: all, Users: test.users}); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.users, got, test.want)
		}
	}
}

// A name of more than 15 bytes is cut by the kernel. It is found all the same.
func TestLongNames(t *testing.T) {
	const program, script = "a-program-with-a-long-name", "a-program-with-another.sh"
	run := func(path string, args ...string) int {
		return sleeper(t, func(cmd *exec.Cmd) {
			cmd.Path, cmd.Args = path, append([]string{path}, args...)
		})
	}
	long := run(copyOf(t, "/bin/sleep", program), "1000")
	hidden := sleeper(t, func(cmd *exec.Cmd) { // its command line tells something else
		cmd.Path = copyOf(t, "/bin/sleep", program)
		cmd.Args = []string{"sleeping", "1000"}
	})
	path := filepath.Join(t.TempDir(), script)
	if err := os.WriteFile(path, []byte("#!/usr/bin/tail -f\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	scripted := startScript(t, path)
	all := []int{long, hidden, scripted}
	for _, test := range []struct {
		name string
		want []int
	}{
		{program, []int{long, hidden}},
		{script, []int{scripted, hidden}}, // what hidden is really called nobody knows
		{"a-program-with-", all},
		{"a-program-*", all},
		{"*-name", []int{long}},
		{"/another\\.sh$/", []int{scripted}},
		{"a-program-with-a-long-nam", []int{hidden}},
		{"tail", nil},
		{"sleep*", nil},
	} {
		slices.Sort(test.want)
		if got := processesOf(t, dtc.Selection{PIDs: all, Names: []string{test.name}}); !slices.Equal(got, sorted(test.want)) {
			t.Errorf("--name %s: %v, want %v", test.name, got, test.want)
		}
	}
}

func sorted(pids []int) []int { return slices.Sorted(slices.Values(pids)) }

// startScript runs a script whose interpreter is not the program at its path.
func startScript(tb testing.TB, path string) int {
	tb.Helper()
	cmd := exec.Command(path)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(tb, "the script to run", func() bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		return err == nil && string(comm) == filepath.Base(path)[:cutName]+"\n"
	})
	return cmd.Process.Pid
}

func TestWholeName(t *testing.T) {
	for arguments, want := range map[string]string{
		"/usr/bin/a-program-with-more\x00-x\x00":        "a-program-with-more",
		"/bin/sh\x00-e\x00./a-program-with-x.sh\x00arg": "a-program-with-x.sh",
		"a-program-with-":       "a-program-with-",
		"":                      "",
		"sleeping\x001\x00":     "",
		"/a-program-with-x/bin": "",
	} {
		if got := wholeName("a-program-with-", []byte(arguments)); got != want {
			t.Errorf("%q: %q, want %q", arguments, got, want)
		}
	}
}

// Names are decided about before anything that costs is read.
func TestUnwantedProcessesAreNotRead(t *testing.T) {
	c := New(Options{})
	asked := 0
	uid := func() (uint32, error) { asked++; return 0, nil }
	for _, test := range []struct {
		sel   dtc.Selection
		want  bool
		asked int
	}{
		{dtc.Selection{Names: []string{"sshd"}}, true, 0},
		{dtc.Selection{Names: []string{"sshd"}, Users: []string{"root"}}, true, 1},
		{dtc.Selection{Names: []string{"sshd"}, Users: []string{"nobody"}}, false, 1},
		{dtc.Selection{Names: []string{"cron"}, Users: []string{"root"}}, false, 0},
		{dtc.Selection{PIDs: []int{8}, Users: []string{"root"}}, false, 0},
		{dtc.Selection{Limit: 1}, true, 0},
	} {
		sel, err := c.newSelector(&dtc.Query{Status: dtc.StatusProcess, Selection: test.sel})
		if err != nil {
			t.Fatal(err)
		}
		asked = 0
		if got := sel.wantsProcess(&proc.Stat{PID: 7, Comm: []byte("sshd")}, uid); got != test.want || asked != test.asked {
			t.Errorf("%+v: %v, the user was asked for %d times", test.sel, got, asked)
		}
	}
}

// The answer to a limit does not read what is not wanted any more, and leaves
// nothing behind.
func TestLimitedAnswers(t *testing.T) {
	first := gather(t, dtc.Query{Status: dtc.StatusProcess, Selection: dtc.Selection{Limit: 2}})
	if got := pidsOf(&first); len(got) != 2 || got[0] != 1 {
		t.Errorf("the first two are %v", got)
	}
	files := gather(t, dtc.Query{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Limit: 3, PIDs: []int{os.Getpid()}}})
	if len(files.OpenFiles) != 3 || files.OpenFiles[0].FD != "cwd" {
		t.Errorf("the first three files are %+v", files.OpenFiles)
	}
	largest := gather(t, dtc.Query{Status: dtc.StatusProcess, Selection: dtc.Selection{Sort: "start", Limit: 1}})
	if len(largest.Process) != 1 {
		t.Errorf("the first is %+v", largest.Process)
	}
}

func TestWhoHasAFileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a file (1)")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, glob := range []string{path, filepath.Dir(path) + "/*", filepath.Dir(filepath.Dir(path)) + "/**/a file*"} {
		got := gather(t, dtc.Query{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Paths: []string{glob}}})
		if len(got.OpenFiles) != 1 || got.OpenFiles[0].PID != os.Getpid() || got.OpenFiles[0].Name != path {
			t.Errorf("%s: %+v", glob, got.OpenFiles)
		}
	}
}

func TestFindUsers(t *testing.T) {
	root := t.TempDir()
	dynamic := filepath.Join(root, "run/systemd/dynamic-uid")
	for _, dir := range []string{filepath.Join(root, "etc"), dynamic} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\ntoor:x:0:0::/:\nbroken:x\nanna:x:1000:1000::/:/bin/sh\nbig:x:4294967296:1::/:\n1000:x:7:7::/:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"direct:61234": "made-up", "direct:made-up": "61234", "direct:bad": "x"} {
		if err := os.Symlink(target, filepath.Join(dynamic, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(Options{Root: root})
	for wanted, want := range map[string]string{
		"root":    "map[root:true] map[0:true]",
		"toor":    "map[root:true toor:true] map[0:true]",
		"anna":    "map[anna:true] map[1000:true]",
		"0":       "map[0:true root:true] map[0:true]",
		"1000":    "map[1000:true anna:true] map[7:true 1000:true]",
		"1001":    "map[1001:true] map[1001:true]",
		"made-up": "map[made-up:true] map[61234:true]",
		"61234":   "map[61234:true made-up:true] map[61234:true]",
		"bad":     "map[bad:true] map[]",
		"big":     "map[big:true] map[]",
		"broken":  "map[broken:true] map[]",
		"/root":   "map[/root:true] map[]",
		"a\x00b":  "map[a\x00b:true] map[]",
	} {
		names, uids := h.findUsers([]string{wanted})
		if got := fmt.Sprint(names, uids); got != want {
			t.Errorf("%q: %s, want %s", wanted, got, want)
		}
	}
}
