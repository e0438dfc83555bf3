//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tmux is a terminal on which a shell runs that somebody types at.
type tmux struct {
	tb     testing.TB
	socket string
	out    string // where the shell writes what is not for the screen
}

// newTmux starts a terminal with a shell with job control.
func newTmux(tb testing.TB, width, height int) *tmux {
	tb.Helper()
	rc := filepath.Join(tb.TempDir(), "rc")
	writeFile(tb, rc, "PS1='SHELL$ '\n")
	m := &tmux{tb: tb, socket: filepath.Join(tb.TempDir(), "s"), out: filepath.Join(tb.TempDir(), "out")}
	cmd := exec.CommandContext(tb.Context(), "tmux", "-S", m.socket, "-f", "/dev/null", "-u", "new-session", "-d",
		"-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "bash --noprofile --rcfile "+rc)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "SHELL=/bin/bash", "LANG=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("tmux: %v\n%s", err, out)
	}
	tb.Cleanup(func() { namespace("").run(tb, "tmux", "-S", m.socket, "kill-server") })
	m.shows("SHELL$")
	return m
}

func (m *tmux) tmux(args ...string) string {
	m.tb.Helper()
	return namespace("").must(m.tb, "tmux", append([]string{"-S", m.socket}, args...)...)
}

// press presses keys by tmux' names for them.
func (m *tmux) press(keys ...string) {
	m.tb.Helper()
	m.tmux(append([]string{"send-keys", "--"}, keys...)...)
}

// screen returns the lines on the screen.
func (m *tmux) screen() []string {
	m.tb.Helper()
	return strings.Split(strings.TrimSuffix(m.tmux("capture-pane", "-p"), "\n"), "\n")
}

// is waits until ok of the lines on the screen.
func (m *tmux) is(what string, ok func(lines []string) bool) {
	m.tb.Helper()
	eventually(m.tb, func() string { return what + ":\n" + strings.Join(m.screen(), "\n") }, func() bool { return ok(m.screen()) })
}

func (m *tmux) shows(text string) {
	m.tb.Helper()
	m.is(fmt.Sprintf("%q is not there", text), func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), text) })
}

func (m *tmux) hides(text string) {
	m.tb.Helper()
	m.is(fmt.Sprintf("%q is there", text), func(lines []string) bool { return !strings.Contains(strings.Join(lines, "\n"), text) })
}

// state returns how the terminal is set: by the settings of the system, whether
// the cursor is to be seen, and which screen is shown. The shell must be at its
// prompt.
func (m *tmux) state() string {
	m.tb.Helper()
	os.Remove(m.out)
	m.press("stty -g > "+m.out+".new; mv "+m.out+".new "+m.out, "Enter")
	eventually(m.tb, func() string { return "no stty:\n" + strings.Join(m.screen(), "\n") }, func() bool { return readFile(m.out) != "" })
	return readFile(m.out) + m.tmux("display-message", "-p", "cursor #{cursor_flag}, other screen #{alternate_on}, wrap #{wrap_flag}, mouse #{mouse_any_flag}, keypad #{keypad_flag}")
}

// begin runs a command from the shell; end waits until it has ended with a
// status, and checks that the terminal is as it was.
func (m *tmux) begin(args ...string) (end func(status int)) {
	m.tb.Helper()
	was := m.state()
	m.press("clear; "+strings.Join(args, " ")+"; echo END $?", "Enter")
	return func(status int) {
		m.tb.Helper()
		m.shows(fmt.Sprintf("END %d", status))
		if now := m.state(); now != was {
			m.tb.Errorf("%s leaves the terminal as\n%s\nit was\n%s", strings.Join(args, " "), now, was)
		}
	}
}

// column returns a column of figures below a title that stands at its right end.
func column(lines []string, title string) []float64 {
	var figures []float64
	at := -1
	for _, line := range lines {
		switch end := strings.Index(line, title); {
		case at < 0 && strings.Contains(line, "USER") && end >= 0:
			at = len(strings.Fields(line[:end]))
		case at >= 0:
			fields := strings.Fields(line)
			if len(fields) <= at {
				return figures
			}
			text := fields[at]
			if minutes, seconds, ok := strings.Cut(text, ":"); ok {
				m, _ := strconv.Atoi(minutes)
				s, _ := strconv.Atoi(seconds)
				text = strconv.Itoa(60*m + s)
			}
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return figures
			}
			figures = append(figures, f)
		}
	}
	return figures
}

func descending(f []float64) bool {
	return slices.IsSortedFunc(f, func(a, b float64) int { return int(b*10 - a*10) })
}

