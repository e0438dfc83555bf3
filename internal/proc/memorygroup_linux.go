package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MemoryGroups finds the control groups whose memory processes use: see
// cgroups(7). It is made by [FS.MemoryGroups].
type MemoryGroups struct {
	fs    FS
	first groupMount // version 1, with the memory controller; no dir: there is none
	other groupMount // version 2
}

// groupMount is where a hierarchy of groups is mounted.
type groupMount struct {
	dir  string
	root string // the group that dir shows
}

// MemoryGroups finds where the groups are mounted.
func (f FS) MemoryGroups() (*MemoryGroups, error) {
	g := &MemoryGroups{fs: f}
	err := f.eachLine(func(line []byte) bool {
		g.addMount(string(line))
		return true
	}, "self", "mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for control groups: %w", err)
	}
	if g.first.dir == "" && g.other.dir == "" {
		return nil, errors.New("look for control groups: none that count memory are mounted")
	}
	return g, nil
}

// addMount notes a line of /proc/PID/mountinfo: proc_pid_mountinfo(5).
func (g *MemoryGroups) addMount(line string) {
	const root, dir = 3, 4
	mount, source, ok := strings.Cut(line, " - ")
	at, from := strings.Fields(mount), strings.Fields(source)
	if !ok || len(at) <= dir || len(from) < 3 {
		return
	}
	m := groupMount{dir: unescapeMount(at[dir]), root: unescapeMount(at[root])}
	switch options := strings.Split(from[len(from)-1], ","); {
	case from[0] == "cgroup2" && g.other.dir == "":
		g.other = m
	case from[0] == "cgroup" && g.first.dir == "" && slices.Contains(options, "memory"):
		g.first = m
	}
}

// Counter returns the file that counts the processes which the kernel killed in
// the memory group of a process because it was out of memory, for
// [ReadOOMKills]. The group is the nearest one above the process that counts. The
// error wraps [os.ErrNotExist] if there is none.
func (g *MemoryGroups) Counter(pid int) (file string, err error) {
	data, err := readHead(g.fs.path(strconv.Itoa(pid), "cgroup"), longestLine)
	if err != nil {
		return "", fmt.Errorf("look for the memory group of process %d: %w", pid, goneAsNotExist(err))
	}
	first, other := groupsOf(data)
	if g.first.dir != "" && first != "" {
		return g.first.find(first, "memory.oom_control")
	}
	if g.other.dir == "" || other == "" {
		return "", fmt.Errorf("look for the memory group of process %d: %w", pid, fs.ErrNotExist)
	}
	return g.other.find(other, "memory.events.local", "memory.events")
}

// groupsOf reads /proc/PID/cgroup, with lines "number:controllers:path", and
// returns the paths of the group of version 1 that counts memory, and of the
// one of version 2.
func groupsOf(data []byte) (first, other string) {
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		switch {
		case len(parts) < 3:
		case parts[0] == "0" && parts[1] == "":
			other = parts[2]
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			first = parts[2]
		}
	}
	return first, other
}

// find returns the first of the files that there is in the group, or the nearest
// group above that has one.
func (m groupMount) find(group string, files ...string) (string, error) {
	group = strings.TrimSuffix(group, " (deleted)")
	if m.root != "/" {
		below, ok := strings.CutPrefix(group, m.root)
		if !ok || below != "" && below[0] != '/' {
			return "", fmt.Errorf("group %s: %w", group, fs.ErrNotExist)
		}
		group = below
	}
	if strings.HasPrefix(group, "/..") {
		return "", fmt.Errorf("group %s: %w", group, fs.ErrNotExist) // outside of our cgroup namespace
	}
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		for _, name := range files {
			file := filepath.Join(m.dir, group, name)
			if _, err := os.Stat(file); err == nil {
				return file, nil
			}
		}
		if group == "/" {
			return "", fmt.Errorf("no group counts memory: %w", fs.ErrNotExist)
		}
	}
}

// ReadOOMKills reads from such a file how many processes the kernel has killed:
// the line "oom_kill N", of Linux 4.13 and later.
func ReadOOMKills(file string) (uint64, error) {
	data, err := readHead(file, longestLine)
	if err != nil {
		return 0, err
	}
	return oomKills(data)
}

// oomKills reads the figure of a line "oom_kill N".
func oomKills(data []byte) (uint64, error) {
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, errors.New("it does not count the processes that were killed")
}

// OOMKills returns how many processes the kernel has killed since the boot
// because it was out of memory, in whichever group: oom_kill of /proc/vmstat.
func (f FS) OOMKills() (uint64, error) {
	var kills uint64
	found := false
	err := f.eachLine(func(line []byte) bool {
		if bytes.HasPrefix(line, []byte("oom_kill ")) {
			n, err := oomKills(line)
			kills, found = n, err == nil
			return false
		}
		return true
	}, "vmstat")
	if err == nil && !found {
		err = errors.New("/proc/vmstat does not count the processes that were killed")
	}
	return kills, err
}
