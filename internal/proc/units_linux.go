package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds on what is looked at of control groups: who may make some can make many.
const (
	maxGroups     = 4096 // folders of one unit, and folders with slices
	maxGroupDepth = 32
	maxGroupSize  = 1 << 20 // processes of a unit
	maxGroupNames = 100_000 // entries of one folder
)

// Units finds the processes of units of systemd: it keeps those of each in a
// control group of the unit's name, see cgroups(7). Only units of the system are
// found: a user's own manager could have one of any name.
type Units struct {
	roots []string // where the hierarchies are mounted in which systemd keeps units
}

// Units looks where the control groups are.
func (f FS) Units() (*Units, error) {
	u := new(Units)
	err := f.eachLine(func(line []byte) bool {
		if at, ok := unitHierarchy(string(line)); ok && !slices.Contains(u.roots, at) {
			u.roots = append(u.roots, at)
		}
		return true
	}, "self", "mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look where control groups are: %w", err)
	}
	if len(u.roots) == 0 {
		return nil, errors.New("look where control groups are: none are mounted")
	}
	return u, nil
}

// unitHierarchy returns where a line of proc_pid_mountinfo(5) says that version 2
// of control groups is mounted, or systemd's own hierarchy of version 1.
func unitHierarchy(line string) (at string, ok bool) {
	const dir, options = 4, 2
	mount, source, ok := strings.Cut(line, " - ")
	where, from := strings.Fields(mount), strings.Fields(source)
	if !ok || len(where) <= dir || len(from) <= options {
		return "", false
	}
	if from[0] == "cgroup2" || from[0] == "cgroup" && slices.Contains(strings.Split(from[options], ","), "name=systemd") {
		return unescapeMount(where[dir]), true
	}
	return "", false
}

// unescapeMount undoes the escapes of mountinfo: a backslash and three octal
// digits.
func unescapeMount(path string) string {
	if !strings.Contains(path, `\`) {
		return path
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// UnitName returns the whole name of a unit: without a kind it is a service.
func UnitName(name string) string {
	switch filepath.Ext(name) {
	case ".service", ".scope", ".slice", ".socket", ".mount", ".swap":
		return name
	default:
		return name + ".service"
	}
}

// Usual returns where the folders of a unit are when it runs, if it is one of the
// usual kind. The name is a plain one.
func (u *Units) Usual(name string) []string {
	dirs := make([]string, len(u.roots))
	for i, root := range u.roots {
		dirs[i] = filepath.Join(root, "system.slice", name)
	}
	return dirs
}

// Find returns the folders of the units with these whole names, in their order:
// none of one that does not run. A unit may have one in each hierarchy.
func (u *Units) Find(names []string) [][]string {
	found := make([][]string, len(names))
	s := unitSearch{names: names, found: found, left: maxGroups}
	for _, root := range u.roots {
		s.slice(root, 0)
	}
	return found
}

// unitSearch walks through slices, in which units are.
type unitSearch struct {
	names []string
	found [][]string
	left  int // folders that may be looked at
}

func (s *unitSearch) slice(dir string, depth int) {
	if s.left--; s.left < 0 || depth > maxGroupDepth {
		return
	}
	for _, name := range subgroups(dir) {
		// systemd puts a mark before what the kernel could take for its own.
		unit := strings.TrimPrefix(name, "_")
		for i, wanted := range s.names {
			if wanted == unit || wanted == name {
				s.found[i] = append(s.found[i], filepath.Join(dir, name))
			}
		}
		if strings.HasSuffix(name, ".slice") {
			s.slice(filepath.Join(dir, name), depth+1)
		}
	}
}

// subgroups returns the names of the folders in a control group.
func subgroups(dir string) []string {
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = folder.Close() }()
	entries, _ := folder.ReadDir(maxGroupNames)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// GroupPIDs appends the processes in a control group and in those below it,
// ascending. The error is [fs.ErrNotExist] if the group is not there (any more).
func GroupPIDs(into []int, dir string) ([]int, error) {
	start, left := len(into), maxGroups
	into, err := groupPIDs(into, dir, &left)
	if err != nil {
		return into, err
	}
	found := into[start:]
	slices.Sort(found)
	return into[:start+len(slices.Compact(found))], nil
}

func groupPIDs(into []int, dir string, left *int) ([]int, error) {
	data, err := readGroup(dir + "/cgroup.procs")
	if err != nil {
		return into, err
	}
	into = appendGroup(into, data)
	if !hasSubgroups(dir) {
		return into, nil
	}
	for _, name := range subgroups(dir) {
		if *left--; *left < 0 || len(into) > maxGroupSize {
			break
		}
		below, err := groupPIDs(into, dir+"/"+name, left)
		if err == nil {
			into = below // else it has gone meanwhile
		}
	}
	return into, nil
}

// hasSubgroups asks for what costs less than a listing: a folder without others
// in it has two links.
func hasSubgroups(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) != nil || st.Nlink != 2
}

// readGroup reads the list of a group's processes. One of threads only has none.
func readGroup(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxGroupSize*8))
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, nil
	case errors.Is(err, unix.ENODEV):
		return nil, fs.ErrNotExist
	}
	return data, err
}

// appendGroup appends the pids of a list, one a line. Processes of another
// namespace are 0.
func appendGroup(into []int, data []byte) []int {
	for line := range bytes.Lines(data) {
		if pid, rest := number(line); pid > 0 && pid < 1<<31 && len(rest) <= 1 {
			into = append(into, int(pid))
		}
	}
	return into
}
