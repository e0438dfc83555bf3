package render

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
)

// These tests compare with the tools themselves: their figures are read in a
// form for programs, rendered, and must come out as the tool prints them.

// run returns what a tool prints. It fails when the tool is not installed.
func run(t *testing.T, env, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", env)
	var diagnosis strings.Builder
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, diagnosis.String())
	}
	return string(out)
}

// start starts a process that lives as long as the test.
func start(t *testing.T, args []string, dir string, files ...*os.File) int {
	t.Helper()
	cmd := exec.Command("sleep")
	cmd.Args, cmd.Dir, cmd.ExtraFiles = args, dir, files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func pidWidth(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	most, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return len(strconv.Itoa(most - 1))
}

func TestProcessAsPS(t *testing.T) {
	pids := []string{
		"2",
		strconv.Itoa(start(t, []string{"sleep", "600"}, "")),
		strconv.Itoa(start(t, []string{"a-long-name-" + strings.Repeat("x", 300), "600"}, "")),
		strconv.Itoa(start(t, []string{"表示幅テスト" + strings.Repeat("漢字", 20), "600"}, "")),
	}
	list := strings.Join(pids, ",")
	for _, columns := range []int{0, 30, 68, 69, 80, 81, 132} {
		env := "COLUMNS="
		if columns > 0 {
			env += strconv.Itoa(columns)
		}
		var got, want string
		for range 5 { // until no figure changes in between
			want = run(t, env, "ps", "u", "-p", list)
			got = text(t, psReport(t, list), Options{Columns: columns})
			if got == want {
				break
			}
		}
		compare(t, got, want)
	}
}

// psReport asks ps for each field.
func psReport(t *testing.T, list string) *dtc.Report {
	t.Helper()
	r := &dtc.Report{Status: dtc.StatusProcess, CollectedAt: time.Now(), PIDWidth: pidWidth(t)}
	out := run(t, "COLUMNS=", "ps", "-p", list, "-o", "pid=", "-o", "euser:40=", "-o", "pcpu=,pmem=,vsz=,rss=",
		"-o", "tty:20=", "-o", "stat=", "-o", "etimes=,cputimes=", "-o", "lstart:40=", "-o", "args=")
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		p := dtc.Process{User: f[1], TTY: f[6], State: f[7]}
		p.PID, _ = strconv.Atoi(f[0])
		p.CPUPercent, _ = strconv.ParseFloat(f[2], 64)
		p.MemPercent, _ = strconv.ParseFloat(f[3], 64)
		p.VSZBytes, _ = strconv.ParseInt(f[4]+"000", 10, 64)
		p.VSZBytes = p.VSZBytes / 1000 * 1024
		p.RSSBytes, _ = strconv.ParseInt(f[5], 10, 64)
		p.RSSBytes *= 1024
		p.CPUSeconds, _ = strconv.ParseFloat(f[9], 64)
		started, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", strings.Join(f[10:15], " "), time.Local)
		if err != nil {
			t.Fatal(err)
		}
		p.StartedAt = started
		p.Command = strings.Join(f[15:], " ")
		r.Process = append(r.Process, p)
	}
	return r
}

