package top

import (
	"strings"
	"testing"
	"time"

	"dtc"
)

func TestHostOrders(t *testing.T) {
	m := small(look{})
	for _, test := range []struct{ keys, want string }{
		{"o", "web1 web2 database-with-a-long-name 数据库一号 evil\\x1b[31m new"},
		{"or", "new evil\\x1b[31m 数据库一号 database-with-a-long-name web2 web1"},
		{"n", "database-with-a-long-name evil\\x1b[31m new web1 web2 数据库一号"},
		{"c", "数据库一号 web1 web2 evil\\x1b[31m database-with-a-long-name new"},
		{"cc", "数据库一号 web1 web2 evil\\x1b[31m database-with-a-long-name new"},
		{"ror", "new evil\\x1b[31m 数据库一号 database-with-a-long-name web2 web1"},
		{"cr", "web2 evil\\x1b[31m web1 数据库一号 database-with-a-long-name new"},
		{"m", "数据库一号 web2 web1 database-with-a-long-name evil\\x1b[31m new"},
		{"l", "web2 数据库一号 web1 database-with-a-long-name evil\\x1b[31m new"},
		{"u", "web2 数据库一号 web1 database-with-a-long-name evil\\x1b[31m new"},
		{"a", "database-with-a-long-name web2 数据库一号 web1 evil\\x1b[31m new"},
	} {
		m.hosts.order, m.hosts.reverse = byUptime, false
		if test.keys[0] == 'u' {
			m.hosts.order = byLoad
		}
		press(m, strings.Split(test.keys, "")...)
		if got := names(m); got != test.want {
			t.Errorf("%s: %s\nwant %s", test.keys, got, test.want)
		}
	}
}

func TestCursorFollows(t *testing.T) {
	m := small(look{})
	press(m, "down", "c") // web2
	if m.hosts.selected() != 1 || m.hosts.pos != 2 {
		t.Errorf("host %d in row %d", m.hosts.selected(), m.hosts.pos)
	}
	m.take(&Answers{Now: noon, Hosts: []HostAnswer{{Index: 1, At: noon, Sample: testSample(100)}}})
	if m.hosts.selected() != 1 {
		t.Errorf("another answer: host %d", m.hosts.selected())
	}
	press(m, "home", "m")
	if m.hosts.pos != 0 {
		t.Errorf("at the top it stays there: %d", m.hosts.pos)
	}
	press(m, "end", "/", "w", "e", "b", "1", "enter")
	if names(m) != "web1" || m.hosts.pos != 0 {
		t.Errorf("filter: %s, row %d", names(m), m.hosts.pos)
	}
	press(m, "/", "x", "x")
	if names(m) != "" || m.hosts.selected() != -1 {
		t.Errorf("nothing: %s", names(m))
	}
	press(m, "enter", "enter", "f", "F", "down", "up", "end")
	if m.screen != hostScreen {
		t.Error("a host that is not there was opened")
	}
	press(m, "esc")
	if len(m.hosts.rows) != 6 {
		t.Errorf("Esc: %s", names(m))
	}
}

func TestFilterKeys(t *testing.T) {
	m := small(look{})
	press(m, "/", "q", "?", "space", "T")
	if m.hosts.filter != "q? T" || !m.typing || m.paused || m.help {
		t.Errorf("%+v", m.hosts.filter)
	}
	press(m, "backspace", "backspace")
	m.paste("漢\nx")
	if m.hosts.filter != "q?漢" {
		t.Errorf("%q", m.hosts.filter)
	}
	press(m, "backspace", "ctrl+u", "backspace")
	m.paste(strings.Repeat("x", maxFilter+1))
	if m.hosts.filter != "" {
		t.Errorf("%q", m.hosts.filter)
	}
	m.paste("10.0.0.4")
	if names(m) != "evil\\x1b[31m" {
		t.Errorf("by address: %s", names(m))
	}
	if press(m, "ctrl+c") != quit || press(m, "esc") != nothingMore || m.typing || len(m.hosts.rows) != 6 {
		t.Error("Ctrl-C and Esc while typing")
	}
	m.paste("nobody types")
	if m.hosts.filter != "" {
		t.Errorf("%q", m.hosts.filter)
	}
}

