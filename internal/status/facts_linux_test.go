package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// output is what a tool prints.
func output(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "S_TIME_FORMAT=ISO")
	out, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		tb.Fatal(err)
	}
	return strings.TrimRight(string(out), "\n")
}

// agree waits until two texts are the same: what they are made of moves.
func agree(t *testing.T, what string, ours, theirs func() string) {
	t.Helper()
	var got, want string
	for range 50 {
		if got, want = ours(), theirs(); got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s:\n got %s\nwant %s", what, got, want)
}

func TestMemoryAgreesWithFree(t *testing.T) {
	c := New(Options{})
	agree(t, "free", func() string {
		m := list(t, c, dtc.StatusMemory).Memory
		return fmt.Sprintln("Mem:", m.TotalBytes>>10, m.UsedBytes>>10, m.FreeBytes>>10, m.SharedBytes>>10,
			(m.BuffersBytes+m.CachedBytes)>>10, m.AvailableBytes>>10) +
			fmt.Sprintln("Swap:", m.SwapTotalBytes>>10, m.SwapUsedBytes>>10, m.SwapFreeBytes>>10)
	}, func() string {
		var b strings.Builder
		for _, line := range strings.Split(output(t, "free"), "\n")[1:] {
			fmt.Fprintln(&b, strings.Join(strings.Fields(line), " "))
		}
		return b.String()
	})
	agree(t, "free -w", func() string {
		m := list(t, c, dtc.StatusMemory).Memory
		return fmt.Sprint(m.BuffersBytes>>10, m.CachedBytes>>10)
	}, func() string {
		fields := strings.Fields(strings.Split(output(t, "free", "-w"), "\n")[1])
		return fields[5] + " " + fields[6]
	})
}

func TestPlatformAgreesWithUname(t *testing.T) {
	p := list(t, New(Options{}), dtc.StatusPlatform).Platform
	for option, got := range map[string]string{
		"-s": p.OS, "-n": p.Hostname, "-r": p.Kernel, "-v": p.KernelVersion, "-m": p.Arch, "-o": p.OperatingSystem,
	} {
		if want := output(t, "uname", option); got != want {
			t.Errorf("uname %s: got %q, want %q", option, got, want)
		}
	}
	if want := output(t, "systemd-detect-virt"); p.Virtualization != want {
		t.Errorf("virtualization: got %q, want %q", p.Virtualization, want)
	}
	if got, want := p.Platform+" "+p.PlatformVersion, output(t, "sh", "-c", `. /etc/os-release; echo "$NAME $VERSION"`); got != want {
		t.Errorf("platform: got %q, want %q", got, want)
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nbtime %d\n", p.BootTime.Unix()); !bytes.Contains(stat, []byte(want)) {
		t.Errorf("booted at %v: /proc/stat does not have %q", p.BootTime, want)
	}
	if since := time.Since(p.BootTime).Seconds(); math.Abs(since-p.UptimeSeconds) > 2 {
		t.Errorf("up for %v s, booted %v s ago", p.UptimeSeconds, since)
	}
}

func TestCPUAgreesWithUptime(t *testing.T) {
	c := New(Options{})
	agree(t, "uptime", func() string {
		cpu := list(t, c, dtc.StatusCPU).CPU
		return fmt.Sprintf("%d %.2f, %.2f, %.2f", cpu.Users, cpu.Load1, cpu.Load5, cpu.Load15)
	}, func() string {
		_, rest, _ := strings.Cut(output(t, "uptime"), ",  ")
		users, load, _ := strings.Cut(rest, ",  load average: ")
		return strings.Fields(users)[0] + " " + load
	})
	cpu := list(t, c, dtc.StatusCPU).CPU
	header, _, _ := strings.Cut(output(t, "mpstat"), "\n")
	want := fmt.Sprintf("%s %s (%s) \t%s \t_%s_\t(%d CPU)", cpu.OS, cpu.Kernel, cpu.Hostname, time.Now().Format(time.DateOnly), cpu.Arch, cpu.LogicalCores)
	if header != want {
		t.Errorf("header:\n got %q\nmpstat %q", want, header)
	}
	for line := range strings.SplitSeq(output(t, "lscpu"), "\n") {
		if name, ok := strings.CutPrefix(line, "Model name:"); ok && strings.TrimSpace(name) != cpu.Model {
			t.Errorf("model: got %q, want %q", cpu.Model, strings.TrimSpace(name))
		}
	}
	if cpu.PhysicalCores < 1 || cpu.PhysicalCores > cpu.LogicalCores {
		t.Errorf("%d cores of %d processors", cpu.PhysicalCores, cpu.LogicalCores)
	}
}

// TestCPUAgreesWithMpstat looks at the same second as mpstat, in which there is
// something to see.
func TestCPUAgreesWithMpstat(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		for ctx.Err() == nil {
		}
	})
	defer busy.Wait()
	defer cancel()

	c := New(Options{})
	if _, err := c.sampleCPU(ctx); err != nil {
		t.Fatal(err)
	}
	theirs := output(t, "mpstat", "-P", "ALL", "1", "1")
	cpu := list(t, c, dtc.StatusCPU).CPU
	if cpu.IntervalSeconds < 1 || cpu.IntervalSeconds > 2 {
		t.Errorf("the interval is %v s", cpu.IntervalSeconds)
	}
	lines := 0
	for _, p := range cpu.Percent {
		for line := range strings.SplitSeq(theirs, "\n") {
			fields := strings.Fields(line)
			if len(fields) < 12 || fields[0] != "Average:" || fields[1] != p.CPU {
				continue
			}
			lines++
			for i, got := range []float64{p.User, p.Nice, p.System, p.IOWait, p.IRQ, p.SoftIRQ, p.Steal, p.Guest, p.GuestNice, p.Idle} {
				if want, err := strconv.ParseFloat(fields[2+i], 64); err != nil || math.Abs(got-want) > 12 {
					t.Errorf("cpu %s column %d: got %.2f, mpstat %s", p.CPU, i, got, fields[2+i])
				}
			}
		}
	}
	if lines != len(cpu.Percent) || lines < 2 {
		t.Errorf("%d lines, mpstat has %d of them", len(cpu.Percent), lines)
	}
}

