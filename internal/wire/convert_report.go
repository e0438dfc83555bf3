package wire

import (
	"fmt"
	"time"

	"dtc"
)

func processColumns(c *columns[dtc.Process], m *ProcessColumns) {
	type row = dtc.Process
	c.ints(&m.Pid, func(r *row) *int { return &r.PID })
	c.ints(&m.Ppid, func(r *row) *int { return &r.PPID })
	c.shared(&m.User, func(r *row) *string { return &r.User })
	c.floats(&m.CpuPercent, func(r *row) *float64 { return &r.CPUPercent })
	c.floats(&m.MemPercent, func(r *row) *float64 { return &r.MemPercent })
	c.sizes(&m.VszBytes, func(r *row) *int64 { return &r.VSZBytes })
	c.sizes(&m.RssBytes, func(r *row) *int64 { return &r.RSSBytes })
	c.shared(&m.Tty, func(r *row) *string { return &r.TTY })
	c.shared(&m.State, func(r *row) *string { return &r.State })
	started := timeColumn{nanos: &m.StartedNanos, zone: &m.StartedZone, zones: &m.Zones}
	c.times(started, func(r *row) *time.Time { return &r.StartedAt })
	c.floats(&m.CpuSeconds, func(r *row) *float64 { return &r.CPUSeconds })
	c.texts(&m.Name, func(r *row) *string { return &r.Name })
	c.texts(&m.Command, func(r *row) *string { return &r.Command })
	c.ints(&m.Threads, func(r *row) *int { return &r.Threads })
}

func openFileColumns(c *columns[dtc.OpenFile], m *OpenFileColumns) {
	type row = dtc.OpenFile
	c.ints(&m.Pid, func(r *row) *int { return &r.PID })
	c.shared(&m.User, func(r *row) *string { return &r.User })
	c.shared(&m.Command, func(r *row) *string { return &r.Command })
	c.shared(&m.Fd, func(r *row) *string { return &r.FD })
	c.shared(&m.Mode, func(r *row) *string { return &r.Mode })
	c.shared(&m.Lock, func(r *row) *string { return &r.Lock })
	c.shared(&m.Type, func(r *row) *string { return &r.Type })
	c.shared(&m.Device, func(r *row) *string { return &r.Device })
	c.sizes(&m.SizeBytes, func(r *row) *int64 { return &r.SizeBytes })
	c.sizes(&m.Offset, func(r *row) *int64 { return &r.Offset })
	c.texts(&m.Node, func(r *row) *string { return &r.Node })
	c.texts(&m.Name, func(r *row) *string { return &r.Name })
}

func cpuColumns(c *columns[dtc.CPUPercent], m *CPUColumns) {
	type row = dtc.CPUPercent
	c.texts(&m.Cpu, func(r *row) *string { return &r.CPU })
	c.floats(&m.User, func(r *row) *float64 { return &r.User })
	c.floats(&m.Nice, func(r *row) *float64 { return &r.Nice })
	c.floats(&m.System, func(r *row) *float64 { return &r.System })
	c.floats(&m.Iowait, func(r *row) *float64 { return &r.IOWait })
	c.floats(&m.Irq, func(r *row) *float64 { return &r.IRQ })
	c.floats(&m.Softirq, func(r *row) *float64 { return &r.SoftIRQ })
	c.floats(&m.Steal, func(r *row) *float64 { return &r.Steal })
	c.floats(&m.Guest, func(r *row) *float64 { return &r.Guest })
	c.floats(&m.GuestNice, func(r *row) *float64 { return &r.GuestNice })
	c.floats(&m.Idle, func(r *row) *float64 { return &r.Idle })
}

func cpuFields(f fields, m *CPUMessage, v *dtc.CPU) {
	f.text(&m.Model, &v.Model)
	f.int(&m.LogicalCores, &v.LogicalCores)
	f.int(&m.PhysicalCores, &v.PhysicalCores)
	f.float(&m.Load1, &v.Load1)
	f.float(&m.Load5, &v.Load5)
	f.float(&m.Load15, &v.Load15)
	f.float(&m.IntervalSeconds, &v.IntervalSeconds)
	f.float(&m.UptimeSeconds, &v.UptimeSeconds)
	f.int(&m.Users, &v.Users)
	f.text(&m.Hostname, &v.Hostname)
	f.text(&m.Os, &v.OS)
	f.text(&m.Kernel, &v.Kernel)
	f.text(&m.Arch, &v.Arch)
}

