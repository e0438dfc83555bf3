package status

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/render"
)

// fakeProcess is what the kernel would say of a process.
type fakeProcess struct {
	pid, ppid, pgrp, session, tty, tpgid int
	comm                                 string
	state                                byte
	flags                                uint64
	ticks                                uint64 // on processors
	nice, threads                        int
	start                                time.Time
	uid                                  uint32
	size, locked, resident               int64 // KiB; no memory at all if size is 0
	cmdline                              string
}

// stat and status are the files of proc(5).
func (p *fakeProcess) stat(boot time.Time) string {
	start := p.start.Sub(boot) / (10 * time.Millisecond)
	return fmt.Sprintf("%d (%s) %c %d %d %d %d %d %d 0 0 0 0 %d %d 0 0 20 %d %d 0 %d %d %d 18446744073709551615"+strings.Repeat(" 0", 27)+"\n",
		p.pid, p.comm, p.state, p.ppid, p.pgrp, p.session, p.tty, p.tpgid, p.flags, p.ticks-p.ticks/3, p.ticks/3,
		p.nice, p.threads, start, p.size<<10, p.resident>>2)
}

func (p *fakeProcess) status() string {
	name := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(p.comm)
	memory := ""
	if p.size > 0 {
		memory = fmt.Sprintf("VmPeak:\t%8d kB\nVmSize:\t%8d kB\nVmLck:\t%8d kB\nVmPin:\t%8d kB\nVmHWM:\t%8d kB\nVmRSS:\t%8d kB\nVmData:\t%8d kB\n",
			p.size, p.size, p.locked, 0, p.resident, p.resident, p.size)
	}
	return fmt.Sprintf("Name:\t%s\nUmask:\t0022\nState:\t%c (x)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n"+
		"Uid:\t77\t%d\t78\t79\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t \nKthread:\t0\n%sThreads:\t%d\nSigQ:\t0/96364\n",
		name, p.state, p.pid, p.pid, p.ppid, p.uid, memory, p.threads)
}

// fakeHost is a directory with what ps and a collector read of a machine.
type fakeHost struct {
	root string
	boot time.Time
	up   time.Duration
}

func newFakeHost(tb testing.TB, up time.Duration, passwd string) *fakeHost {
	tb.Helper()
	h := &fakeHost{root: tb.TempDir(), boot: time.Now().Add(-up).Truncate(time.Second), up: up}
	h.write(tb, "etc/passwd", passwd)
	h.write(tb, "proc/stat", fmt.Sprintf("cpu  1 0 1 1 0 0 0 0 0 0\ncpu0 1 0 1 1 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime %d\nprocesses 1\n", h.boot.Unix()))
	h.write(tb, "proc/uptime", fmt.Sprintf("%d.00 1.00\n", int64(up.Seconds())))
	h.write(tb, "proc/meminfo", "MemTotal:       24683656 kB\nMemFree:        1 kB\nMemAvailable:   1 kB\n")
	cpuinfo, err := os.ReadFile("/proc/cpuinfo") // ps wants a real one
	if err != nil {
		tb.Fatal(err)
	}
	h.write(tb, "proc/cpuinfo", string(cpuinfo))
	h.write(tb, "proc/sys/kernel/pid_max", "4194304\n")
	h.write(tb, "proc/tty/drivers", "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"+
		"/dev/console         /dev/console    5       1 system:console\npty_slave            /dev/pts      136 0-1048575 pty:slave\n"+
		"serial               /dev/ttyS       4 64-95 serial\nunknown              /dev/tty        4 1-63 console\n")
	for link, target := range map[string]string{"dev": "/dev", "proc/self": "1"} {
		if err := os.Symlink(target, filepath.Join(h.root, link)); err != nil {
			tb.Fatal(err)
		}
	}
	return h
}

func (h *fakeHost) write(tb testing.TB, name, text string) {
	tb.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func (h *fakeHost) add(tb testing.TB, p *fakeProcess) {
	tb.Helper()
	dir := "proc/" + strconv.Itoa(p.pid) + "/"
	h.write(tb, dir+"stat", p.stat(h.boot))
	h.write(tb, dir+"status", p.status())
	h.write(tb, dir+"cmdline", p.cmdline)
	if err := os.Chown(filepath.Join(h.root, dir), int(p.uid), 0); err != nil {
		tb.Fatal(err)
	}
}

// ps returns the lines of ps aux on that machine, in the order of the pids. In a
// new namespace it is process 1 itself, which it looks for.
func (h *fakeHost) ps(tb testing.TB) []string {
	tb.Helper()
	cmd := exec.Command("unshare", "-m", "-p", "--fork", "sh", "-c",
		`mount --bind "$0/etc/passwd" /etc/passwd && mount --bind "$0/proc" /proc && exec ps aux`, h.root)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "COLUMNS=")
	var diagnosis bytes.Buffer
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("ps: %v\n%s%s", err, out, diagnosis.String())
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.SortFunc(lines[1:], func(a, b string) int { return cmp.Compare(pidOf(a), pidOf(b)) })
	return lines
}

