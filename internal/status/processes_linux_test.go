package status

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// cast starts processes of every kind that is hard to show, and returns their
// ids with what they are.
func cast(t *testing.T) map[int]string {
	t.Helper()
	all := make(map[int]string)
	add := func(what string, change func(*exec.Cmd)) { all[sleeper(t, change)] = what }
	named := func(name string) func(*exec.Cmd) { return func(c *exec.Cmd) { c.Args[0] = name } }

	add("plain", nil)
	add("control characters", named("a\x01b\x1b[31m\x7f\ttab"))
	add("several lines", named("first\nsecond\r\nthird\n"))
	add("not UTF-8", named("é\x01 \xff\x01\x7f é \xe2\x82A \xc0\x80"))
	add("almost UTF-8", named("\xe2\x82A é \xed\xa0\x80 é \xf4\x90\x80\x80 é \xf0\x80\x80\x80 é \xe0\x80\x80 \xe2\x01\x02 é \xf5\x80\x80\x80 é"))
	add("cut UTF-8", func(c *exec.Cmd) { c.Args = []string{"sleep", "1000", "0", "0"}; c.Args[0] = "é \xe2\x82" })
	add("C1 controls", named("\u0080\u009f\u00a0x\u00ad"))
	add("controls of direction", named("\u202e bidi \u2028 line \u2029 par \u200b zero"))
	add("private use and unassigned", named("\ue000 \uf8ff \U000f0000 \u0378 \ufffe \ufdd0"))
	add("wide and combining", named("日本 e\u0301 😀 \u180e \U000e0001"))
	add("empty arguments", func(c *exec.Cmd) { c.Args = []string{"", "1000", "0"} })
	add("spaces at the end", func(c *exec.Cmd) { c.Args = []string{"sleep ", "1000", "0"} })
	add("long", func(c *exec.Cmd) { c.Args = append(c.Args, slices.Repeat([]string{"0"}, 5000)...) })
	add("very long", func(c *exec.Cmd) { c.Args = append(c.Args, slices.Repeat([]string{"0"}, 80000)...) })
	add("another user", func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	add("a user without a name", func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	})
	add("session leader", func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} })
	tty := terminal(t)
	add("session leader on a terminal", func(c *exec.Cmd) {
		c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	add("name with a parenthesis", func(c *exec.Cmd) { c.Path = copyOf(t, "/bin/sleep", "a) S (b c") })
	add("name with a newline", func(c *exec.Cmd) { c.Path = copyOf(t, "/bin/sleep", "a\nb\\n\x1b") })

	for nice, what := range map[int]string{7: "nice", -7: "not nice"} {
		pid := sleeper(t, nil)
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, nice); err != nil {
			t.Fatal(err)
		}
		all[pid] = what
	}
	leader, child := job(t, "-c")
	all[leader], all[child] = "leads the foreground", "in the foreground"
	leader, child = job(t, "-mc")
	all[leader], all[child] = "has a job", "in the background"
	all[helper(t, "title", nil)] = "wrote its title over its arguments"
	all[helper(t, "no arguments", nil)] = "without arguments"
	all[helper(t, "plain", nil)] = "many threads"
	all[helper(t, "locked", nil)] = "locked memory"
	all[zombie(t)] = "zombie"
	all[1] = "the first"
	all[2] = "a thread of the kernel"
	return all
}

// job starts a shell on a terminal of its own, and a job of it.
func job(t *testing.T, flags string) (leader, child int) {
	t.Helper()
	tty := terminal(t)
	cmd := exec.Command("/bin/bash", flags, "/bin/sleep 1000 & echo $!; wait")
	cmd.Stdin, cmd.Stderr = tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	if child, err = strconv.Atoi(strings.TrimSpace(string(line[:n]))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	executes(t, child, "/bin/sleep")
	return cmd.Process.Pid, child
}

// zombie starts a process that ends and is not waited for.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	eventually(t, "the process to end", func() bool {
		out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(cmd.Process.Pid)).Output()
		return bytes.HasPrefix(out, []byte("Z"))
	})
	return cmd.Process.Pid
}

// psFields are the columns of ps that belong to our fields: first those that
// stay, then those that move. The last may hold anything.
const (
	psFields = "pid=,ppid=,euser:40=,tname=,lstart=,pcpu=,pmem=,vsz=,rss=,stat=,bsdtime=,nlwp=,args="
	stays    = 9 // of the words: lstart has five
	moves    = 7
)

