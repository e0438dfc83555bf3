package dtc

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Selection says which items of a list are wanted, and in which order. The
// host applies it before anything crosses the wire. The zero value is all, in
// the host's order. An item is wanted if each list that is not empty has
// something that fits it.
type Selection struct {
	PIDs  []int    // process ids
	Users []string // names or numbers of users
	Names []string // globs of path.Match, or regular expressions of RE2 between slashes: "nginx*", "/^(sshd|cron)$/"
	Paths []string // globs of a path: "*" stays within a folder, "**" does not
	Ports []int    // of either end of a socket

	// Sort is the field to sort by: largest first for figures, else ascending;
	// a "+" before it is ascending, a "-" descending. Items without a value come
	// last, equal ones keep the host's order. "" is the host's order.
	Sort string

	// Limit is how many items are wanted of each host, after sorting. 0 is all.
	Limit int
}

// Limits of a selection, against hostile ones.
const (
	MaxSelected     = 1024 // entries of one of its lists
	MaxSelectedText = 4096 // bytes of an entry
)

// IsZero tells whether s wants all, in the host's order.
func (s *Selection) IsZero() bool {
	return !s.filters() && s.Sort == "" && s.Limit == 0
}

func (s *Selection) filters() bool {
	return len(s.PIDs)+len(s.Users)+len(s.Names)+len(s.Paths)+len(s.Ports) > 0
}

// selectable returns by which criteria the items of a status can be selected, in
// the words of the command's flags.
func selectable(status Status) []string {
	switch status {
	case StatusProcess:
		return []string{"pid", "user", "name", "sort", "limit"}
	case StatusOpenFiles:
		return []string{"pid", "user", "name", "path", "port", "sort", "limit"}
	case StatusSockets:
		return []string{"pid", "user", "name", "port", "sort", "limit"}
	case StatusUsers:
		return []string{"pid", "user", "sort", "limit"}
	case StatusServices:
		return []string{"pid", "name", "sort", "limit"}
	case StatusDisk:
		return []string{"path", "sort", "limit"}
	case StatusInterfaces:
		return []string{"name", "sort", "limit"}
	default:
		return nil
	}
}

// Check returns why s makes no sense for a status, nil if it does: a [*Error]
// with [KindInvalid] whose text begins with the flag that is wrong.
func (s *Selection) Check(status Status) error {
	given := []struct {
		flag string
		n    int
	}{
		{"pid", len(s.PIDs)},
		{"user", len(s.Users)},
		{"name", len(s.Names)},
		{"path", len(s.Paths)},
		{"port", len(s.Ports)},
		{"sort", len(s.Sort)},
		{"limit", s.Limit},
	}
	possible := selectable(status)
	for _, g := range given {
		switch {
		case g.n == 0:
		case !slices.Contains(possible, g.flag):
			return invalidf("--%s: %s cannot be selected by that%s", g.flag, status, orBy(possible))
		case g.flag != "sort" && g.flag != "limit" && g.n > MaxSelected:
			return invalidf("--%s: %d values, at most %d are possible", g.flag, g.n, MaxSelected)
		}
	}
	if err := s.checkNumbers(); err != nil {
		return err
	}
	if err := s.checkTexts(); err != nil {
		return err
	}
	if s.Sort != "" {
		if _, _, err := SortField(status, s.Sort); err != nil {
			return err
		}
	}
	return nil
}

func orBy(possible []string) string {
	if len(possible) == 0 {
		return ""
	}
	return ", but by --" + strings.Join(possible, ", --")
}

func (s *Selection) checkNumbers() error {
	for _, pid := range s.PIDs {
		if pid < 0 {
			return invalidf("--pid %d: expected a process id, 0 or above", pid)
		}
	}
	for _, port := range s.Ports {
		if port < 1 || port > 65535 {
			return invalidf("--port %d: expected a port from 1 to 65535", port)
		}
	}
	if s.Limit < 0 {
		return invalidf("--limit %d: expected a number of items from 1, or 0 for all", s.Limit)
	}
	return nil
}

func (s *Selection) checkTexts() error {
	for _, list := range []struct {
		flag  string
		texts []string
		check func(string) error
	}{
		{"user", s.Users, func(string) error { return nil }},
		{"name", s.Names, func(name string) error { _, err := NameMatcher(name); return err }},
		{"path", s.Paths, func(glob string) error { return checkGlob(strings.ReplaceAll(glob, "**", "*")) }},
	} {
		for _, text := range list.texts {
			switch {
			case text == "":
				return invalidf("--%s: expected a value, got an empty one", list.flag)
			case len(text) > MaxSelectedText:
				return invalidf("--%s: a value of %d bytes, at most %d are possible", list.flag, len(text), MaxSelectedText)
			}
			if err := list.check(text); err != nil {
				return invalidf("--%s %s: %w", list.flag, text, err)
			}
		}
	}
	return nil
}