func TestMemoryAsFree(t *testing.T) {
	values := []int64{0, 1, 2, 9, 10, 99, 100, 102, 103, 999, 1000, 1023, 1024, 1025, 1075, 1076, 9 << 10, 10 << 10}
	for _, k := range []float64{9.94, 9.95, 9.96, 9.99, 99.9, 100, 999, 999.9, 1000, 1023.9} {
		for _, unit := range []float64{1 << 10, 1 << 20, 1 << 30} {
			values = append(values, int64(k*unit), int64(k*unit)+1)
		}
	}
	for i := int64(7); i < 1<<50; i = i*11/4 + 3 {
		values = append(values, i)
	}
	file := filepath.Join(t.TempDir(), "meminfo")
	for i := 0; i+5 <= len(values); i += 5 {
		v := values[i : i+5]
		total := v[0] + 1 // of nothing, free makes something else
		m := dtc.Memory{
			TotalBytes: total, FreeBytes: v[1], AvailableBytes: max(min(v[2], total), 1), BuffersBytes: v[3], CachedBytes: v[4],
			SharedBytes: v[0], SwapTotalBytes: v[1], SwapFreeBytes: min(v[2], v[1]),
		}
		m.UsedBytes, m.SwapUsedBytes = m.TotalBytes-m.AvailableBytes, m.SwapTotalBytes-m.SwapFreeBytes
		info := fmt.Sprintf("MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB\nBuffers: %d kB\nCached: %d kB\n"+
			"SwapTotal: %d kB\nSwapFree: %d kB\nShmem: %d kB\nSReclaimable: 0 kB\n",
			m.TotalBytes, m.FreeBytes, m.AvailableBytes, m.BuffersBytes, m.CachedBytes,
			m.SwapTotalBytes, m.SwapFreeBytes, m.SharedBytes)
		if err := os.WriteFile(file, []byte(info), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, f := range []*int64{
			&m.TotalBytes, &m.UsedBytes, &m.FreeBytes, &m.SharedBytes, &m.BuffersBytes, &m.CachedBytes,
			&m.AvailableBytes, &m.SwapTotalBytes, &m.SwapUsedBytes, &m.SwapFreeBytes,
		} {
			*f *= 1024
		}
		want := run(t, "", "unshare", "-m", "sh", "-c", `mount --bind "$0" /proc/meminfo && free && free -h`, file)
		r := &dtc.Report{Status: dtc.StatusMemory, Memory: &m}
		compare(t, text(t, r, Options{})+text(t, r, Options{Human: true}), want)
	}
}

func TestOpenFilesAsLsof(t *testing.T) {
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"plain", "a b\\c\x01\n\x7fé中", "gone"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if _, err := files[0].Write(make([]byte, 1234567)); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := os.WriteFile(filepath.Join(dir, `l n\ß`), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := start(t, []string{"sleep", "600"}, dir, append(files, r, w)...)
	odd := filepath.Join(dir, `x y\é`)
	if out, err := exec.Command("cp", "/bin/sleep", odd).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	cmd := exec.Command("setpriv", "--reuid=54321", "--clear-groups", odd, "600")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	sockets := startSockets(t)
	for _, list := range [][]int{{plain}, {sockets, plain}, {plain, cmd.Process.Pid}, {sockets, cmd.Process.Pid}} {
		pids := strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		var got, want string
		for range 5 {
			want = run(t, "", "lsof", "-w", "-n", "-P", "-p", pids)
			got = text(t, lsofReport(t, pids), Options{})
			if got == want {
				break
			}
		}
		compare(t, got, want)
	}
}

// startSockets starts this test program as one that holds sockets of every
// sort until its standard input ends.
func startSockets(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldSockets$")
	cmd.Env = append(os.Environ(), "RENDER_HOLD_SOCKETS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	return cmd.Process.Pid
}

// TestHoldSockets is that program; as a test it does nothing.
func TestHoldSockets(t *testing.T) {
	if os.Getenv("RENDER_HOLD_SOCKETS") == "" {
		return
	}
	dir := t.TempDir()
	for _, network := range []string{"tcp4", "tcp6", "tcp", "unix"} {
		address := ":0"
		if network == "unix" {
			address = filepath.Join(dir, "socket")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// lsofReport asks lsof for its fields in their form for programs.
func lsofReport(t *testing.T, pids string) *dtc.Report {
	t.Helper()
	r := &dtc.Report{Status: dtc.StatusOpenFiles}
	var who, f dtc.OpenFile
	var have bool
	flush := func() {
		if have {
			r.OpenFiles = append(r.OpenFiles, f)
		}
		have = false
	}
	state := ""
	// With the field o lsof gives no sizes, so that needs an order of its own.
	out := run(t, "", "lsof", "-w", "-n", "-P", "-p", pids, "-F", "pcLufaltdDrsinPT0")
	var offsets []int64
	for line := range strings.Lines(run(t, "", "lsof", "-w", "-n", "-P", "-p", pids, "-F", "fo")) {
		switch v := strings.TrimSpace(line[1:]); line[0] {
		case 'f':
			offsets = append(offsets, dtc.Absent)
		case 'o':
			offsets[len(offsets)-1], _ = strconv.ParseInt(strings.TrimPrefix(v, "0t"), 10, 64)
		}
	}
	for line := range strings.SplitSeq(out, "\x00") {
		line = strings.TrimPrefix(line, "\n")
		if line == "" {
			continue
		}
		v := line[1:]
		switch line[0] {
		case 'p':
			flush()
			who = dtc.OpenFile{SizeBytes: dtc.Absent, Offset: dtc.Absent}
			who.PID, _ = strconv.Atoi(v)
		case 'c':
			who.Command = unescapeC(v)
		case 'u':
			who.User = v
		case 'L':
			who.User = v
		case 'f':
			flush()
			f, have, state = who, true, ""
			f.FD = v
		case 'a':
			f.Mode = strings.TrimSpace(v)
		case 'l':
			f.Lock = strings.TrimSpace(v)
		case 't':
			f.Type = v
		case 'D', 'r':
			if strings.HasPrefix(f.Device, "0x") { // an address stands there already
				continue
			}
			n, _ := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 64)
			f.Device = fmt.Sprintf("%d,%d", n>>8&0xfff, n&0xff|n>>12&0xfff00)
		case 'd':
			f.Device = v
		case 's':
			f.SizeBytes, _ = strconv.ParseInt(v, 10, 64)
		case 'i', 'P':
			f.Node = v
		case 'n':
			f.Name = unescapeC(v)
		case 'T':
			if s, ok := strings.CutPrefix(v, "ST="); ok && state == "" {
				state = s
				f.Name += " (" + s + ")"
			}
		}
	}
	flush()
	for i := range r.OpenFiles {
		if o := &r.OpenFiles[i]; o.SizeBytes < 0 {
			o.Offset = offsets[i]
		}
	}
	return r
}

// unescapeC undoes lsof's own escapes, which it also prints in this form.
func unescapeC(s string) string {
	s = strings.NewReplacer(`\\`, `\`, "^A", "\x01", `\n`, "\n", `\x7f`, "\x7f", `\x20`, " ").Replace(s)
	for i := 0; i+4 <= len(s); i++ {
		if s[i] == '\\' && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				s = s[:i] + string([]byte{byte(n)}) + s[i+4:]
			}
		}
	}
	return s
}

func TestCPUAsMPStat(t *testing.T) {
	var want, uptime string
	for range 5 { // until both are of one second
		want = run(t, "S_TIME_FORMAT=", "mpstat", "-P", "ALL", "1", "1")
		uptime = run(t, "", "uptime")
		if strings.Contains(want, strings.Fields(uptime)[0]+"  ") {
			break
		}
	}
	r := &dtc.Report{Status: dtc.StatusCPU, CPU: &dtc.CPU{
		OS:       strings.TrimSpace(run(t, "", "uname", "-s")),
		Kernel:   strings.TrimSpace(run(t, "", "uname", "-r")),
		Hostname: strings.TrimSpace(run(t, "", "uname", "-n")),
		Arch:     strings.TrimSpace(run(t, "", "uname", "-m")),
	}}
	c := r.CPU
	lines := strings.Split(want, "\n")
	before, after := strings.Fields(lines[2])[0], strings.Fields(lines[3])[0]
	r.CollectedAt = clockToday(t, after)
	c.IntervalSeconds = r.CollectedAt.Sub(clockToday(t, before)).Seconds()
	for _, line := range lines[3:] {
		f := strings.Fields(line)
		if len(f) == 0 {
			break
		}
		v := make([]float64, 10)
		for i := range v {
			v[i], _ = strconv.ParseFloat(f[2+i], 64)
		}
		c.Percent = append(c.Percent, dtc.CPUPercent{
			CPU: f[1], User: v[0], Nice: v[1], System: v[2], IOWait: v[3], IRQ: v[4],
			SoftIRQ: v[5], Steal: v[6], Guest: v[7], GuestNice: v[8], Idle: v[9],
		})
	}
	c.LogicalCores = len(c.Percent) - 1
	fmt.Sscanf(uptime[strings.Index(uptime, "load"):], "load average: %f, %f, %f", &c.Load1, &c.Load5, &c.Load15)
	fmt.Sscanf(uptime[:strings.Index(uptime, " user")][strings.LastIndex(uptime[:strings.Index(uptime, " user")], " "):], "%d", &c.Users)
	c.UptimeSeconds = seconds(t)
	compare(t, text(t, r, Options{}), uptime+want)
}

func clockToday(t *testing.T, clock string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", time.Now().Format("2006-01-02 ")+clock, time.Local)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func seconds(t *testing.T) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPlatformAsUname(t *testing.T) {
	uname := func(flag string) string { return strings.TrimSpace(run(t, "", "uname", flag)) }
	r := &dtc.Report{Status: dtc.StatusPlatform, Platform: &dtc.Platform{
		OS: uname("-s"), Hostname: uname("-n"), Kernel: uname("-r"), KernelVersion: uname("-v"),
		Arch: uname("-m"), OperatingSystem: uname("-o"), UptimeSeconds: math.NaN(),
	}}
	line, _, _ := strings.Cut(text(t, r, Options{}), "\n")
	compare(t, line+"\n", run(t, "", "uname", "-a"))
}