// line is a line of ps.
type line struct{ stays, moves, command string }

// lineOf is p as ps shows it.
func lineOf(p *dtc.Process) line {
	cpu := fmt.Sprintf("%.1f", math.Floor(p.CPUPercent*10)/10)
	if p.CPUPercent >= 100 {
		cpu = fmt.Sprintf("%.0f", math.Floor(p.CPUPercent))
	}
	seconds := int(p.CPUSeconds)
	return line{
		stays: strings.Join(append([]string{strconv.Itoa(p.PID), strconv.Itoa(p.PPID), p.User, p.TTY},
			strings.Fields(p.StartedAt.Format("Mon Jan _2 15:04:05 2006"))...), " "),
		moves: strings.Join([]string{
			cpu, fmt.Sprintf("%.1f", math.Floor(p.MemPercent*10)/10),
			strconv.FormatInt(p.VSZBytes>>10, 10), strconv.FormatInt(p.RSSBytes>>10, 10), p.State,
			fmt.Sprintf("%d:%02d", seconds/60, seconds%60), strconv.Itoa(p.Threads),
		}, " "),
		command: p.Command,
	}
}

// ps returns the lines of ps.
func ps(t *testing.T) map[int]line {
	t.Helper()
	cmd := exec.Command("ps", "-ww", "-eo", psFields)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[int]line)
	for text := range strings.Lines(string(out)) {
		text = strings.TrimSuffix(text, "\n")
		var words []string
		for range stays + moves {
			text = strings.TrimLeft(text, " ")
			word, rest, _ := strings.Cut(text, " ")
			words, text = append(words, word), rest
		}
		pid, _ := strconv.Atoi(words[0])
		lines[pid] = line{strings.Join(words[:stays], " "), strings.Join(words[stays:], " "), text}
	}
	return lines
}

// list returns the answer to one query.
func list(tb testing.TB, c *Collector, status dtc.Status) (r dtc.Report) {
	tb.Helper()
	var process []dtc.Process
	var files []dtc.OpenFile
	err := c.Get(context.Background(), dtc.Query{Status: status}, func(part *dtc.Report) error {
		for _, p := range part.Process {
			own(&p.User, &p.TTY, &p.State, &p.Name, &p.Command)
			process = append(process, p)
		}
		for _, f := range part.OpenFiles {
			own(&f.User, &f.Command, &f.FD, &f.Mode, &f.Lock, &f.Type, &f.Device, &f.Node, &f.Name)
			files = append(files, f)
		}
		if len(part.Process) > partItems || len(part.OpenFiles) > partItems {
			tb.Errorf("a part has %d and %d items", len(part.Process), len(part.OpenFiles))
		}
		r = *part
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if r.Partial {
		tb.Error("the last part says that more follow")
	}
	r.Process, r.OpenFiles = process, files
	return r
}

func TestProcessesAgreeWithPS(t *testing.T) {
	all := cast(t)
	c := New(Options{})
	var wrong []string
	for range 50 { // what moves while we look is looked at again
		ours, theirs := list(t, c, dtc.StatusProcess).Process, ps(t)
		if !slices.IsSortedFunc(ours, func(a, b dtc.Process) int { return a.PID - b.PID }) {
			t.Fatal("not in the order of the pids")
		}
		if wrong = differences(all, ours, theirs); len(wrong) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, text := range wrong {
		t.Error(text)
	}
}

// differences compares all processes: the ones of the cast, which sleep, in
// everything.
func differences(cast map[int]string, ours []dtc.Process, theirs map[int]line) (wrong []string) {
	found := 0
	for i := range ours {
		got := lineOf(&ours[i])
		want, ok := theirs[ours[i].PID]
		what, ofCast := cast[ours[i].PID]
		if ofCast {
			found++
		} else {
			want.moves = got.moves
		}
		if !ok && !ofCast {
			continue // it has ended between the two looks
		}
		if n := len(want.command); n > 100<<10 && len(got.command) > n {
			got.command = got.command[:n] // ps cuts what does not fit its own buffer
		}
		if got != want {
			wrong = append(wrong, fmt.Sprintf("process %d %s:\n got %q\nwant %q", ours[i].PID, what, got, want))
		}
	}
	if found != len(cast) {
		wrong = append(wrong, fmt.Sprintf("of %d processes only %d are there", len(cast), found))
	}
	return wrong
}
