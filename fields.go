package dtc

import "time"

// Fields is given the fields of an item one after the other, in the order and
// under the names that scripts rely on: those of json and csv, by which a
// selection sorts and a table chooses its columns. A text that is not known is
// empty, a number is Absent or NaN, a time is zero.
type Fields interface {
	Text(name, value string)
	Integer(name string, value int64)
	Number(name string, value float64)
	Time(name string, value time.Time)
	Owners(name string, value []SocketOwner)
}

// Fields gives f the fields of a process.
func (p *Process) Fields(f Fields) {
	f.Integer("pid", int64(p.PID))
	f.Integer("ppid", int64(p.PPID))
	f.Text("user", p.User)
	f.Number("cpu_percent", p.CPUPercent)
	f.Number("mem_percent", p.MemPercent)
	f.Integer("vsz_bytes", p.VSZBytes)
	f.Integer("rss_bytes", p.RSSBytes)
	f.Text("tty", p.TTY)
	f.Text("state", p.State)
	f.Time("started_at", p.StartedAt)
	f.Number("cpu_seconds", p.CPUSeconds)
	f.Text("name", p.Name)
	f.Text("command", p.Command)
	f.Integer("threads", int64(p.Threads))
}

// Fields gives f the fields of an open file.
func (o *OpenFile) Fields(f Fields) {
	f.Integer("pid", int64(o.PID))
	f.Text("user", o.User)
	f.Text("command", o.Command)
	f.Text("fd", o.FD)
	f.Text("mode", o.Mode)
	f.Text("type", o.Type)
	f.Text("device", o.Device)
	f.Integer("size_bytes", o.SizeBytes)
	f.Text("node", o.Node)
	f.Text("name", o.Name)
}

// Fields gives f the fields of a file system.
func (d *Disk) Fields(f Fields) {
	f.Text("filesystem", d.Filesystem)
	f.Text("type", d.Type)
	f.Integer("total_bytes", d.TotalBytes)
	f.Integer("used_bytes", d.UsedBytes)
	f.Integer("available_bytes", d.AvailableBytes)
	f.Number("used_percent", d.UsedPercent)
	f.Text("mounted_on", d.MountedOn)
	f.Integer("total_inodes", d.TotalInodes)
	f.Integer("used_inodes", d.UsedInodes)
	f.Integer("free_inodes", d.FreeInodes)
}

// Fields gives f the fields of a network interface.
func (i *Interface) Fields(f Fields) {
	f.Integer("index", int64(i.Index))
	f.Text("name", i.Name)
	f.Text("lower", i.Lower)
	f.Text("flags", i.Flags)
	f.Integer("mtu_bytes", i.MTUBytes)
	f.Text("qdisc", i.Qdisc)
	f.Text("master", i.Master)
	f.Text("state", i.State)
	f.Text("mode", i.Mode)
	f.Text("group", i.Group)
	f.Integer("queue_length", i.QueueLen)
	f.Text("link_type", i.LinkType)
	f.Text("address", i.Address)
	f.Text("broadcast", i.Broadcast)
	f.Text("rest", i.Rest)
	f.Text("alternative_names", i.AltNames)
	f.Text("alias", i.Alias)
	f.Text("xdp", i.XDP)
	f.Text("xdp_programs", i.XDPPrograms)
	f.Integer("rx_bytes", i.RX.Bytes)
	f.Integer("rx_packets", i.RX.Packets)
	f.Integer("rx_errors", i.RX.Errors)
	f.Integer("rx_dropped", i.RX.Dropped)
	f.Integer("rx_missed", i.RX.Missed)
	f.Integer("rx_multicast", i.RX.Multicast)
	f.Integer("rx_compressed", i.RX.Compressed)
	f.Integer("tx_bytes", i.TX.Bytes)
	f.Integer("tx_packets", i.TX.Packets)
	f.Integer("tx_errors", i.TX.Errors)
	f.Integer("tx_dropped", i.TX.Dropped)
	f.Integer("tx_carrier", i.TX.Carrier)
	f.Integer("tx_collisions", i.TX.Collisions)
	f.Integer("tx_compressed", i.TX.Compressed)
}

// Fields gives f the fields of a socket.
func (s *Socket) Fields(f Fields) {
	f.Text("protocol", s.Protocol)
	f.Text("state", s.State)
	bytes, connections := s.queues()
	f.Integer("receive_queue_bytes", bytes[0])
	f.Integer("send_queue_bytes", bytes[1])
	f.Integer("accept_queue", connections[0])
	f.Integer("accept_queue_limit", connections[1])
	f.Text("local_address", s.LocalAddress)
	f.Integer("local_port", int64(s.LocalPort))
	f.Text("remote_address", s.RemoteAddress)
	f.Integer("remote_port", int64(s.RemotePort))
	f.Text("user", s.User)
	f.Owners("processes", s.Owners)
}

