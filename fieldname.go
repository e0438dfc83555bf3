package dtc

import (
	"fmt"
	"slices"
	"strings"
)

// SortField returns the field that an entry of [Selection.Sort] means, and
// whether the largest value comes first. The error is as [Selection.Check]'s.
func SortField(status Status, text string) (field string, descending bool, err error) {
	name, down := strings.CutPrefix(text, "-")
	up := false
	if !down {
		name, up = strings.CutPrefix(name, "+")
	}
	field, err = FieldNamed(status, name)
	if err != nil {
		return "", false, invalidf("--sort %s: %w", text, err)
	}
	if field == "processes" {
		return "", false, invalidf("--sort %s: a list has no order", text)
	}
	return field, down || !up && isFigure(field), nil
}

// isFigure tells whether a field is an amount, of which the largest is of
// interest.
func isFigure(field string) bool {
	switch field {
	case "threads", "queue_length", "accept_queue", "accept_queue_limit":
		return true
	}
	for _, unit := range []string{
		"_bytes", "_percent", "_seconds", "_inodes", "_packets", "_errors", "_dropped", "_missed", "_multicast", "_carrier", "_collisions", "_compressed",
	} {
		if strings.HasSuffix(field, unit) {
			return true
		}
	}
	return false
}

// FieldNamed returns the field of a status that a person calls name: the field's
// own name, or what the tool of that status calls it ("%CPU", "rss", "Avail"),
// in any case. The error names the nearest.
func FieldNamed(status Status, name string) (string, error) {
	fields := FieldNames(status)
	lower := strings.ToLower(name)
	if slices.Contains(fields, lower) {
		return lower, nil
	}
	known := fields
	for _, a := range aliases(status) {
		if a[0] == lower || a[0] == "%"+lower {
			return a[1], nil
		}
		known = append(known, a[0])
	}
	if near := Nearest(lower, known); near != "" && name != "" {
		return "", fmt.Errorf("%s has no field %q: did you mean %q? it has %s", status, name, near, strings.Join(fields, " "))
	}
	return "", fmt.Errorf("%s has no field %q: it has %s", status, name, strings.Join(fields, " "))
}

// aliases returns other names of a status' fields: those of the tool's columns
// and of its options.
func aliases(status Status) [][2]string {
	switch status {
	case StatusProcess:
		return [][2]string{
			{"%cpu", "cpu_percent"},
			{"pcpu", "cpu_percent"},
			{"cpu", "cpu_percent"},
			{"%mem", "mem_percent"},
			{"pmem", "mem_percent"},
			{"mem", "mem_percent"},
			{"vsz", "vsz_bytes"},
			{"rss", "rss_bytes"},
			{"tt", "tty"},
			{"stat", "state"},
			{"start", "started_at"},
			{"start_time", "started_at"},
			{"time", "cpu_seconds"},
			{"cputime", "cpu_seconds"},
			{"comm", "name"},
			{"args", "command"},
			{"cmd", "command"},
			{"nlwp", "threads"},
		}
	case StatusOpenFiles:
		return [][2]string{{"size", "size_bytes"}, {"size/off", "size_bytes"}}
	case StatusDisk:
		return [][2]string{
			{"1k-blocks", "total_bytes"},
			{"size", "total_bytes"},
			{"used", "used_bytes"},
			{"available", "available_bytes"},
			{"avail", "available_bytes"},
			{"use%", "used_percent"},
			{"mounted on", "mounted_on"},
			{"mounted", "mounted_on"},
			{"inodes", "total_inodes"},
			{"iused", "used_inodes"},
			{"ifree", "free_inodes"},
		}
	case StatusInterfaces:
		return [][2]string{{"mtu", "mtu_bytes"}, {"qlen", "queue_length"}, {"mac", "address"}, {"brd", "broadcast"}, {"altname", "alternative_names"}}
	case StatusSockets:
		return [][2]string{
			{"netid", "protocol"},
			{"recv-q", "receive_queue_bytes"},
			{"send-q", "send_queue_bytes"},
			{"local", "local_address"},
			{"peer", "remote_address"},
			{"peer_address", "remote_address"},
			{"peer_port", "remote_port"},
			{"process", "processes"},
		}
	case StatusUsers:
		return [][2]string{{"name", "user"}, {"time", "login_at"}, {"comment", "from"}}
	case StatusServices:
		return [][2]string{{"unit", "name"}, {"active", "state"}, {"sub", "sub_state"}, {"main_pid", "pid"}, {"mainpid", "pid"}}
	default:
		return objectAliases(status)
	}
}

// objectAliases is aliases for what is no list.
func objectAliases(status Status) [][2]string {
	switch status {
	case StatusMemory:
		return [][2]string{
			{"total", "total_bytes"},
			{"used", "used_bytes"},
			{"free", "free_bytes"},
			{"shared", "shared_bytes"},
			{"buffers", "buffers_bytes"},
			{"buff/cache", "cached_bytes"},
			{"available", "available_bytes"},
			{"swap-total", "swap_total_bytes"},
			{"swap-used", "swap_used_bytes"},
			{"swap-free", "swap_free_bytes"},
		}
	case StatusCPU:
		return [][2]string{
			{"%usr", "user"},
			{"%nice", "nice"},
			{"%sys", "system"},
			{"%iowait", "iowait"},
			{"%irq", "irq"},
			{"%soft", "softirq"},
			{"%steal", "steal"},
			{"%guest", "guest"},
			{"%gnice", "guest_nice"},
			{"%idle", "idle"},
		}
	case StatusPlatform:
		return [][2]string{{"version", "platform_version"}, {"uptime", "uptime_seconds"}}
	default:
		return nil
	}
}
