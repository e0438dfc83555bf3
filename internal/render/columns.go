package render

import (
	"slices"
	"strings"

	"dtc"
)

// column is a column of a table.
type column struct {
	field  string // its name
	title  string
	right  bool // figures stand at the right end
	index  int  // of the field in a record; -1 if the format needs another thing
	format format
}

// format appends a value as the tool of its status prints it. v is nil in a
// column that is no field. Nothing is appended of an absent value, or what
// the tool prints for it.
type format func(b []byte, v *value, c *cellContext) []byte

// tableColumns returns the columns of a table: those of the fields that were
// asked for, else the tool's own.
func tableColumns(status dtc.Status, opt Options) []column {
	var columns []column
	if opt.Flat {
		columns = append(columns, column{field: "host", title: "HOST", index: -1, format: showHost})
	}
	fields := opt.Fields
	if fields == nil {
		fields = usualColumns(status)
	}
	var rec record
	if row := emptyRow(status); row != nil {
		rec.take(row)
	}
	tool := toolColumns(status, opt)
	for _, name := range fields {
		i := rec.index(name)
		if at := slices.IndexFunc(tool, func(c column) bool { return c.field == name }); at >= 0 {
			c := tool[at]
			c.index = i
			columns = append(columns, c)
		} else if i >= 0 {
			columns = append(columns, plainColumn(&rec[i], i))
		}
	}
	return columns
}

// plainColumn returns the column of a field that the tool does not print.
func plainColumn(v *value, index int) column {
	return column{
		field: v.name, title: strings.ToUpper(v.name), index: index,
		right: v.kind == kindInteger || v.kind == kindNumber, format: showPlain,
	}
}

// usualColumns returns the columns of the tool, in its order, or those that fit
// on a line where the tool prints no table.
func usualColumns(status dtc.Status) []string {
	switch status {
	case dtc.StatusProcess:
		return strings.Fields("user pid cpu_percent mem_percent vsz_bytes rss_bytes tty state started_at cpu_seconds command")
	case dtc.StatusOpenFiles:
		return strings.Fields("command pid user fd type device size_bytes node name")
	case dtc.StatusDisk:
		return strings.Fields("filesystem type total_bytes used_bytes available_bytes used_percent mounted_on")
	case dtc.StatusInterfaces:
		return strings.Fields("name state mtu_bytes address rx_bytes rx_packets rx_errors rx_dropped tx_bytes tx_packets tx_errors tx_dropped")
	case dtc.StatusSockets:
		return strings.Fields("protocol state receive_queue_bytes send_queue_bytes local remote processes")
	case dtc.StatusUsers:
		return strings.Fields("user line login_at from")
	case dtc.StatusServices:
		return strings.Fields("name load state sub_state pid since description")
	case dtc.StatusMemory:
		return strings.Fields("total_bytes used_bytes free_bytes shared_bytes cached_bytes available_bytes swap_total_bytes swap_used_bytes swap_free_bytes")
	case dtc.StatusCPU:
		return strings.Fields("cpu user nice system iowait irq softirq steal guest guest_nice idle")
	case dtc.StatusPlatform:
		return strings.Fields("hostname os kernel arch platform platform_version uptime_seconds")
	default:
		return nil
	}
}

