package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"dtc"
)

// memory answers what free prints. See free(1).
func (c *Collector) memory(context.Context) (*dtc.Memory, error) {
	path := c.host.path("proc/meminfo")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseMeminfo(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// meminfo are the lines of proc_meminfo(5), in bytes.
type meminfo map[string]int64

func readMeminfo(data []byte) meminfo {
	values := make(meminfo, 64)
	for line := range bytes.Lines(data) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		if kib, err := strconv.ParseInt(string(fields[0]), 10, 52); err == nil && kib >= 0 {
			values[string(name)] = kib << 10
		}
	}
	return values
}

// of is the value of a line, [dtc.Absent] if there is no such line.
func (m meminfo) of(name string) int64 {
	if value, ok := m[name]; ok {
		return value
	}
	return dtc.Absent
}

// without is whole less part, [dtc.Absent] if either is.
func without(whole, part int64) int64 {
	if whole < 0 || part < 0 {
		return dtc.Absent
	}
	return max(0, whole-part)
}

// parseMeminfo computes from proc_meminfo(5) what procps 4 does.
func parseMeminfo(data []byte) (*dtc.Memory, error) {
	values := readMeminfo(data)
	m := &dtc.Memory{
		TotalBytes:     values.of("MemTotal"),
		FreeBytes:      values.of("MemFree"),
		SharedBytes:    values.of("Shmem"),
		BuffersBytes:   values.of("Buffers"),
		CachedBytes:    values.of("Cached"),
		AvailableBytes: values.of("MemAvailable"),
		SwapTotalBytes: values.of("SwapTotal"),
		SwapFreeBytes:  values.of("SwapFree"),
	}
	if m.TotalBytes <= 0 {
		return nil, errors.New("it has no MemTotal")
	}
	if m.CachedBytes >= 0 {
		m.CachedBytes += values["SReclaimable"] // 0 where the kernel does not tell it apart
	}
	if m.AvailableBytes <= 0 || m.AvailableBytes > m.TotalBytes {
		// Kernels before 3.14, and a container that sees the host's figure. Of none
		// at all free makes the same.
		m.AvailableBytes = m.FreeBytes
	}
	m.UsedBytes = without(m.TotalBytes, m.AvailableBytes)
	m.SwapUsedBytes = without(m.SwapTotalBytes, m.SwapFreeBytes)
	return m, nil
}
