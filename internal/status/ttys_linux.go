package status

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ttys names terminals by their device numbers as ps does: by
// /proc/tty/drivers, and where that does not help by what the process itself
// has open as its standard error.
type ttys struct {
	host    *host
	drivers []ttyDriver
	names   map[int]string
}

// ttyDriver is a line of /proc/tty/drivers.
type ttyDriver struct {
	name        string // below /dev
	exact       bool   // the name needs a number behind it
	major       uint32
	first, last uint32 // minor numbers
}

func newTTYs(h *host) *ttys { return &ttys{host: h} }

// name is the name of the terminal with the number nr of field 7 of
// proc_pid_stat(5), the controlling one of the process pid.
func (t *ttys) name(nr, pid int) string {
	if nr == 0 {
		return noTTY
	}
	if name, ok := t.names[nr]; ok {
		return name
	}
	if t.names == nil {
		t.names = make(map[int]string)
		data, _ := os.ReadFile(t.host.path("proc/tty/drivers"))
		t.drivers = parseTTYDrivers(data)
	}
	major, minor := uint32(nr)>>8&0xfff, uint32(nr)&0xff|uint32(nr)>>12&0xfff00
	name := t.byDriver(major, minor)
	for _, fd := range []string{"2", "255"} {
		if name == "" {
			name = t.byLink(filepath.Join("proc", strconv.Itoa(pid), "fd", fd), major, minor)
		}
	}
	if name == "" {
		name = noTTY
	}
	t.names[nr] = name
	return name
}

// byDriver tries the ways in which drivers name their terminals.
func (t *ttys) byDriver(major, minor uint32) string {
	number := strconv.FormatUint(uint64(minor), 10)
	for _, d := range t.drivers {
		if d.major != major || minor < d.first || minor > d.last {
			continue
		}
		names := []string{d.name + number, d.name + "/" + number}
		if !d.exact {
			names = append(names, d.name)
		}
		for _, name := range names {
			if exists, is := t.device(filepath.Join("dev", name), major, minor); exists {
				if is {
					return name
				}
				break
			}
		}
		return ""
	}
	return ""
}

// byLink names the file that a link leads to, if it is the terminal.
func (t *ttys) byLink(link string, major, minor uint32) string {
	target, err := os.Readlink(t.host.path(link))
	if err != nil || !strings.HasPrefix(target, "/dev/") {
		return ""
	}
	if _, is := t.device(target[1:], major, minor); !is {
		return ""
	}
	return printableASCII(strings.TrimPrefix(target, "/dev/"))
}

// device says whether there is such a file, and whether it is this device.
func (t *ttys) device(path string, major, minor uint32) (exists, is bool) {
	var st unix.Stat_t
	if err := unix.Stat(t.host.path(path), &st); err != nil {
		return false, false
	}
	return true, unix.Major(st.Rdev) == major && unix.Minor(st.Rdev) == minor
}

// parseTTYDrivers reads /proc/tty/drivers, the last line first as ps does.
func parseTTYDrivers(data []byte) []ttyDriver {
	var drivers []ttyDriver
	for line := range bytes.Lines(data) {
		_, rest, ok := bytes.Cut(line, []byte(" /dev/"))
		fields := bytes.Fields(rest)
		if !ok || len(fields) < 3 {
			continue
		}
		d := ttyDriver{name: printableASCII(string(fields[0]))}
		d.name, d.exact = strings.CutSuffix(d.name, "%d")
		first, last, isRange := strings.Cut(string(fields[2]), "-")
		if !isRange {
			last = first
		}
		var errs [3]error
		d.major, errs[0] = parseUint32(string(fields[1]))
		d.first, errs[1] = parseUint32(first)
		d.last, errs[2] = parseUint32(last)
		if errs == [3]error{} {
			drivers = append([]ttyDriver{d}, drivers...)
		}
	}
	return drivers
}

func parseUint32(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err
}

func printableASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