func TestKeysEverywhere(t *testing.T) {
	for _, keys := range [][]string{{}, {"enter"}, {"enter", "F"}, {"?"}, {"F"}} {
		m := small(look{})
		press(m, keys...)
		if press(m, "q") != quit || press(m, "ctrl+c") != quit || press(m, "ctrl+z") != suspend {
			t.Errorf("%v: q, Ctrl-C, Ctrl-Z", keys)
		}
	}
}

func TestScreens(t *testing.T) {
	m := small(look{})
	wants := func(w want) {
		t.Helper()
		if got := m.wanted(); got != w {
			t.Errorf("wanted %+v, want %+v", got, w)
		}
	}
	wants(want{})
	press(m, "down", "enter")
	wants(want{subject: processes, host: 1, sort: "cpu_percent"})
	press(m, "f") // no process is there yet
	wants(want{subject: processes, host: 1, sort: "cpu_percent"})
	a := answerOf(noon, testProcesses(3)...)
	a.Host = 1
	m.take(&Answers{Now: noon, Processes: a})
	press(m, "p", "r")
	wants(want{subject: processes, host: 1, sort: "-pid"})
	press(m, "down", "f")
	wants(want{subject: openFiles, host: 1, pid: 2})
	press(m, "space")
	wants(want{subject: openFiles, host: 1, pid: 2, paused: true})
	press(m, "space", "esc")
	wants(want{subject: processes, host: 1, sort: "-pid"})
	press(m, "F")
	wants(want{subject: openFiles, host: 1})
	press(m, "esc", "m", "r", "esc", "F")
	wants(want{subject: openFiles, host: 1})
	press(m, "esc", "enter")
	wants(want{subject: processes, host: 1, sort: "+rss_bytes"})
	if m.procs.answer != nil {
		t.Error("the processes of last time are shown")
	}
	press(m, "?", "x", "esc")
	wants(want{})
}

// What is opened while nobody is asked says so, and no time passes on the screen.
func TestPaused(t *testing.T) {
	m := small(look{})
	press(m, "space")
	was := m.View()
	m.take(&Answers{Now: noon.Add(time.Hour)})
	if m.View() != was {
		t.Errorf("time goes on:\n%s\nwas\n%s", m.View(), was)
	}
	for keys, what := range map[string]string{"enter": "its processes", "F": "the open files of all processes"} {
		press(m, keys)
		if view := m.View(); !strings.Contains(view, "paused: Space asks for "+what) {
			t.Errorf("%s:\n%s", keys, view)
		}
		press(m, "space")
		if view := m.View(); !strings.Contains(view, "\nasking for "+what) {
			t.Errorf("%s, asked:\n%s", keys, view)
		}
		press(m, "esc", "space")
	}
}

// Esc drops a filter that is kept, as the last line says, and only then leaves.
func TestEscDropsAFilterFirst(t *testing.T) {
	m := processesOf(look{})
	for range 2 {
		press(m, "/", "p", "2", "enter")
		if view := m.View(); !strings.Contains(view, "\nfilter \"p2\": / changes it, Esc drops it  ? help  q quit") {
			t.Errorf("the last line:\n%s", view)
		}
		was := m.screen
		if press(m, "esc"); m.screen != was || *m.filter() != "" {
			t.Errorf("Esc: screen %d, filter %q", m.screen, *m.filter())
		}
		press(m, "F")
		m.take(&Answers{Now: noon, Files: &FileAnswer{Host: 1}})
	}
	press(m, "esc", "esc")
	if m.screen != hostScreen {
		t.Errorf("screen %d", m.screen)
	}
}

// Answers to what was wanted before, or while all stands still, are dropped.
func TestStaleAnswers(t *testing.T) {
	m := small(look{})
	press(m, "enter")
	other := answerOf(noon, testProcesses(3)...)
	other.Host = 1
	m.take(&Answers{Now: noon, Processes: other, Files: &FileAnswer{}})
	if m.procs.answer != nil || m.files.answer != nil {
		t.Error("an answer of another host is shown")
	}
	press(m, "space")
	m.take(&Answers{Now: noon, Processes: answerOf(noon, testProcesses(3)...), Hosts: []HostAnswer{{Index: 0, At: noon, Sample: testSample(50)}}})
	if m.procs.answer != nil || m.hosts.all[0].sample.Load[0] != 1 {
		t.Error("an answer is shown while paused")
	}
}

