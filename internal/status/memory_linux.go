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

// parseMeminfo computes from proc_meminfo(5) what procps 4 does.
func parseMeminfo(data []byte) (*dtc.Memory, error) {
	values := make(map[string]int64, 64)
	for line := range bytes.Lines(data) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		if kib, err := strconv.ParseInt(string(fields[0]), 10, 52); err == nil {
			values[string(name)] = kib << 10
		}
	}
	total, ok := values["MemTotal"]
	if !ok || total <= 0 {
		return nil, errors.New("it has no MemTotal")
	}
	m := &dtc.Memory{
		TotalBytes:     total,
		FreeBytes:      values["MemFree"],
		SharedBytes:    values["Shmem"],
		BuffersBytes:   values["Buffers"],
		CachedBytes:    values["Cached"] + values["SReclaimable"],
		SwapTotalBytes: values["SwapTotal"],
		SwapFreeBytes:  values["SwapFree"],
	}
	available, ok := values["MemAvailable"]
	if !ok || available > total {
		// Kernels before 3.14, and a container that sees the host's figure.
		available = m.FreeBytes
	}
	m.AvailableBytes = available
	m.UsedBytes = max(0, total-available)
	m.SwapUsedBytes = max(0, m.SwapTotalBytes-m.SwapFreeBytes)
	return m, nil
}
