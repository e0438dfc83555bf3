package render

import (
	"time"

	"dtc"
)

// fields is given the fields of an item one after the other, in the order and
// under the names that scripts rely on. json and csv are two of them.
type fields interface {
	text(name, value string)
	integer(name string, value int64)
	number(name string, value float64)
	moment(name string, value time.Time)
}

func processFields(f fields, p *dtc.Process) {
	f.integer("pid", int64(p.PID))
	f.integer("ppid", int64(p.PPID))
	f.text("user", p.User)
	f.number("cpu_percent", p.CPUPercent)
	f.number("mem_percent", p.MemPercent)
	f.integer("vsz_bytes", p.VSZBytes)
	f.integer("rss_bytes", p.RSSBytes)
	f.text("tty", p.TTY)
	f.text("state", p.State)
	f.moment("started_at", p.StartedAt)
	f.number("cpu_seconds", p.CPUSeconds)
	f.text("name", p.Name)
	f.text("command", p.Command)
	f.integer("threads", int64(p.Threads))
}

func openFileFields(f fields, o *dtc.OpenFile) {
	f.integer("pid", int64(o.PID))
	f.text("user", o.User)
	f.text("command", o.Command)
	f.text("fd", o.FD)
	f.text("mode", o.Mode)
	f.text("type", o.Type)
	f.text("device", o.Device)
	f.integer("size_bytes", o.SizeBytes)
	f.text("node", o.Node)
	f.text("name", o.Name)
}

func memoryFields(f fields, m *dtc.Memory) {
	f.integer("total_bytes", m.TotalBytes)
	f.integer("used_bytes", m.UsedBytes)
	f.integer("free_bytes", m.FreeBytes)
	f.integer("shared_bytes", m.SharedBytes)
	f.integer("buffers_bytes", m.BuffersBytes)
	f.integer("cached_bytes", m.CachedBytes)
	f.integer("available_bytes", m.AvailableBytes)
	f.integer("swap_total_bytes", m.SwapTotalBytes)
	f.integer("swap_used_bytes", m.SwapUsedBytes)
	f.integer("swap_free_bytes", m.SwapFreeBytes)
}

// cpuFields gives all but the list of percentages.
func cpuFields(f fields, c *dtc.CPU) {
	f.text("model", c.Model)
	f.integer("logical_cores", int64(c.LogicalCores))
	f.integer("physical_cores", int64(c.PhysicalCores))
	f.number("load1", c.Load1)
	f.number("load5", c.Load5)
	f.number("load15", c.Load15)
	f.number("interval_seconds", c.IntervalSeconds)
}

func percentFields(f fields, p *dtc.CPUPercent) {
	f.text("cpu", p.CPU)
	f.number("user", p.User)
	f.number("nice", p.Nice)
	f.number("system", p.System)
	f.number("iowait", p.IOWait)
	f.number("irq", p.IRQ)
	f.number("softirq", p.SoftIRQ)
	f.number("steal", p.Steal)
	f.number("guest", p.Guest)
	f.number("guest_nice", p.GuestNice)
	f.number("idle", p.Idle)
}

func platformFields(f fields, p *dtc.Platform) {
	f.text("hostname", p.Hostname)
	f.text("os", p.OS)
	f.text("platform", p.Platform)
	f.text("platform_version", p.PlatformVersion)
	f.text("kernel", p.Kernel)
	f.text("kernel_version", p.KernelVersion)
	f.text("arch", p.Arch)
	f.moment("boot_time", p.BootTime)
	f.number("uptime_seconds", p.UptimeSeconds)
	f.text("virtualization", p.Virtualization)
}
