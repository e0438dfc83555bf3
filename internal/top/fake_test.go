package top

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/fleet"
	"dtc/internal/render"
)

var update = flag.Bool("update", false, "rewrite the wanted screens in testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when everything happens that does not move.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testHosts returns hosts with these names.
func testHosts(names ...string) []fleet.Host {
	var hosts []fleet.Host
	for i, name := range names {
		hosts = append(hosts, fleet.Host{Name: name, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7701)})
	}
	return hosts
}

// manyHosts returns that many hosts.
func manyHosts(n int) []fleet.Host {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("web%03d", i)
	}
	return testHosts(names...)
}

// testSample returns a sample with figures that depend on n.
func testSample(n int) Sample {
	s := nothing()
	s.CPU, s.Cores, s.Uptime = float64(n*37%101), 4, float64(n)*7777
	s.Load = [3]float64{float64(n) / 3, float64(n) / 7, float64(n) * 11}
	s.Memory.TotalBytes = 16 << 30
	s.Memory.UsedBytes = s.Memory.TotalBytes / 100 * int64(n*13%101)
	s.Memory.SwapTotalBytes, s.Memory.SwapUsedBytes = 1<<30, int64(n%12)<<30/10
	return s
}

// testProcesses returns n processes, each the parent of the next five.
func testProcesses(n int) []dtc.Process {
	all := make([]dtc.Process, n)
	for i := range all {
		all[i] = dtc.Process{
			PID: i + 1, PPID: (i + 4) / 5, User: "root", CPUPercent: float64(i*7%100) / 2, MemPercent: 1, VSZBytes: int64(i) << 20, RSSBytes: int64(i*31%64) << 20,
			TTY: "?", State: "Ss", StartedAt: noon.Add(-time.Hour), CPUSeconds: float64(i * 13 % 500), Name: fmt.Sprintf("p%d", i+1), Command: fmt.Sprintf("/usr/bin/p%d --flag", i+1),
		}
	}
	return all
}

// hostile is what must not reach a terminal.
const hostile = "a\x1b[2J\x1b]0;t\x07\u202eb\u0085\xff\x7f\r\n漢字👩‍💻e\u0301"

// checkScreen checks what every screen has to keep to.
func checkScreen(tb testing.TB, view string, width, height int) {
	tb.Helper()
	lines := strings.Split(view, "\n")
	if len(lines) != height {
		tb.Errorf("%d lines, want %d:\n%s", len(lines), height, view)
	}
	for i, line := range lines {
		bare := withoutSGR(line)
		if got := render.Width(bare); got > width {
			tb.Errorf("line %d has %d cells, want at most %d: %q", i, got, width, line)
		}
		if render.Escape(bare) != bare || !utf8.ValidString(bare) {
			tb.Errorf("line %d has control characters: %q", i, line)
		}
	}
}

// withoutSGR returns a line without the ways in which it is shown.
func withoutSGR(line string) string {
	for {
		before, rest, ok := strings.Cut(line, "\x1b[")
		if !ok {
			return line
		}
		end := strings.IndexByte(rest, 'm')
		if end < 0 || strings.Trim(rest[:end], "0123456789;") != "" {
			return line
		}
		line = before + rest[end+1:]
	}
}

// golden compares a screen with a file; colors are shown as <31>.
func golden(t *testing.T, name string, m *Model) {
	t.Helper()
	view := m.View()
	checkScreen(t, view, m.width, m.height)
	var b strings.Builder
	for line := range strings.Lines(view + "\n") {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	text := strings.ReplaceAll(b.String(), "\x1b[", "<")
	for _, way := range []string{"", bold, faint, reverse, red, green, yellow, alarm} {
		text = strings.ReplaceAll(text, "<"+way+"m", "<"+way+">")
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, text, want)
	}
}

// press presses keys by their names; of a name of one letter it is typed.
func press(m *Model, keys ...string) (last action) {
	for _, key := range keys {
		text := ""
		if utf8.RuneCountInString(key) == 1 {
			text = key
		} else if key == "space" {
			text = " "
		}
		last = m.press(key, text)
	}
	return last
}

// names returns the hosts in the order of the screen.
func names(m *Model) string {
	var all []string
	for _, i := range m.hosts.rows {
		all = append(all, m.hosts.all[i].name)
	}
	return strings.Join(all, " ")
}

// pids returns the processes in the order of the screen.
func pids(m *Model) string {
	var all []string
	for _, r := range m.procs.rows {
		all = append(all, fmt.Sprint(m.procs.answer.Processes[r.index].PID))
	}
	return strings.Join(all, " ")
}

// small is a model of a few hosts of all kinds.
func small(look look) *Model {
	m := newModel(testHosts("web1", "web2", "database-with-a-long-name", "数据库一号", "evil\x1b[31m", "new"), 2*time.Second, look)
	odd := nothing()
	odd.CPU = 3
	var answers []HostAnswer
	for i, s := range []Sample{testSample(3), testSample(11), {}, testSample(7), odd} {
		answers = append(answers, HostAnswer{Index: i, At: noon, Sample: s})
	}
	answers[2].Err = &dtc.Error{Kind: dtc.KindTimeout, Err: errors.New("connect to 10.0.0.2:7701: no answer in time")}
	m.take(&Answers{Now: noon, Hosts: answers})
	m.take(&Answers{Now: noon.Add(75 * time.Second)})
	return m
}

// answerOf returns an answer with processes.
func answerOf(at time.Time, all ...dtc.Process) *ProcessAnswer {
	return &ProcessAnswer{At: at, Collected: at.Add(time.Hour), PIDWidth: 5, Processes: all}
}

var nan = math.NaN()