// queues returns what the two queues are counted in: bytes, or connections if
// s listens. The other is Absent.
func (s *Socket) queues() (bytes, connections [2]int64) {
	figures, none := [2]int64{s.ReceiveQueue, s.SendQueue}, [2]int64{Absent, Absent}
	if s.State == "LISTEN" {
		return none, figures
	}
	return figures, none
}

// Fields gives f the fields of a login.
func (u *User) Fields(f Fields) {
	f.Text("user", u.Name)
	f.Text("line", u.Line)
	f.Time("login_at", u.LoginAt)
	f.Text("from", u.From)
	f.Integer("pid", int64(u.PID))
}

// Fields gives f the fields of a service.
func (s *Service) Fields(f Fields) {
	f.Text("name", s.Name)
	f.Text("load", s.Load)
	f.Text("state", s.State)
	f.Text("sub_state", s.SubState)
	f.Time("since", s.Since)
	f.Integer("pid", int64(s.PID))
	f.Text("description", s.Description)
}

// Fields gives f the fields of the memory.
func (m *Memory) Fields(f Fields) {
	f.Integer("total_bytes", m.TotalBytes)
	f.Integer("used_bytes", m.UsedBytes)
	f.Integer("free_bytes", m.FreeBytes)
	f.Integer("shared_bytes", m.SharedBytes)
	f.Integer("buffers_bytes", m.BuffersBytes)
	f.Integer("cached_bytes", m.CachedBytes)
	f.Integer("available_bytes", m.AvailableBytes)
	f.Integer("swap_total_bytes", m.SwapTotalBytes)
	f.Integer("swap_used_bytes", m.SwapUsedBytes)
	f.Integer("swap_free_bytes", m.SwapFreeBytes)
}

// Fields gives f all fields but the list of percentages.
func (c *CPU) Fields(f Fields) {
	f.Text("model", c.Model)
	f.Integer("logical_cores", int64(c.LogicalCores))
	f.Integer("physical_cores", int64(c.PhysicalCores))
	f.Number("load1", c.Load1)
	f.Number("load5", c.Load5)
	f.Number("load15", c.Load15)
	f.Number("interval_seconds", c.IntervalSeconds)
}

// Fields gives f the fields of one line of percentages.
func (p *CPUPercent) Fields(f Fields) {
	f.Text("cpu", p.CPU)
	f.Number("user", p.User)
	f.Number("nice", p.Nice)
	f.Number("system", p.System)
	f.Number("iowait", p.IOWait)
	f.Number("irq", p.IRQ)
	f.Number("softirq", p.SoftIRQ)
	f.Number("steal", p.Steal)
	f.Number("guest", p.Guest)
	f.Number("guest_nice", p.GuestNice)
	f.Number("idle", p.Idle)
}

// Fields gives f the fields of the platform.
func (p *Platform) Fields(f Fields) {
	f.Text("hostname", p.Hostname)
	f.Text("os", p.OS)
	f.Text("platform", p.Platform)
	f.Text("platform_version", p.PlatformVersion)
	f.Text("kernel", p.Kernel)
	f.Text("kernel_version", p.KernelVersion)
	f.Text("arch", p.Arch)
	f.Time("boot_time", p.BootTime)
	f.Number("uptime_seconds", p.UptimeSeconds)
	f.Text("virtualization", p.Virtualization)
}

// FieldNames returns the names of a status' fields in their order; for cpu
// those of the whole and then those of each line of percentages.
func FieldNames(s Status) []string {
	var n fieldNames
	switch s {
	case StatusProcess:
		new(Process).Fields(&n)
	case StatusOpenFiles:
		new(OpenFile).Fields(&n)
	case StatusDisk:
		new(Disk).Fields(&n)
	case StatusInterfaces:
		new(Interface).Fields(&n)
	case StatusSockets:
		new(Socket).Fields(&n)
	case StatusUsers:
		new(User).Fields(&n)
	case StatusServices:
		new(Service).Fields(&n)
	case StatusMemory:
		new(Memory).Fields(&n)
	case StatusCPU:
		new(CPU).Fields(&n)
		new(CPUPercent).Fields(&n)
	case StatusPlatform:
		new(Platform).Fields(&n)
	}
	return n
}

// fieldNames collects the names of the fields that it is given.
type fieldNames []string

func (n *fieldNames) Text(name, _ string)                 { *n = append(*n, name) }
func (n *fieldNames) Integer(name string, _ int64)        { *n = append(*n, name) }
func (n *fieldNames) Number(name string, _ float64)       { *n = append(*n, name) }
func (n *fieldNames) Time(name string, _ time.Time)       { *n = append(*n, name) }
func (n *fieldNames) Owners(name string, _ []SocketOwner) { *n = append(*n, name) }