// %CPU is that of the interval for a process that was there before, and over
// the life for one that was not.
func TestCPUOfTheInterval(t *testing.T) {
	m := small(look{})
	press(m, "enter", "p")
	at := noon
	answer := func(after time.Duration, all ...dtc.Process) {
		t.Helper()
		at = at.Add(after)
		m.take(&Answers{Now: at, Processes: answerOf(at, all...)})
	}
	process := func(pid int, started time.Time, seconds float64) dtc.Process {
		return dtc.Process{PID: pid, StartedAt: started, CPUSeconds: seconds, CPUPercent: 7}
	}
	is := func(want ...float64) {
		t.Helper()
		for i, w := range want {
			if got := m.procs.answer.Processes[i].CPUPercent; got != w {
				t.Errorf("pid %d: %v%%, want %v%%", m.procs.answer.Processes[i].PID, got, w)
			}
		}
	}
	answer(0, process(1, noon, 10), process(2, noon, 20))
	is(7, 7)
	answer(2*time.Second, process(1, noon.Add(time.Millisecond), 11), process(2, noon, 24), process(3, noon, 1))
	is(50, 200, 7)
	if m.procs.interval != 2*time.Second {
		t.Errorf("interval %s", m.procs.interval)
	}
	answer(50*time.Millisecond, process(1, noon, 11), process(2, noon, 25), process(3, noon, 1))
	is(50, 200, 7) // too short to say
	answer(950*time.Millisecond, process(1, noon, 11.5), process(2, at, 25), process(3, noon, 0.5))
	is(50, 7, 7) // since the last that said something; a pid again; time that went back

	// Somebody set the host's clock: ours is taken.
	at = at.Add(2 * time.Second)
	a := answerOf(at, process(1, noon, 12.5))
	a.Collected = at.Add(-time.Hour)
	m.take(&Answers{Now: at, Processes: a})
	is(50)
}

func TestProcessOrders(t *testing.T) {
	m := small(look{})
	press(m, "enter")
	all := []dtc.Process{
		{PID: 4, PPID: 2, CPUPercent: 5, RSSBytes: 100, CPUSeconds: 7},
		{PID: 1, PPID: 0, CPUPercent: 1, RSSBytes: 300, CPUSeconds: 8},
		{PID: 2, PPID: 1, CPUPercent: nan, RSSBytes: 200, CPUSeconds: nan},
		{PID: 3, PPID: 1, CPUPercent: 5, RSSBytes: 400, CPUSeconds: 1, User: "www", Command: "NGINX: worker"},
		{PID: 9, PPID: 77, CPUPercent: 0, RSSBytes: 0, CPUSeconds: 0},
	}
	m.take(&Answers{Now: noon, Processes: answerOf(noon, all...)})
	for _, test := range []struct{ keys, want string }{
		{"", "3 4 1 9 2"},
		{"c", "3 4 1 9 2"},
		{"r", "9 1 3 4 2"},
		{"c", "3 4 1 9 2"},
		{"m", "3 1 2 4 9"},
		{"t", "1 4 3 9 2"},
		{"p", "1 2 3 4 9"},
		{"p", "1 2 3 4 9"},
		{"r", "9 4 3 2 1"},
		{"T", "9 1 3 2 4"},
		{"p", "1 2 4 3 9"},
		{"c", "1 3 2 4 9"},
		{"T", "3 4 1 9 2"},
	} {
		if test.keys != "" {
			press(m, test.keys)
		}
		if got := pids(m); got != test.want {
			t.Errorf("%s: %s, want %s", test.keys, got, test.want)
		}
	}
	press(m, "/", "n", "g", "i", "n", "x")
	if got := pids(m); got != "3" {
		t.Errorf("filter: %s", got)
	}
	press(m, "enter", "T")
	if got := pids(m); got != "1 3" {
		t.Errorf("filtered tree: %s", got)
	}
}