func memoryFields(f fields, m *MemoryMessage, v *dtc.Memory) {
	f.size(&m.TotalBytes, &v.TotalBytes)
	f.size(&m.UsedBytes, &v.UsedBytes)
	f.size(&m.FreeBytes, &v.FreeBytes)
	f.size(&m.SharedBytes, &v.SharedBytes)
	f.size(&m.BuffersBytes, &v.BuffersBytes)
	f.size(&m.CachedBytes, &v.CachedBytes)
	f.size(&m.AvailableBytes, &v.AvailableBytes)
	f.size(&m.SwapTotalBytes, &v.SwapTotalBytes)
	f.size(&m.SwapUsedBytes, &v.SwapUsedBytes)
	f.size(&m.SwapFreeBytes, &v.SwapFreeBytes)
}

func platformFields(f fields, m *PlatformMessage, v *dtc.Platform) {
	f.text(&m.Hostname, &v.Hostname)
	f.text(&m.Os, &v.OS)
	f.text(&m.Platform, &v.Platform)
	f.text(&m.PlatformVersion, &v.PlatformVersion)
	f.text(&m.Kernel, &v.Kernel)
	f.text(&m.KernelVersion, &v.KernelVersion)
	f.text(&m.Arch, &v.Arch)
	f.time(&m.BootTime, &v.BootTime)
	f.float(&m.UptimeSeconds, &v.UptimeSeconds)
	f.text(&m.Virtualization, &v.Virtualization)
	f.text(&m.OperatingSystem, &v.OperatingSystem)
}

// encoder turns the reports of one answer into messages, in memory that it
// uses again.
type encoder struct {
	part      PartMessage
	process   ProcessColumns
	openFiles OpenFileColumns
	processes columns[dtc.Process]
	files     columns[dtc.OpenFile]
}

// send splits r into parts that a client takes. The message is send's only
// during the call.
func (e *encoder) send(r *dtc.Report, send func(*PartMessage) error) error {
	processes, files := r.Process, r.OpenFiles
	for {
		e.processes.items, processes = chop(processes, processText)
		e.files.items, files = chop(files, fileText)
		last := len(processes) == 0 && len(files) == 0
		e.begin(r)
		if last {
			e.part.Partial = r.Partial
			e.end(r)
		}
		if err := send(&e.part); err != nil || last {
			return err
		}
	}
}

// begin fills the part with its items.
func (e *encoder) begin(r *dtc.Report) {
	e.part.Reset()
	e.part.CollectedAt = newTime(r.CollectedAt)
	e.part.Partial = true
	if len(e.processes.items) > 0 {
		e.part.Process = &e.process
		e.part.PidWidth = uint32(min(max(r.PIDWidth, 0), maxPIDWidth))
		processColumns(&e.processes, &e.process)
	}
	if len(e.files.items) > 0 {
		e.part.OpenFiles = &e.openFiles
		openFileColumns(&e.files, &e.openFiles)
	}
}

// end fills the part with what a report has once.
func (e *encoder) end(r *dtc.Report) {
	for _, note := range r.Notes[:min(len(r.Notes), maxNotes)] {
		e.part.Notes = append(e.part.Notes, []byte(note[:min(len(note), maxNote)]))
	}
	if r.Memory != nil {
		e.part.Memory = new(MemoryMessage)
		memoryFields(fields{}, e.part.Memory, r.Memory)
	}
	if r.Platform != nil {
		e.part.Platform = new(PlatformMessage)
		platformFields(fields{}, e.part.Platform, r.Platform)
	}
	if r.CPU != nil {
		e.part.Cpu = &CPUMessage{Percent: new(CPUColumns)}
		cpuFields(fields{}, e.part.Cpu, r.CPU)
		percent := r.CPU.Percent[:min(len(r.CPU.Percent), maxRows)]
		cpuColumns(&columns[dtc.CPUPercent]{items: percent}, e.part.Cpu.Percent)
	}
}

