//go:build !linux

package status

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"

	"dtc"
	"dtc/internal/proc"
)

// host is what answers need on systems that are asked through gopsutil.
type host struct {
	names
	disks fileSystems
}

func newHost(Options) *host { return &host{} }

// try calls what may panic: libraries that bind functions of the system at run
// time do so if the system lacks one.
func try[T any](what string, call func() (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: this system cannot tell: %v", what, p)
		}
	}()
	return call()
}

// memory answers what free prints. The caches' share is not known.
func (c *Collector) memory(ctx context.Context) (*dtc.Memory, error) {
	vm, err := try("memory", func() (*mem.VirtualMemoryStat, error) { return mem.VirtualMemoryWithContext(ctx) })
	if err != nil {
		return nil, err
	}
	m := &dtc.Memory{
		TotalBytes:     int64(vm.Total),
		UsedBytes:      int64(vm.Total) - int64(vm.Available),
		FreeBytes:      int64(vm.Free),
		SharedBytes:    dtc.Absent,
		BuffersBytes:   dtc.Absent,
		CachedBytes:    dtc.Absent,
		AvailableBytes: int64(vm.Available),
		SwapTotalBytes: dtc.Absent,
		SwapUsedBytes:  dtc.Absent,
		SwapFreeBytes:  dtc.Absent,
	}
	swap, err := try("swap", func() (*mem.SwapMemoryStat, error) { return mem.SwapMemoryWithContext(ctx) })
	if err == nil && swap.Used <= swap.Total && swap.Total < math.MaxInt64 {
		m.SwapTotalBytes, m.SwapUsedBytes, m.SwapFreeBytes = int64(swap.Total), int64(swap.Used), int64(swap.Total-swap.Used)
	}
	return m, nil
}

// cpuTimes reads seconds. Linux' own counters are absent.
func (h *host) cpuTimes(ctx context.Context) ([]cpuTimes, error) {
	list, err := try("processors", func() ([]cpu.TimesStat, error) { return h.perCPU(ctx) })
	if err != nil {
		return nil, err
	}
	times := make([]cpuTimes, len(list))
	absent := dtc.AbsentFloat()
	for i, t := range list {
		times[i] = cpuTimes{
			cpu: strings.TrimPrefix(t.CPU, "cpu"), user: t.User, system: t.System, idle: t.Idle, nice: absent, iowait: absent,
			irq: absent, softirq: absent, steal: absent, guest: absent, guestNice: absent,
		}
		h.known(&times[i], &t)
	}
	return times, nil
}

// cpuFacts fills all but the percentages.
func (h *host) cpuFacts(ctx context.Context) (*dtc.CPU, error) {
	p, err := h.system(ctx)
	if err != nil {
		return nil, err
	}
	return &dtc.CPU{
		Hostname: p.Hostname, OS: p.OS, Kernel: p.Kernel, Arch: p.Arch,
		Model:         h.model(),
		LogicalCores:  h.count(ctx, "processors", true),
		PhysicalCores: h.count(ctx, "cores", false),
		Load1:         h.load(1), Load5: h.load(5), Load15: h.load(15),
		UptimeSeconds: p.UptimeSeconds,
		Users:         h.sessions(),
	}, nil
}

func (h *host) count(ctx context.Context, what string, logical bool) int {
	n, err := try(what, func() (int, error) { return cpu.CountsWithContext(ctx, logical) })
	if err != nil || n <= 0 {
		return dtc.Absent
	}
	return n
}

// platform answers what uname -a and hostnamectl print.
func (c *Collector) platform(ctx context.Context) (*dtc.Platform, error) { return c.host.system(ctx) }

// processes answers what ps aux prints, as far as the system knows it.
func (c *Collector) processes(ctx context.Context, _ *selector, r *dtc.Report, emit func(*dtc.Report) error) error {
	list, err := c.host.processes(ctx)
	if err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	memory := dtc.AbsentFloat()
	if m, err := c.memory(ctx); err == nil && m.TotalBytes > 0 {
		memory = float64(m.TotalBytes)
	}
	var parts parts[dtc.Process]
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &list[i]
		p.MemPercent = dtc.AbsentFloat()
		if p.RSSBytes >= 0 {
			p.MemPercent = 100 * float64(p.RSSBytes) / memory
		}
		p.CPUPercent = dtc.AbsentFloat()
		if life := r.CollectedAt.Sub(p.StartedAt).Seconds(); !p.StartedAt.IsZero() && life > 0 {
			p.CPUPercent = 100 * p.CPUSeconds / life
		}
		if err := parts.add(*p, func(items []dtc.Process) error {
			r.Process, r.Partial = items, true
			return emit(r)
		}); err != nil {
			return err
		}
	}
	r.Process, r.Partial = parts.items, false
	return emit(r)
}

// parts collects items until a part is full.
type parts[T any] struct{ items []T }

func (p *parts[T]) add(item T, full func([]T) error) error {
	if len(p.items) == partItems {
		if err := full(p.items); err != nil {
			return err
		}
		p.items = p.items[:0]
	}
	p.items = append(p.items, item)
	return nil
}

// openFiles answers of what lsof prints the working folder and the program of
// each process: the system shows its descriptors to nobody but a program that
// asks for each handle.
func (c *Collector) openFiles(ctx context.Context, _ *selector, r *dtc.Report, emit func(*dtc.Report) error) error {
	list, err := c.host.processes(ctx)
	if err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	var parts parts[dtc.OpenFile]
	full := func(items []dtc.OpenFile) error {
		r.OpenFiles, r.Partial = items, true
		return emit(r)
	}
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, file := range openFilesOf(ctx, &list[i]) {
			if err := parts.add(file, full); err != nil {
				return err
			}
		}
	}
	r.OpenFiles, r.Partial = parts.items, false
	r.Notes = append(r.Notes, "of open files this system tells the programs and the working folders, not the descriptors")
	return emit(r)
}

func openFilesOf(ctx context.Context, p *dtc.Process) []dtc.OpenFile {
	var files []dtc.OpenFile
	of := &process.Process{Pid: int32(p.PID)}
	for _, file := range []struct {
		fd, kind string
		path     func() (string, error)
	}{
		{"cwd", "DIR", func() (string, error) { return of.CwdWithContext(ctx) }},
		{"txt", "REG", func() (string, error) { return of.ExeWithContext(ctx) }},
	} {
		path, err := try(file.fd, file.path)
		if err == nil && path != "" {
			files = append(files, dtc.OpenFile{
				PID: p.PID, User: p.User, Command: p.Name, FD: file.fd, Type: file.kind,
				SizeBytes: dtc.Absent, Offset: dtc.Absent, Name: path,
			})
		}
	}
	return files
}

// command is the command line of a process in one line, or its name in
// brackets if it cannot be read.
func command(ctx context.Context, of *process.Process, name string) string {
	line, err := try("command line", func() (string, error) { return of.CmdlineWithContext(ctx) })
	if err != nil || line == "" {
		return "[" + printableText(name) + "]"
	}
	return printableText(line)
}

// printableText puts a question mark in the place of control characters, as ps
// does.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\x00':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		default:
			return r
		}
	}, s)
}

// uptime is the time since the boot.
func uptime() (boot time.Time, seconds float64) {
	since := proc.SinceBoot()
	return time.Now().Add(-since).Truncate(time.Second), since.Seconds()
}