// newTop makes a fleet of this machine and a host that refuses.
func newTop(t *testing.T, gone string) *lone {
	t.Helper()
	l := newLone(t)
	xml := filepath.Join(l.home, "conf", "monitor.xml")
	host := "<remote_host><ip_port>" + boundOnly(t) + "</ip_port><name>" + gone + "</name></remote_host>"
	writeFile(t, xml, strings.Replace(readFile(xml), "</monitor>", host+"</monitor>", 1))
	return l
}

// TestTop drives dtc top as a person does.
func TestTop(t *testing.T) {
	l := newTop(t, "数据库")
	evil := filepath.Join(t.TempDir(), "e\x1b[31mvil")
	data, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(evil, data, 0o755); err != nil {
		t.Fatal(err)
	}
	// Nobody else has these in a command.
	long, marker := fmt.Sprintf("600.%d", os.Getpid()), fmt.Sprintf("busy%d", os.Getpid())
	p := spawn(t, "", evil, long)
	busy := spawn(t, "", "sh", "-c", "while :; do : "+marker+"; done")
	m := newTmux(t, 120, 30)
	end := m.begin(dtcPath(), "top", "--home", l.home, "--every", "300ms")
	m.shows("1 of 2 hosts answer")
	m.shows("refused")
	m.is("bars and figures", func(lines []string) bool {
		return regexp.MustCompile(`(?m)^here +up +[█░]+ +\d+% [█░]+ +\d+% +\d+\.\d`).MatchString(strings.Join(lines, "\n"))
	})
	if line := m.screen()[3]; !strings.HasPrefix(line, "数据库 down  for") {
		t.Errorf("%q", line)
	}
	m.press("n", "/", "h", "e", "r", "e", "Enter")
	m.hides("refused")
	m.press("Escape")
	m.shows("refused")
	m.press("o")
	m.press("Home", "Enter")
	m.shows("USER")
	m.shows("%CPU of the last")

	m.press("p")
	m.is("by pid", func(lines []string) bool {
		pids := column(lines, "PID")
		return len(pids) > 20 && slices.IsSorted(pids)
	})
	m.press("p", "r")
	m.is("by pid, turned round", func(lines []string) bool {
		pids := column(lines, "PID")
		return len(pids) > 20 && descending(pids)
	})
	for key, title := range map[string]string{"c": "%CPU", "m": "RSS", "t": "TIME"} {
		m.press(key)
		m.is("by "+title, func(lines []string) bool {
			figures := column(lines, title)
			return len(figures) > 20 && figures[0] > 0 && descending(figures)
		})
	}

	m.press("/", marker, "Enter")
	m.is("the busy one with its share of now", func(lines []string) bool {
		pids, share := column(lines, "PID"), column(lines, "%CPU")
		return len(pids) == 1 && int(pids[0]) == busy.Process.Pid && share[0] > 1
	})
	if err := busy.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.is("and with none when it rests", func(lines []string) bool {
		share := column(lines, "%CPU")
		return len(share) == 1 && share[0] == 0
	})

	m.press("/", "C-u", long, "Enter")
	m.shows("/e?[31mvil " + long)
	m.press("f")
	m.shows(fmt.Sprintf("open files of %d", p.Process.Pid))
	m.shows("e^[[31mvil")
	m.press("Escape") // a key soon after it would make it Alt and that key
	m.hides("open files of")
	m.press("Escape") // drops the filter first
	m.hides("filter \"")
	m.press("T", "p")
	m.is("a tree", func(lines []string) bool {
		return strings.Contains(strings.Join(lines, "\n"), "tree by PID") && regexp.MustCompile(`[├└]─ `).MatchString(strings.Join(lines, "\n"))
	})
	m.press("F")
	m.shows("open files of all processes")
	m.press("Escape")
	m.hides("open files of")
	m.press("T", "c", "Space")
	m.shows("PAUSED")
	still := m.screen()
	time.Sleep(time.Second) // three rounds
	if now := m.screen(); strings.Join(now, "\n") != strings.Join(still, "\n") {
		t.Errorf("it moves while it is paused:\n%s\nwas\n%s", strings.Join(now, "\n"), strings.Join(still, "\n"))
	}
	m.press("Space")
	m.hides("PAUSED")

	for _, size := range [][2]int{{60, 10}, {30, 5}, {200, 50}, {80, 24}} {
		m.tmux("resize-window", "-x", strconv.Itoa(size[0]), "-y", strconv.Itoa(size[1]))
		m.is(fmt.Sprintf("fills %v", size), func(lines []string) bool {
			return len(lines) == size[1] && strings.HasPrefix(lines[0], "here (127") && strings.HasPrefix(lines[len(lines)-1], "? help")
		})
	}
	m.press("?")
	m.shows("order by %CPU, memory, TIME, PID")
	m.press("x", "Escape")
	m.shows("1 of 2 hosts answer")
	m.press("q")
	end(0)
}