func pidOf(line string) int {
	pid, _ := strconv.Atoi(strings.Fields(line)[1])
	return pid
}

// ours returns the lines that our answer is rendered as, raw: ps lets through
// what turns the direction of text.
func (h *fakeHost) ours(tb testing.TB) []string {
	tb.Helper()
	c := New(Options{Root: h.root})
	now := processNow{boot: h.boot, ticks: uint64(h.up / (10 * time.Millisecond)), memory: 24683656 << 10}
	r := dtc.Report{Status: dtc.StatusProcess, CollectedAt: time.Now(), PIDWidth: c.host.pidWidth()}
	err := c.processesAt(tb.Context(), nil, now, func(part []dtc.Process, _ bool, notes []string) error {
		for _, p := range part {
			own(&p.User, &p.TTY, &p.State, &p.Name, &p.Command)
			r.Process = append(r.Process, p)
		}
		r.Notes = notes
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := render.Text(&b, &r, render.Options{Raw: true}); err != nil {
		tb.Fatal(err)
	}
	return append(strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"), r.Notes...) // a note is a difference too
}

// sameAsPS compares whole lines, spaces included.
func (h *fakeHost) sameAsPS(tb testing.TB) {
	tb.Helper()
	var ours, theirs []string
	for range 5 { // a day may end between the two, and a slow machine give up on a process
		ours, theirs = h.ours(tb), h.ps(tb)
		for i := range min(len(ours), len(theirs)) {
			if len(theirs[i]) == 128<<10 && len(ours[i]) > 128<<10 {
				ours[i] = ours[i][:128<<10] // ps has no longer lines
			}
		}
		if slices.Equal(ours, theirs) {
			return
		}
	}
	if len(ours) != len(theirs) {
		tb.Errorf("%d lines, ps has %d", len(ours), len(theirs))
	}
	for i := range min(len(ours), len(theirs)) {
		if ours[i] != theirs[i] {
			tb.Errorf("line %d:\n got %.300q\nwant %.300q", i, ours[i], theirs[i])
		}
	}
}

const fakePasswd = "root:x:0:0::/:/bin/sh\neightchr:x:8:8::/:/bin/sh\nninechars:x:9:9::/:/bin/sh\n" +
	"systemd-timesync:x:10:10::/:/bin/sh\ndash-name:x:11:11::/:/bin/sh\nünïcödé:x:12:12::/:/bin/sh\nsecond:x:0:0::/:/bin/sh\n"

// TestFakesAgreeWithPS has what cannot be waited for or started: processes of
// last year, with years on processors and memory that no machine has.
func TestFakesAgreeWithPS(t *testing.T) {
	h := newFakeHost(t, 1200*24*time.Hour, fakePasswd)
	now := time.Now()
	pid := 0
	add := func(change func(p *fakeProcess)) {
		pid++
		p := &fakeProcess{
			pid: pid, ppid: 1, pgrp: 9, session: 9, tpgid: -1, comm: "name", state: 'S', flags: 0x400000,
			threads: 1, start: now.Add(-time.Hour), size: 5000, resident: 1000, cmdline: "/bin/name\x00-x\x00",
		}
		change(p)
		h.add(t, p)
	}
	add(func(*fakeProcess) {})
	for _, uid := range []uint32{0, 8, 9, 10, 11, 12, 13, 99999999, 123456789, math.MaxUint32 - 1} {
		add(func(p *fakeProcess) { p.uid = uid })
	}
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.Local)
	year := time.Date(now.Year(), 1, 1, 0, 0, 0, 0, time.Local)
	for _, start := range []time.Time{
		now, now.Add(time.Minute), midnight, midnight.Add(-time.Second), midnight.Add(-23 * time.Hour), now.Add(-24 * time.Hour),
		now.Add(-48 * time.Hour), year, year.Add(-time.Second), now.AddDate(-1, 0, 0), now.AddDate(-1, 0, 1), h.boot, h.boot.Add(time.Second),
		now.AddDate(0, 0, 1), now.AddDate(1, 0, 0),
	} {
		add(func(p *fakeProcess) { p.start = start })
		add(func(p *fakeProcess) { p.start = start; p.ticks = 100 * 3600 })
	}
	const second, hour = 100, 360000
	for _, ticks := range []uint64{
		1, 99, second, 59*second + 99, 60 * second, hour - 1, hour, 99*hour + 59*60*second, 100 * hour, 1000 * hour, 16666 * hour, 100000 * hour,
		1 << 34, 1 << 38,
	} {
		add(func(p *fakeProcess) { p.ticks = ticks })
		add(func(p *fakeProcess) { p.ticks, p.start = ticks, h.boot })
		add(func(p *fakeProcess) {
			p.ticks, p.start = ticks, h.boot.Add(h.up-min(h.up, time.Duration(min(ticks, 1<<36))*10*time.Millisecond/3))
		})
	}
	for _, kib := range []int64{0, 1, 99999, 100000, 999999, 1000000, 9999999, 10000000, 24683655, 24683656, 24683657, 1 << 32, 1 << 40, 1 << 47} {
		add(func(p *fakeProcess) { p.size, p.resident = kib, kib })
		add(func(p *fakeProcess) { p.size, p.resident, p.uid = kib, kib/3, 123456789 })
		add(func(p *fakeProcess) { p.size, p.resident = kib+1, min(kib, 5) })
	}
	for _, state := range []byte("RSDTtXxZKWPI") {
		for _, nice := range []int{-20, 0, 19} {
			add(func(p *fakeProcess) { p.state, p.nice, p.cmdline = state, nice, "" })
			add(func(p *fakeProcess) {
				p.state, p.nice, p.locked, p.threads = state, nice, 4, 2
				p.session, p.pgrp, p.tpgid, p.tty, p.cmdline = p.pid, p.pid, p.pid, 5<<8, ""
			})
		}
	}
	for _, comm := range []string{
		"", ")", "a) S 1 1 1 (b", "with space", "new\nline", `back\slash`, "tab\t", "\x1b[31m", "é", "\xff\xfe", "日本語", "\u202e", "fifteen bytes 1",
		"kworker/u4:1-events_unbound long",
	} {
		for _, cmdline := range []string{"", "\x00", "\x00\x00", " ", "\n", "x", "a\x00", "a b\x00c\n\x00", comm, comm + "\x00" + comm + "\x00"} {
			add(func(p *fakeProcess) { p.comm, p.cmdline = comm, cmdline })
		}
		add(func(p *fakeProcess) { p.comm, p.cmdline, p.state, p.size = comm, "", 'Z', 0 })
		add(func(p *fakeProcess) { p.comm, p.cmdline, p.flags, p.size = comm, "", 0x200000, 0 })
	}
	for _, length := range []int{4096, 8191, 8192, 65536, 131000, 131071, 131072, 200000} {
		add(func(p *fakeProcess) { p.cmdline = strings.Repeat("x", length) })
		add(func(p *fakeProcess) { p.cmdline = strings.Repeat("arg\x00", length/4) })
		add(func(p *fakeProcess) { p.cmdline = strings.Repeat("日", length/3) })
	}
	for _, tty := range []int{0, 5 << 8, 5<<8 | 1, 4<<8 | 1, 4<<8 | 64, 4<<8 | 63, 136 << 8, 136<<8 | 255, 0xff << 8, 1} {
		add(func(p *fakeProcess) { p.tty, p.tpgid = tty, p.pgrp })
	}
	h.sameAsPS(t)
}

// TestRandomFakesAgreeWithPS does the same with processes that nobody thought
// of.
func TestRandomFakesAgreeWithPS(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	h := newFakeHost(t, time.Duration(rng.IntN(3000))*24*time.Hour+time.Duration(1+rng.IntN(86400))*time.Second, fakePasswd)
	// Numbers of every length, as in a real list.
	number := func(bits int) int64 { return rng.Int64N(1 << (1 + rng.IntN(bits))) }
	text := func(length int) string {
		const chars = "abcABC019 /-_.:@\x00\x00\x00\n\t\x01\x7f\xc2\xa0éß\u0301日本😀\u200b\u202e\xe2\x82"
		b := make([]byte, rng.IntN(length))
		for i := range b {
			b[i] = chars[rng.IntN(len(chars))]
		}
		return string(b)
	}
	for pid := 1; pid <= 400; pid++ {
		p := &fakeProcess{
			pid: pid, ppid: rng.IntN(pid), pgrp: rng.IntN(3), session: rng.IntN(pid + 1), tpgid: rng.IntN(4) - 1,
			comm: strings.ReplaceAll(text(15), "\x00", "0"), state: "RSDZTI"[rng.IntN(6)], ticks: uint64(number(38)), nice: rng.IntN(40) - 20,
			threads: 1 + int(number(10)), start: h.boot.Add(time.Duration(rng.Int64N(int64(h.up/time.Second))) * time.Second),
			uid: uint32(number(32)), size: 1 + number(36), locked: number(2) / 2, resident: number(30), cmdline: text(200),
		}
		if rng.IntN(5) == 0 {
			p.flags, p.size, p.cmdline = 0x200000, 0, ""
		}
		if p.state == 'Z' {
			p.size, p.cmdline = 0, ""
		}
		h.add(t, p)
	}
	h.sameAsPS(t)
}