func processText(p *dtc.Process) int { return len(p.Name) + len(p.Command) }

func fileText(f *dtc.OpenFile) int { return len(f.Name) + len(f.Command) + len(f.Device) }

// chop returns the items that go into one part, at least one if there is one,
// and the others.
func chop[T any](items []T, text func(*T) int) (part, rest []T) {
	n, bytes := 0, 0
	for n < min(len(items), maxPartItems) {
		bytes += text(&items[n])
		if bytes > maxPartText && n > 0 {
			break
		}
		n++
	}
	return items[:n], items[n:]
}

// decoder turns the messages of one answer into reports, in memory that it uses
// again, and counts what the whole answer holds.
type decoder struct {
	status    dtc.Status
	report    dtc.Report
	processes columns[dtc.Process]
	files     columns[dtc.OpenFile]
	parts     int
	rows      int
	text      int
}

// decode returns the report of m, valid until the next call. Whatever else m
// holds, only the fields of the status that was asked are filled.
func (d *decoder) decode(m *PartMessage) (*dtc.Report, error) {
	d.report = dtc.Report{Status: d.status, CollectedAt: m.CollectedAt.time(), Partial: m.Partial, PIDWidth: int(min(m.PidWidth, maxPIDWidth))}
	for _, note := range m.Notes[:min(len(m.Notes), maxNotes)] {
		d.report.Notes = append(d.report.Notes, cut(note, maxNote))
	}
	err := d.body(m)
	if err == nil {
		err = d.count()
	}
	return &d.report, err
}

func (d *decoder) body(m *PartMessage) error {
	r, f := &d.report, fields{decode: true}
	switch d.status {
	case dtc.StatusProcess:
		if m.Process != nil {
			if err := d.processes.prepare(len(m.Process.Pid)); err != nil {
				return err
			}
			processColumns(&d.processes, m.Process)
			r.Process = d.processes.items
			return d.processes.err
		}
	case dtc.StatusOpenFiles:
		if m.OpenFiles != nil {
			if err := d.files.prepare(len(m.OpenFiles.Pid)); err != nil {
				return err
			}
			openFileColumns(&d.files, m.OpenFiles)
			r.OpenFiles = d.files.items
			return d.files.err
		}
	case dtc.StatusMemory:
		if m.Memory != nil {
			r.Memory = new(dtc.Memory)
			memoryFields(f, m.Memory, r.Memory)
		}
	case dtc.StatusPlatform:
		if m.Platform != nil {
			r.Platform = new(dtc.Platform)
			platformFields(f, m.Platform, r.Platform)
		}
	case dtc.StatusCPU:
		if m.Cpu != nil {
			r.CPU = new(dtc.CPU)
			cpuFields(f, m.Cpu, r.CPU)
			return decodePercent(m.Cpu.Percent, r.CPU)
		}
	}
	return nil
}

func decodePercent(m *CPUColumns, v *dtc.CPU) error {
	if m == nil {
		return nil
	}
	var c columns[dtc.CPUPercent]
	if err := c.prepare(m.Cpu.rows()); err != nil {
		return err
	}
	cpuColumns(&c, m)
	v.Percent = c.items
	return c.err
}

// prepare makes room for n decoded items.
func (c *columns[T]) prepare(n int) error {
	if n > maxRows {
		return fmt.Errorf("%w: %d items in a part, at most %d are possible", errMalformed, n, maxRows)
	}
	if cap(c.items) < n {
		c.items = make([]T, n)
	}
	c.items = c.items[:n]
	c.decode, c.err, c.text = true, nil, 0
	return nil
}

// count ends an answer that is larger than any host's can be.
func (d *decoder) count() error {
	d.parts++
	d.rows += len(d.report.Process) + len(d.report.OpenFiles)
	d.text += d.processes.text + d.files.text
	if d.parts > maxAnswerParts || d.rows > maxAnswerRows || d.text > maxAnswerText {
		return fmt.Errorf("the answer is too large: %d items, %d bytes of text", d.rows, d.text)
	}
	return nil
}