// TestTopEnds shows that the terminal is as it was however dtc top ends, and
// while it is suspended.
func TestTopEnds(t *testing.T) {
	l := newTop(t, "gone")
	m := newTmux(t, 80, 24)
	run := []string{"NO_COLOR=1", dtcPath(), "top", "--home", l.home, "--every", "300ms"}
	signal := func(name string) {
		t.Helper()
		namespace("").must(t, "pkill", "-"+name, "-f", "^"+regexp.QuoteMeta(dtcPath()+" top --home "+l.home))
	}
	for _, how := range []struct {
		end    func()
		status int
	}{
		{func() { m.press("C-c") }, 0},
		{func() { m.press("/", "q", "C-c") }, 0},
		{func() { signal("TERM") }, 0},
		{func() { signal("INT") }, 0},
	} {
		end := m.begin(run...)
		m.shows("1 of 2 hosts answer")
		how.end()
		end(how.status)
	}
	for _, suspend := range []func(){func() { m.press("C-z") }, func() { signal("TSTP") }} {
		end := m.begin(run...)
		m.shows("1 of 2 hosts answer")
		suspend()
		m.shows("Stopped")
		m.state()
		m.press("clear; fg; echo END $?", "Enter")
		m.shows("1 of 2 hosts answer")
		m.press("Enter")
		m.shows("USER")
		m.press("q")
		end(0)
	}
	// No shell has given it a job: there is nothing to go back to.
	other := newTmux(t, 80, 24)
	other.tmux("respawn-pane", "-k", strings.Join(run[1:], " "))
	other.shows("1 of 2 hosts answer")
	other.press("C-z", "Enter")
	other.shows("USER")
}