// What a host says of parents need not be a tree.
func TestTreeOfNonsense(t *testing.T) {
	all := []dtc.Process{
		{PID: 1, PPID: 1}, {PID: 2, PPID: 3}, {PID: 3, PPID: 4}, {PID: 4, PPID: 2}, {PID: 5, PPID: 4}, {PID: 5, PPID: 1}, {PID: 0, PPID: -1},
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	seen := map[int]int{}
	for _, row := range appendTree(nil, treeOf(all, order), nil, look{}) {
		seen[row.index]++
	}
	for i := range all {
		if seen[i] != 1 {
			t.Errorf("process %d is there %d times", i, seen[i])
		}
	}
	deep := make([]dtc.Process, maxItems)
	order = make([]int, len(deep))
	for i := range deep {
		deep[i].PID, deep[i].PPID, order[i] = i+1, i, i
	}
	rows := appendTree(nil, treeOf(deep, order), nil, look{unicode: true})
	if n := len(rows[len(rows)-1].branch); len(rows) != len(deep) || n > 5*(maxDepth+1) {
		t.Errorf("%d rows, a branch of %d bytes", len(rows), n)
	}
}

func TestAlerts(t *testing.T) {
	full := func(change func(*Sample)) string {
		s := testSample(0)
		change(&s)
		return strings.Join(s.alerts(), " ")
	}
	for want, change := range map[string]func(*Sample){
		"": func(s *Sample) { s.Load = [3]float64{99, 7.9, 99}; s.Memory.UsedBytes = s.Memory.TotalBytes * 89 / 100 },
		"MEM LOAD SWAP": func(s *Sample) {
			s.Load[1], s.Memory.UsedBytes, s.Memory.SwapUsedBytes = 8, s.Memory.TotalBytes*90/100+1, s.Memory.SwapTotalBytes
		},
	} {
		if got := full(change); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := full(func(s *Sample) { *s = nothing() }); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestSample(t *testing.T) {
	s := nothing()
	s.takeCPU(&dtc.CPU{
		LogicalCores: 8, Load1: 1, Load5: 2, Load15: 3, UptimeSeconds: 4,
		Percent: []dtc.CPUPercent{{CPU: "0", Idle: 100}, {CPU: "all", Idle: 60, IOWait: 10}, {CPU: "1", Idle: 20}},
	})
	if s.CPU != 30 || s.Cores != 8 || s.Load != [3]float64{1, 2, 3} || s.Uptime != 4 {
		t.Errorf("%+v", s)
	}
	for want, p := range map[float64]dtc.CPUPercent{25: {Idle: 75, IOWait: nan}, 0: {Idle: 300}, 100: {Idle: -5}} {
		if got := busy(&p); got != want {
			t.Errorf("%+v: %v", p, got)
		}
	}
}

// A filter of a list that is too long to be there as a whole goes to the host.
func TestFilterOfALongList(t *testing.T) {
	m := small(look{})
	press(m, "enter")
	a := answerOf(noon, testProcesses(maxItems)...)
	m.take(&Answers{Now: noon, Processes: a})
	press(m, "/", "P", "7")
	if w := m.wanted(); w.filter != "" {
		t.Errorf("the list is there: %+v", w)
	}
	a.More = true
	m.take(&Answers{Now: noon, Processes: a})
	if w := m.wanted(); w.filter != "p7" || w.same(want{subject: processes}) {
		t.Errorf("%+v", w)
	}
	m.take(&Answers{Now: noon, Processes: answerOf(noon)}) // of the question before
	if len(m.procs.answer.Processes) != maxItems {
		t.Error("an answer to another filter is shown")
	}
	found := answerOf(noon, dtc.Process{PID: 70000, Command: "P7x"}, dtc.Process{PID: 9, User: "xp7"})
	found.Filter = "p7"
	m.take(&Answers{Now: noon, Processes: found})
	if got := pids(m); got != "9 70000" || !strings.Contains(m.View(), "2 matching processes") {
		t.Errorf("%s\n%s", got, m.View())
	}
	press(m, "esc")
	if w := m.wanted(); w.filter != "" {
		t.Errorf("%+v", w)
	}

	press(m, "esc", "F", "/", "x")
	m.take(&Answers{Now: noon, Files: &FileAnswer{Files: make([]dtc.OpenFile, 3), More: true}})
	if w := m.wanted(); w.filter != "x" {
		t.Errorf("%+v", w)
	}
}
