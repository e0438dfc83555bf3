package status

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ttys names terminals by their device numbers as ps does: by
// /proc/tty/drivers, and where that does not help by what the process itself
// has open as its standard error, or by the terminal's place among those of its
// driver (ttyS0 has the number 64).
type ttys struct {
	host    *host
	drivers func() []ttyDriver
	names   map[int]string // nil until there is one
}

// ttyDriver is a line of /proc/tty/drivers.
type ttyDriver struct {
	name        string // below /dev
	exact       bool   // the name needs a number behind it
	major       uint32
	first, last uint32 // minor numbers
}

// newTTYs returns what names terminals, for one goroutine. Several may have the
// drivers in common.
func newTTYs(h *host, drivers func() []ttyDriver) *ttys { return &ttys{host: h, drivers: drivers} }

// ttyDrivers reads the drivers when they are first asked for.
func (h *host) ttyDrivers() func() []ttyDriver {
	return sync.OnceValue(func() []ttyDriver {
		data, _ := os.ReadFile(h.path("proc/tty/drivers"))
		return parseTTYDrivers(data)
	})
}

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
	}
	major, minor := uint32(nr)>>8&0xfff, uint32(nr)&0xff|uint32(nr)>>12&0xfff00
	fds := filepath.Join("proc", strconv.Itoa(pid), "fd")
	name := t.byDriver(major, minor)
	if name == "" {
		name = t.byLink(filepath.Join(fds, "2"), major, minor)
	}
	if name == "" {
		name = t.byPlace(major, minor)
	}
	if name == "" {
		name = t.byLink(filepath.Join(fds, "255"), major, minor)
	}
	if name == "" {
		name = noTTY
	}
	t.names[nr] = name
	return name
}

// driver is the one that has the terminal, nil if none has.
func (t *ttys) driver(major, minor uint32) *ttyDriver {
	drivers := t.drivers()
	for i := range drivers {
		if d := &drivers[i]; d.major == major && d.first <= minor && minor <= d.last {
			return d
		}
	}
	return nil
}

// byDriver tries the ways in which drivers name their terminals by the number.
func (t *ttys) byDriver(major, minor uint32) string {
	d := t.driver(major, minor)
	if d == nil {
		return ""
	}
	number := strconv.FormatUint(uint64(minor), 10)
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

// byPlace tries the place of the terminal among those of its driver.
func (t *ttys) byPlace(major, minor uint32) string {
	d := t.driver(major, minor)
	if d == nil {
		return ""
	}
	name := d.name + strconv.FormatUint(uint64(minor-d.first), 10)
	if _, is := t.device(filepath.Join("dev", name), major, minor); !is {
		return ""
	}
	return name
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