// TestCPUAnswersAtOnce has time that does not pass by itself.
func TestCPUAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := New(Options{})
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx) })
		synctest.Wait()
		ask := func() (interval, took float64) {
			start := time.Now()
			cpu := list(t, c, dtc.StatusCPU).CPU
			return cpu.IntervalSeconds, time.Since(start).Seconds()
		}
		if interval, took := ask(); interval != 1 || took != 1 {
			t.Errorf("at the start: interval %v, took %v", interval, took)
		}
		time.Sleep(time.Hour + 100*time.Millisecond)
		for _, pause := range []time.Duration{0, 10 * time.Millisecond, time.Second, 2 * time.Second, 300 * time.Millisecond, 4 * time.Hour} {
			time.Sleep(pause)
			if interval, took := ask(); interval < 1 || interval > 2*idleEvery.Seconds() || took != 0 {
				t.Errorf("%v later: interval %v, took %v", pause, interval, took)
			}
		}
		if n := len(c.cpu.samples); n > 20 {
			t.Errorf("%d samples are kept", n)
		}
		cancel()
		running.Wait()
	})
}

func TestCPUPercentages(t *testing.T) {
	base := parseCPUTimes([]byte("cpu  1 2 3\ncpu0 100 10 50 1000 20 1 2 3 40 5\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu2 9 9 9 9 9\nintr 1\ncpu3 1 1 1 1 1\n"))
	now := parseCPUTimes([]byte("cpu0 160 20 60 1010 15 2 4 6 50 8\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu4 9 9 9 9 9\n"))
	if len(base) != 3 || len(now) != 3 {
		t.Fatalf("%d and %d processors", len(base), len(now))
	}
	got := percentages(base, now)
	// 60 user with 10 of guests, 10 nice with 3, 10 system, 10 idle, no iowait as
	// it fell, 1 irq, 2 softirq, 3 steal: 96 in all.
	cpu0 := dtc.CPUPercent{
		User: 50 / .96, Nice: 7 / .96, System: 10 / .96, IRQ: 1 / .96, SoftIRQ: 2 / .96, Steal: 3 / .96,
		Guest: 10 / .96, GuestNice: 3 / .96, Idle: 10 / .96,
	}
	all := cpu0
	all.CPU, cpu0.CPU = "all", "0"
	want := []dtc.CPUPercent{all, cpu0, {CPU: "1", Idle: 100}}
	if got, want := fmt.Sprintf("%.6v", got), fmt.Sprintf("%.6v", want); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestUnknownStatus(t *testing.T) {
	err := New(Options{}).Get(t.Context(), dtc.Query{Status: "weather"}, func(*dtc.Report) error { return nil })
	if dtc.KindOf(err) != dtc.KindInvalid || !strings.Contains(err.Error(), `"weather"`) {
		t.Errorf("got %v", err)
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range dtc.Statuses() {
		err := New(Options{}).Get(ctx, dtc.Query{Status: s.Status}, func(*dtc.Report) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", s.Status, err)
		}
	}
}

func TestGetEndsWithTheErrorOfEmit(t *testing.T) {
	broken := errors.New("broken")
	for _, s := range dtc.Statuses() {
		if s.Status == dtc.StatusServices {
			continue // needs a systemd: see TestServicesOfSystemd
		}
		err := New(Options{}).Get(t.Context(), dtc.Query{Status: s.Status}, func(*dtc.Report) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("%s: got %v", s.Status, err)
		}
	}
}

// tree makes a file system of the given files.
func tree(tb testing.TB, files map[string]string) *host {
	tb.Helper()
	root := tb.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return newHost(Options{Root: root})
}

func TestVirtualization(t *testing.T) {
	const guest, metal = "flags\t\t: fpu vme hypervisor lahf_lm\n", "flags\t\t: fpu vme lahf_lm\n"
	for _, test := range []struct {
		want  string
		files map[string]string
	}{
		{"none", map[string]string{"proc/cpuinfo": metal}},
		{"docker", map[string]string{".dockerenv": "", "proc/cpuinfo": guest}},
		{"podman", map[string]string{"run/.containerenv": "", ".dockerenv": ""}},
		{"lxc", map[string]string{"proc/1/environ": "A=b\x00container=lxc\x00"}},
		{"systemd-nspawn", map[string]string{"run/systemd/container": "systemd-nspawn\n"}},
		{"container-other", map[string]string{"run/host/container-manager": "mine"}},
		{"docker", map[string]string{"run/host/container-manager": "oci"}},
		{"openvz", map[string]string{"proc/vz/x": ""}},
		{"wsl", map[string]string{"proc/sys/kernel/osrelease": "5.15.1-microsoft-standard-WSL2"}},
		{"kvm", map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU\n", "proc/cpuinfo": guest, "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc kvm-clock hpet"}},
		{"qemu", map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU\n", "proc/cpuinfo": guest}},
		{"amazon", map[string]string{"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "proc/cpuinfo": guest}},
		{"none", map[string]string{"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "proc/cpuinfo": metal}},
		{"oracle", map[string]string{"sys/class/dmi/id/product_name": "VirtualBox\n"}},
		{"vmware", map[string]string{"sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}},
		{"microsoft", map[string]string{"sys/devices/system/clocksource/clocksource0/available_clocksource": "hyperv_clocksource_tsc_page acpi_pm"}},
		{"xen", map[string]string{"sys/hypervisor/type": "xen\n"}},
		{"kvm", map[string]string{"proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}},
		{"kvm", map[string]string{"proc/sysinfo": "VM00 Name: x\nVM00 Control Program: KVM/Linux\n"}},
		{"vm-other", map[string]string{"proc/cpuinfo": guest}},
	} {
		if got := tree(t, test.files).virtualization(); got != test.want {
			t.Errorf("%v: got %s, want %s", test.files, got, test.want)
		}
	}
}

func TestRelease(t *testing.T) {
	for text, want := range map[string]string{
		"PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION=\"12 (bookworm)\"\n": "Debian GNU/Linux|12 (bookworm)|Debian GNU/Linux 12",
		"# x\nNAME='Arch Linux'\nBUILD_ID=rolling\n":                                                  "Arch Linux||",
		"NAME=Alpine\\ Linux\nVERSION_ID=3.20.1\n":                                                    "Alpine Linux|3.20.1|",
		"PRETTY_NAME=\"a \\\"b\\\" \\$c\\t\"\nVERSION_ID=\"1\"\nbroken\n":                             `a "b" $c\t|1|a "b" $c\t`,
		"NAME='a\\t'\n": `a\t||`,
	} {
		var p dtc.Platform
		tree(t, map[string]string{"etc/os-release": text}).release().fill(&p)
		if got := p.Platform + "|" + p.PlatformVersion + "|" + p.PrettyName; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestMeminfo(t *testing.T) {
	for text, want := range map[string]string{
		"MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\nBuffers: 10 kB\nCached: 200 kB\nSReclaimable: 30 kB\nShmem: 7 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n": "1000 400 300 7 10 230 600 50 30 20",
		"MemTotal: 1000 kB\nMemFree: 300 kB\n":                        "1000 700 300 -1 -1 -1 300 -1 -1 -1",
		"MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 6000 kB\n": "1000 700 300 -1 -1 -1 300 -1 -1 -1",
		"MemTotal: 1000 kB\n":                                         "1000 -1 -1 -1 -1 -1 -1 -1 -1 -1",
		"nothing\n":                                                   "error",
	} {
		got := "error"
		if m, err := parseMeminfo([]byte(text)); err == nil {
			got = fmt.Sprint(m.TotalBytes>>10, m.UsedBytes>>10, m.FreeBytes>>10, m.SharedBytes>>10, m.BuffersBytes>>10,
				m.CachedBytes>>10, m.AvailableBytes>>10, m.SwapTotalBytes>>10, m.SwapUsedBytes>>10, m.SwapFreeBytes>>10)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestCPUInfo(t *testing.T) {
	for text, want := range map[string]cores{
		"processor : 0\nmodel name : X Y\nphysical id : 0\ncore id : 0\n\nprocessor : 1\nmodel name : X Y\nphysical id : 0\ncore id : 0\n\nprocessor : 2\nphysical id : 1\ncore id : 0\n\n": {"X Y", 3, 2},
		"processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\n\n": {"", 2, dtc.Absent},
	} {
		if got := parseCPUInfo([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
