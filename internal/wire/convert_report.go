package wire

import (
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

func diskColumns(c *columns[dtc.Disk], m *DiskColumns) {
	type row = dtc.Disk
	c.texts(&m.Filesystem, func(r *row) *string { return &r.Filesystem })
	c.shared(&m.Type, func(r *row) *string { return &r.Type })
	c.sizes(&m.TotalBytes, func(r *row) *int64 { return &r.TotalBytes })
	c.sizes(&m.UsedBytes, func(r *row) *int64 { return &r.UsedBytes })
	c.balances(&m.AvailableBytes, func(r *row) *int64 { return &r.AvailableBytes })
	c.floats(&m.UsedPercent, func(r *row) *float64 { return &r.UsedPercent })
	c.texts(&m.MountedOn, func(r *row) *string { return &r.MountedOn })
	c.sizes(&m.TotalInodes, func(r *row) *int64 { return &r.TotalInodes })
	c.sizes(&m.UsedInodes, func(r *row) *int64 { return &r.UsedInodes })
	c.sizes(&m.FreeInodes, func(r *row) *int64 { return &r.FreeInodes })
}

func interfaceColumns(c *columns[dtc.Interface], m *InterfaceColumns) {
	type row = dtc.Interface
	c.ints(&m.Index, func(r *row) *int { return &r.Index })
	c.texts(&m.Name, func(r *row) *string { return &r.Name })
	c.texts(&m.Lower, func(r *row) *string { return &r.Lower })
	c.shared(&m.Flags, func(r *row) *string { return &r.Flags })
	c.sizes(&m.MtuBytes, func(r *row) *int64 { return &r.MTUBytes })
	c.shared(&m.Qdisc, func(r *row) *string { return &r.Qdisc })
	c.shared(&m.Master, func(r *row) *string { return &r.Master })
	c.shared(&m.State, func(r *row) *string { return &r.State })
	c.shared(&m.Mode, func(r *row) *string { return &r.Mode })
	c.shared(&m.Group, func(r *row) *string { return &r.Group })
	c.sizes(&m.QueueLength, func(r *row) *int64 { return &r.QueueLen })
	c.shared(&m.LinkType, func(r *row) *string { return &r.LinkType })
	c.texts(&m.Address, func(r *row) *string { return &r.Address })
	c.shared(&m.Broadcast, func(r *row) *string { return &r.Broadcast })
	c.texts(&m.Rest, func(r *row) *string { return &r.Rest })
	c.texts(&m.AlternativeNames, func(r *row) *string { return &r.AltNames })
	c.texts(&m.Alias, func(r *row) *string { return &r.Alias })
	c.shared(&m.Xdp, func(r *row) *string { return &r.XDP })
	c.texts(&m.XdpPrograms, func(r *row) *string { return &r.XDPPrograms })
	c.sizes(&m.RxBytes, func(r *row) *int64 { return &r.RX.Bytes })
	c.sizes(&m.RxPackets, func(r *row) *int64 { return &r.RX.Packets })
	c.sizes(&m.RxErrors, func(r *row) *int64 { return &r.RX.Errors })
	c.sizes(&m.RxDropped, func(r *row) *int64 { return &r.RX.Dropped })
	c.sizes(&m.RxMissed, func(r *row) *int64 { return &r.RX.Missed })
	c.sizes(&m.RxMulticast, func(r *row) *int64 { return &r.RX.Multicast })
	c.sizes(&m.RxCompressed, func(r *row) *int64 { return &r.RX.Compressed })
	c.sizes(&m.TxBytes, func(r *row) *int64 { return &r.TX.Bytes })
	c.sizes(&m.TxPackets, func(r *row) *int64 { return &r.TX.Packets })
	c.sizes(&m.TxErrors, func(r *row) *int64 { return &r.TX.Errors })
	c.sizes(&m.TxDropped, func(r *row) *int64 { return &r.TX.Dropped })
	c.sizes(&m.TxCarrier, func(r *row) *int64 { return &r.TX.Carrier })
	c.sizes(&m.TxCollisions, func(r *row) *int64 { return &r.TX.Collisions })
	c.sizes(&m.TxCompressed, func(r *row) *int64 { return &r.TX.Compressed })
}

func socketColumns(c *columns[dtc.Socket], m *SocketColumns) {
	type row = dtc.Socket
	c.shared(&m.Protocol, func(r *row) *string { return &r.Protocol })
	c.shared(&m.State, func(r *row) *string { return &r.State })
	c.sizes(&m.ReceiveQueueBytes, func(r *row) *int64 { return &r.ReceiveQueue })
	c.sizes(&m.SendQueueBytes, func(r *row) *int64 { return &r.SendQueue })
	c.shared(&m.LocalAddress, func(r *row) *string { return &r.LocalAddress })
	c.ints(&m.LocalPort, func(r *row) *int { return &r.LocalPort })
	c.shared(&m.RemoteAddress, func(r *row) *string { return &r.RemoteAddress })
	c.ints(&m.RemotePort, func(r *row) *int { return &r.RemotePort })
	c.shared(&m.User, func(r *row) *string { return &r.User })
	c.owners(&m.OwnerCount, &m.Owners, func(r *row) *[]dtc.SocketOwner { return &r.Owners })
}

func ownerColumns(c *columns[dtc.SocketOwner], m *OwnerColumns) {
	type row = dtc.SocketOwner
	c.ints(&m.Pid, func(r *row) *int { return &r.PID })
	c.shared(&m.Name, func(r *row) *string { return &r.Name })
	c.ints(&m.Fd, func(r *row) *int { return &r.FD })
}

func userColumns(c *columns[dtc.User], m *UserColumns) {
	type row = dtc.User
	c.shared(&m.User, func(r *row) *string { return &r.Name })
	c.texts(&m.Line, func(r *row) *string { return &r.Line })
	login := timeColumn{nanos: &m.LoginNanos, zone: &m.LoginZone, zones: &m.Zones}
	c.times(login, func(r *row) *time.Time { return &r.LoginAt })
	c.shared(&m.From, func(r *row) *string { return &r.From })
	c.ints(&m.Pid, func(r *row) *int { return &r.PID })
}

func serviceColumns(c *columns[dtc.Service], m *ServiceColumns) {
	type row = dtc.Service
	c.texts(&m.Name, func(r *row) *string { return &r.Name })
	c.shared(&m.Load, func(r *row) *string { return &r.Load })
	c.shared(&m.State, func(r *row) *string { return &r.State })
	c.shared(&m.SubState, func(r *row) *string { return &r.SubState })
	since := timeColumn{nanos: &m.SinceNanos, zone: &m.SinceZone, zones: &m.Zones}
	c.times(since, func(r *row) *time.Time { return &r.Since })
	c.ints(&m.Pid, func(r *row) *int { return &r.PID })
	c.texts(&m.Description, func(r *row) *string { return &r.Description })
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
	f.text(&m.StaticHostname, &v.StaticHostname)
	f.text(&m.PrettyHostname, &v.PrettyHostname)
	f.text(&m.IconName, &v.IconName)
	f.text(&m.Chassis, &v.Chassis)
	f.text(&m.Deployment, &v.Deployment)
	f.text(&m.Location, &v.Location)
	f.text(&m.MachineId, &v.MachineID)
	f.text(&m.BootId, &v.BootID)
	f.text(&m.PrettyName, &v.PrettyName)
	f.text(&m.CpeName, &v.CPEName)
	f.text(&m.HardwareVendor, &v.HardwareVendor)
	f.text(&m.HardwareModel, &v.HardwareModel)
	f.text(&m.FirmwareVersion, &v.FirmwareVersion)
}
