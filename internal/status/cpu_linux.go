package status

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// cpuTimes reads proc_stat(5).
func (h *host) cpuTimes(context.Context) ([]cpuTimes, error) {
	path := h.path("proc/stat")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cpus := parseCPUTimes(data)
	if len(cpus) == 0 {
		return nil, fmt.Errorf("%s: it has no line of a processor", path)
	}
	return cpus, nil
}

// parseCPUTimes reads the lines of single processors, in ticks. Kernels before
// 2.6.33 lack the last fields: those are 0.
func parseCPUTimes(data []byte) []cpuTimes {
	var cpus []cpuTimes
	for line := range bytes.Lines(data) {
		rest, ok := bytes.CutPrefix(line, []byte("cpu"))
		if !ok {
			break // they come first
		}
		fields := bytes.Fields(rest)
		if len(fields) < 5 || rest[0] == ' ' {
			continue // the sum of all
		}
		t := cpuTimes{cpu: string(fields[0])}
		for i, into := range []*float64{
			&t.user, &t.nice, &t.system, &t.idle, &t.iowait, &t.irq, &t.softirq, &t.steal, &t.guest, &t.guestNice,
		} {
			if i+1 < len(fields) {
				ticks, _ := strconv.ParseUint(string(fields[i+1]), 10, 64)
				*into = float64(ticks)
			}
		}
		cpus = append(cpus, t)
	}
	return cpus
}

// cpuFacts fills all but the percentages.
func (h *host) cpuFacts(context.Context) (*dtc.CPU, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	c := &dtc.CPU{
		Hostname: unix.ByteSliceToString(uts.Nodename[:]),
		OS:       unix.ByteSliceToString(uts.Sysname[:]),
		Kernel:   unix.ByteSliceToString(uts.Release[:]),
		Arch:     unix.ByteSliceToString(uts.Machine[:]),
		Users:    h.sessions(),
		Load1:    dtc.AbsentFloat(), Load5: dtc.AbsentFloat(), Load15: dtc.AbsentFloat(),
	}
	c.UptimeSeconds = h.uptime()
	cores := h.cores.get(h)
	c.Model, c.LogicalCores, c.PhysicalCores = cores.model, cores.logical, cores.physical
	data, err := os.ReadFile(h.path("proc/loadavg"))
	if err != nil {
		return nil, err
	}
	if fields := strings.Fields(string(data)); len(fields) >= 3 {
		for i, into := range []*float64{&c.Load1, &c.Load5, &c.Load15} {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				*into = v
			}
		}
	}
	return c, nil
}

// uptime is the first field of proc_uptime(5) in seconds: a container may be
// shown its own there.
func (h *host) uptime() float64 {
	data, err := os.ReadFile(h.path("proc/uptime"))
	if fields := strings.Fields(string(data)); err == nil && len(fields) > 0 {
		if seconds, err := strconv.ParseFloat(fields[0], 64); err == nil {
			return seconds
		}
	}
	return proc.SinceBoot().Seconds()
}