// toolColumns returns the columns that a tool prints, as it does.
func toolColumns(status dtc.Status, opt Options) []column {
	switch status {
	case dtc.StatusProcess:
		return []column{
			{field: "cpu_percent", title: "%CPU", right: true, format: showCPUPercent},
			{field: "mem_percent", title: "%MEM", right: true, format: showMemPercent},
			{field: "vsz_bytes", title: "VSZ", right: true, format: showKiB},
			{field: "rss_bytes", title: "RSS", right: true, format: showKiB},
			{field: "state", title: "STAT", format: showPlain},
			{field: "started_at", title: "START", right: true, format: showStart},
			{field: "cpu_seconds", title: "TIME", right: true, format: showCPUTime},
		}
	case dtc.StatusOpenFiles:
		return []column{
			{field: "fd", title: "FD", format: showFD},
			{field: "size_bytes", title: "SIZE/OFF", right: true, format: showSizeOrOffset},
		}
	case dtc.StatusDisk:
		return diskColumns(opt)
	case dtc.StatusInterfaces:
		return []column{{field: "mtu_bytes", title: "MTU", right: true, format: showPlain}}
	case dtc.StatusSockets:
		return []column{
			{field: "protocol", title: "Netid", format: showPlain},
			{field: "state", title: "State", format: showPlain},
			{field: "receive_queue_bytes", title: "Recv-Q", right: true, format: showReceiveQueue},
			{field: "send_queue_bytes", title: "Send-Q", right: true, format: showSendQueue},
			{field: "local", title: "Local Address:Port", format: showLocal},
			{field: "remote", title: "Peer Address:Port", format: showRemote},
			{field: "processes", title: "Process", format: showOwners},
		}
	case dtc.StatusUsers:
		return []column{
			{field: "user", title: "NAME", format: showPlain},
			{field: "login_at", title: "TIME", format: showMinute},
			{field: "from", title: "COMMENT", format: showFrom},
		}
	case dtc.StatusServices:
		return []column{
			{field: "name", title: "UNIT", format: showPlain},
			{field: "state", title: "ACTIVE", format: showPlain},
			{field: "sub_state", title: "SUB", format: showPlain},
			{field: "pid", title: "MAINPID", right: true, format: showPlain},
		}
	case dtc.StatusMemory:
		return memoryColumns(opt)
	case dtc.StatusCPU:
		return cpuColumns()
	case dtc.StatusPlatform:
		return []column{
			{field: "platform_version", title: "VERSION", format: showPlain},
			{field: "uptime_seconds", title: "UPTIME", right: true, format: showElapsed},
		}
	default:
		return nil
	}
}

func diskColumns(opt Options) []column {
	total, available, size := "1K-blocks", "Available", showBlocks
	if opt.Human {
		total, available, size = "Size", "Avail", showBlocksHuman
	}
	return []column{
		{field: "filesystem", title: "Filesystem", format: showPlain},
		{field: "type", title: "Type", format: showPlain},
		{field: "total_bytes", title: total, right: true, format: size},
		{field: "used_bytes", title: "Used", right: true, format: size},
		{field: "available_bytes", title: available, right: true, format: size},
		{field: "used_percent", title: "Use%", right: true, format: showUse},
		{field: "mounted_on", title: "Mounted on", format: showPlain},
		{field: "total_inodes", title: "Inodes", right: true, format: showPlain},
		{field: "used_inodes", title: "IUsed", right: true, format: showPlain},
		{field: "free_inodes", title: "IFree", right: true, format: showPlain},
	}
}

func memoryColumns(opt Options) []column {
	size := showKiB
	if opt.Human {
		size = showHuman
	}
	return []column{
		{field: "total_bytes", title: "total", right: true, format: size},
		{field: "used_bytes", title: "used", right: true, format: size},
		{field: "free_bytes", title: "free", right: true, format: size},
		{field: "shared_bytes", title: "shared", right: true, format: size},
		{field: "buffers_bytes", title: "buffers", right: true, format: size},
		{field: "cached_bytes", title: "buff/cache", right: true, format: withBuffers(size)},
		{field: "available_bytes", title: "available", right: true, format: size},
		{field: "swap_total_bytes", title: "swap-total", right: true, format: size},
		{field: "swap_used_bytes", title: "swap-used", right: true, format: size},
		{field: "swap_free_bytes", title: "swap-free", right: true, format: size},
	}
}

func cpuColumns() []column {
	var columns []column
	for _, c := range [...][2]string{
		{"user", "%usr"},
		{"nice", "%nice"},
		{"system", "%sys"},
		{"iowait", "%iowait"},
		{"irq", "%irq"},
		{"softirq", "%soft"},
		{"steal", "%steal"},
		{"guest", "%guest"},
		{"guest_nice", "%gnice"},
		{"idle", "%idle"},
	} {
		columns = append(columns, column{field: c[0], title: c[1], right: true, format: showPlain})
	}
	return columns
}