// TestTopLooks shows colors, none with NO_COLOR, and ASCII where the locale has
// no more.
func TestTopLooks(t *testing.T) {
	l := newTop(t, "gone")
	color := regexp.MustCompile(`\x1b\[[0-9;]*3[0-7]m`)
	for env, want := range map[string]struct{ color, ascii bool }{
		"LC_ALL=C.UTF-8": {true, false}, "NO_COLOR=1": {false, false}, "LC_ALL=C": {true, true}, "LC_ALL=POSIX": {true, true},
	} {
		m := newTmux(t, 80, 24)
		end := m.begin(env, dtcPath(), "top", "--home", l.home)
		m.shows("1 of 2 hosts answer")
		text := m.tmux("capture-pane", "-p", "-e")
		m.press("Enter", "T")
		m.shows("tree")
		text += m.tmux("capture-pane", "-p", "-e")
		if color.MatchString(text) != want.color {
			t.Errorf("%s: colors are %v, want %v:\n%q", env, !want.color, want.color, text)
		}
		ascii := !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
		if ascii != want.ascii {
			t.Errorf("%s: ASCII is %v, want %v:\n%s", env, ascii, want.ascii, text)
		}
		m.press("q")
		end(0)
	}
	m := newTmux(t, 120, 24)
	end := m.begin("TERM=dumb", dtcPath(), "top", "--home", l.home)
	m.shows("dtc: top: TERM=dumb is a terminal without cursor movements")
	end(2)
	r := namespace("").run(t, dtcPath(), "top", "--home", l.home)
	if r.code != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "-w") {
		t.Errorf("without a terminal: exit status %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}

// TestWatchOnATerminal drives dtc get -w as a person does: it is drawn in place,
// keeps one connection, shows what is new, and leaves the terminal as it was.
func TestWatchOnATerminal(t *testing.T) {
	l := newLone(t)
	m := newTmux(t, 120, 24)
	run := []string{dtcPath(), "get", "process", "-w=300ms", "--sort", "-started_at", "--home", l.home}
	connections := func() []string {
		text := namespace("").must(t, "ss", "-Htn", "state", "established", "dst", l.agentAt)
		var all []string
		for line := range strings.Lines(text) {
			all = append(all, strings.Fields(line)[2])
		}
		slices.Sort(all)
		return all
	}
	eventually(t, l.serve.log.String, func() bool { return len(connections()) == 1 }) // of dtc serve
	before := connections()
	end := m.begin(run...)
	m.shows("COMMAND")
	m.is("what is asked for, and the time of day", func(lines []string) bool {
		return regexp.MustCompile(`^Every 300ms: dtc get process --sort -started_at +q ends it  \d\d:\d\d:\d\d$`).MatchString(lines[0])
	})
	during := connections()
	if len(during) != len(before)+1 {
		t.Errorf("connections %q, before %q", during, before)
	}
	long := fmt.Sprintf("600.%d", os.Getpid())
	fresh := spawn(t, "", "sleep", long)
	// Reverse while it is new, and then no more. A round may pass between two looks
	// at the screen, so it is seen where a new one comes at each.
	reversed := regexp.MustCompile(`\x1b\[7m[^\n]*sleep ` + regexp.QuoteMeta(long))
	look := func() string { return m.tmux("capture-pane", "-p", "-e") }
	eventually(t, look, func() bool {
		if reversed.MatchString(look()) {
			return true
		}
		if strings.Contains(look(), "sleep "+long) {
			fresh = spawn(t, "", "sleep", long)
		}
		return false
	})
	pid := strconv.Itoa(fresh.Process.Pid)
	eventually(t, look, func() bool {
		text := look()
		return strings.Contains(text, pid) && !reversed.MatchString(text)
	})
	if now := connections(); !slices.Equal(now, during) {
		t.Errorf("connections %q, before %q", now, during)
	}
	m.tmux("resize-window", "-x", "60", "-y", "10")
	m.is("fills 60x10", func(lines []string) bool {
		return len(lines) == 10 && strings.Contains(lines[8], "more lines") && strings.Contains(lines[9], "1 of 1 hosts answered")
	})
	m.press("C-z")
	m.shows("Stopped")
	m.state()
	m.press("clear; fg; echo END $?", "Enter")
	m.shows("1 of 1 hosts answered")
	m.press("x", "q")
	end(0)

	// A host that hangs keeps what it said before, and is named; it does not keep q
	// and Ctrl-C waiting.
	for _, key := range []string{"q", "C-c"} {
		end := m.begin(append(run, "--timeout", "1h")...)
		m.shows("1 of 1 hosts answered")
		l.agent.cmd.Process.Signal(syscall.SIGSTOP)
		m.shows("0 of 1 hosts answered")
		m.is("the last answer, and that it is older", func(lines []string) bool {
			text := strings.Join(lines, "\n")
			return strings.Contains(text, "): no answer for ") && strings.Contains(text, "USER")
		})
		m.press(key)
		m.shows("END")
		l.agent.cmd.Process.Signal(syscall.SIGCONT)
		end(1)
	}
}

// TestTopOfManyHosts shows 500 real agents, of which some refuse and some hang,
// and logs what it costs.
func TestTopOfManyHosts(t *testing.T) {
	crops := make([]crop, 500)
	for i := 10; i < 20; i++ {
		crops[i] = refuses
	}
	for i := 20; i < 30; i++ {
		crops[i] = mute
	}
	f := newFarm(t, crops)
	m := newTmux(t, 120, 40)
	began := time.Now()
	end := m.begin(dtcPath(), "top", "--home", f.home, "--timeout", "3s")
	m.shows("480 of 500 hosts answer")
	t.Logf("480 of 500 hosts after %.1f s, with the start of the shell's command", time.Since(began).Seconds())
	m.press("a")
	m.shows("timed out")

	pid := strings.TrimSpace(namespace("").must(t, "pgrep", "-f", "^"+regexp.QuoteMeta(dtcPath()+" top --home "+f.home)))
	used := cpuTime(t, pid)
	since := time.Now()
	for range 20 {
		m.press("End")
		m.shows("500/500")
		m.press("Home")
		m.shows("1-37/500")
	}
	took := time.Since(since)
	time.Sleep(max(0, 5*time.Second-took))
	t.Logf("%.0f %% of a processor; %.0f ms from a key to the screen and back to the test; %s KiB", (cpuTime(t, pid)-used)/time.Since(since).Seconds()*100,
		took.Seconds()*1000/40, strings.Fields(namespace("").must(t, "ps", "-o", "rss=", "-p", pid))[0])
	m.press("q")
	end(0)
}

// cpuTime returns the seconds of processor time that a process has used.
func cpuTime(t *testing.T, pid string) float64 {
	t.Helper()
	fields := strings.Fields(readFile("/proc/" + pid + "/stat"))
	user, _ := strconv.Atoi(fields[13])
	system, _ := strconv.Atoi(fields[14])
	return float64(user+system) / 100
}

// TestWatchOfAHangingHost watches a fleet of which one host hangs, on a terminal
// and not: the others are shown at their pace, and a host that is interrupted is
// named.
func TestWatchOfAHangingHost(t *testing.T) {
	f := newFarm(t, []crop{mute, answers, answers})
	m := newTmux(t, 120, 24)
	end := m.begin(dtcPath(), "get", "memory", "-w=500ms", "--timeout", "1h", "--home", f.home)
	m.shows("2 of 3 hosts answered")
	m.shows("no answer yet")
	first := m.screen()[0]
	m.is("it stands still", func(lines []string) bool {
		return lines[0] != first && strings.Count(strings.Join(lines, "\n"), "Mem:") == 2
	})
	m.press("q")
	end(1)
	end = m.begin(dtcPath(), "get", "memory", "--timeout", "1h", "--home", f.home)
	time.Sleep(time.Second)
	m.press("C-c")
	m.shows("2 of 3 hosts answered")
	m.shows("): interrupted")
	end(1)
}