// NameMatcher returns what tells whether a name fits an entry of
// [Selection.Names].
func NameMatcher(pattern string) (func(name string) bool, error) {
	if expr, ok := strings.CutPrefix(pattern, "/"); ok {
		expr, ok = strings.CutSuffix(expr, "/")
		if !ok {
			return nil, errors.New("a regular expression must end with a slash, as in /^ssh/")
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	if err := checkGlob(pattern); err != nil {
		return nil, err
	}
	// A slash is a character like others in a name: "kworker/0:1".
	glob := strings.ReplaceAll(pattern, "/", "\x00")
	return func(name string) bool {
		ok, err := path.Match(glob, strings.ReplaceAll(name, "/", "\x00"))
		return name == pattern || ok && err == nil
	}, nil
}

func checkGlob(glob string) error {
	if _, err := path.Match(glob, ""); err != nil {
		return errors.New("not a pattern: a [ without its ], or a \\ at its end")
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return &Error{Kind: KindInvalid, Err: fmt.Errorf(format, args...)}
}

// SortField returns the field that an entry of [Selection.Sort] means, and
// whether the largest value comes first. The error is as [Selection.Check]'s.
func SortField(status Status, text string) (field string, descending bool, err error) {
	name, down := strings.CutPrefix(text, "-")
	name, up := strings.CutPrefix(name, "+")
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
	case "threads", "load1", "load5", "load15":
		return true
	}
	for _, unit := range []string{"_bytes", "_percent", "_seconds", "_inodes", "_packets", "_errors", "_dropped", "_missed", "_multicast", "_carrier", "_collisions"} {
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
		if a[0] == lower {
			return a[1], nil
		}
		known = append(known, a[0])
	}
	if near := Nearest(lower, known); near != "" {
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
			{"%cpu", "cpu_percent"}, {"pcpu", "cpu_percent"}, {"cpu", "cpu_percent"}, {"%mem", "mem_percent"}, {"pmem", "mem_percent"},
			{"mem", "mem_percent"}, {"vsz", "vsz_bytes"}, {"rss", "rss_bytes"}, {"tt", "tty"}, {"stat", "state"}, {"start", "started_at"},
			{"start_time", "started_at"}, {"time", "cpu_seconds"}, {"cputime", "cpu_seconds"}, {"comm", "name"}, {"args", "command"},
			{"cmd", "command"}, {"nlwp", "threads"},
		}
	case StatusOpenFiles:
		return [][2]string{{"size", "size_bytes"}, {"size/off", "size_bytes"}}
	case StatusDisk:
		return [][2]string{
			{"1k-blocks", "total_bytes"}, {"size", "total_bytes"}, {"used", "used_bytes"}, {"available", "available_bytes"},
			{"avail", "available_bytes"}, {"use%", "used_percent"}, {"mounted on", "mounted_on"}, {"mounted", "mounted_on"},
			{"inodes", "total_inodes"}, {"iused", "used_inodes"}, {"ifree", "free_inodes"},
		}
	case StatusInterfaces:
		return [][2]string{{"mtu", "mtu_bytes"}, {"qlen", "queue_length"}, {"mac", "address"}, {"brd", "broadcast"}, {"altname", "alternative_names"}}
	case StatusSockets:
		return [][2]string{
			{"netid", "protocol"}, {"recv-q", "receive_queue_bytes"}, {"send-q", "send_queue_bytes"}, {"local", "local_address"},
			{"peer", "remote_address"}, {"peer_address", "remote_address"}, {"peer_port", "remote_port"}, {"process", "processes"},
		}
	case StatusUsers:
		return [][2]string{{"name", "user"}, {"time", "login_at"}, {"host", "from"}, {"comment", "from"}}
	case StatusServices:
		return [][2]string{{"unit", "name"}, {"active", "state"}, {"sub", "sub_state"}, {"main_pid", "pid"}, {"mainpid", "pid"}}
	case StatusMemory:
		return [][2]string{
			{"total", "total_bytes"}, {"used", "used_bytes"}, {"free", "free_bytes"}, {"shared", "shared_bytes"},
			{"buffers", "buffers_bytes"}, {"buff/cache", "cached_bytes"}, {"available", "available_bytes"},
			{"swap-total", "swap_total_bytes"}, {"swap-used", "swap_used_bytes"}, {"swap-free", "swap_free_bytes"},
		}
	case StatusCPU:
		return [][2]string{
			{"%usr", "user"}, {"%nice", "nice"}, {"%sys", "system"}, {"%iowait", "iowait"}, {"%irq", "irq"}, {"%soft", "softirq"},
			{"%steal", "steal"}, {"%guest", "guest"}, {"%gnice", "guest_nice"}, {"%idle", "idle"},
		}
	case StatusPlatform:
		return [][2]string{{"version", "platform_version"}, {"uptime", "uptime_seconds"}}
	default:
		return nil
	}
}
