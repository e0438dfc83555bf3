package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
)

// mountedFS is a line of proc_pid_mountinfo(5).
type mountedFS struct {
	device [2]uint32 // major and minor
	root   string    // folder of the file system that stands at dir
	dir    string
	kind   string
	source string

	// answer is what the kernel said of dir, nil if it was not asked or did not
	// answer in time.
	answer *mountAnswer
}

// mountAnswer is what the kernel says of a mount point.
type mountAnswer struct {
	source  string    // what df calls it
	device  [2]uint32 // of what stands there now
	statErr error
	fs      unix.Statfs_t
	fsErr   error
}

// name is what a question about a file system that does not answer is known by.
// File servers have devices of their own, with the major number 0: what is
// mounted of one at several places does not answer at any of them.
func (m *mountedFS) name() string {
	if m.device[0] == 0 {
		return fmt.Sprint("device ", m.device[1])
	}
	return m.dir
}

// disks answers what df -T prints: the file systems that df of GNU coreutils
// shows, in its order.
func (c *Collector) disks(ctx context.Context) ([]dtc.Disk, []string, error) {
	data, err := os.ReadFile(c.host.path("proc/self/mountinfo"))
	if err != nil {
		return nil, nil, err
	}
	mounts := parseMountTable(data)
	if err := c.host.askMounts(ctx, mounts); err != nil {
		return nil, nil, err
	}
	var notes notes
	var disks []dtc.Disk
	for _, m := range chooseMounts(mounts) {
		switch a := m.answer; {
		case !m.isWanted():
		case a == nil:
			notes.addf("%s: the %s file system of %s does not answer", m.dir, m.kind, m.source)
			disks = append(disks, unknownDisk(m.dir, m.kind, m.source))
		case errors.Is(a.fsErr, fs.ErrNotExist): // another mount hides it
		case a.fsErr != nil:
			notes.addf("%s: %v", m.dir, a.fsErr)
		case a.fs.Blocks > 0:
			disks = append(disks, diskOf(unknownDisk(m.dir, m.kind, a.source), &a.fs))
		}
	}
	return disks, notes, nil
}

// askMounts asks the kernel about the mounts that df may show. However many file
// servers are dead, the machine's own disks are asked: they are counted apart.
func (h *host) askMounts(ctx context.Context, mounts []mountedFS) error {
	var own, remote []*mountedFS
	for i := range mounts {
		switch m := &mounts[i]; {
		case !m.isWanted():
		case isRemote(m.kind):
			remote = append(remote, m)
		default:
			own = append(own, m)
		}
	}
	if err := h.ask(ctx, &h.disks, own); err != nil {
		return err
	}
	return h.ask(ctx, &h.servers, remote)
}

// ask sets the answers of mounts.
func (h *host) ask(ctx context.Context, of *fileSystems, mounts []*mountedFS) error {
	names := make([]string, len(mounts))
	for i, m := range mounts {
		names[i] = m.name()
	}
	answers, err := askFileSystems(ctx, of, names, func(i int) mountAnswer { return h.askMount(mounts[i]) })
	for i, a := range answers {
		mounts[i].answer = &a
	}
	return err
}

// parseMountTable reads proc_pid_mountinfo(5).
func parseMountTable(data []byte) []mountedFS {
	var mounts []mountedFS
	for line := range strings.Lines(string(data)) {
		if m, ok := parseMountLine(strings.TrimSuffix(line, "\n")); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// parseMountLine reads one line. Each field ends at a space, even an empty one:
// a source may be.
func parseMountLine(line string) (m mountedFS, ok bool) {
	const device, root, dir = 2, 3, 4
	before, after, _ := strings.Cut(line, " - ")
	fields, more := strings.SplitN(before, " ", dir+2), strings.SplitN(after, " ", 3)
	if len(fields) <= dir || len(more) < 2 {
		return m, false
	}
	major, minor, _ := strings.Cut(fields[device], ":")
	var errs [2]error
	m.device[0], errs[0] = parseUint32(major)
	m.device[1], errs[1] = parseUint32(minor)
	m.root, m.dir = unescapeMount(fields[root]), unescapeMount(fields[dir])
	m.kind, m.source = unescapeMount(more[0]), unescapeMount(more[1])
	return m, errs == [2]error{}
}

// isWanted tells whether df may show a mount: not if its file system is of a
// type that holds nothing, and not if it stands outside of our root.
func (m *mountedFS) isWanted() bool {
	switch m.kind {
	case "autofs", "proc", "subfs", "debugfs", "devpts", "fusectl", "fuse.portal", "mqueue", "rpc_pipefs", "sysfs",
		"devfs", "kernfs", "ignore", "none":
		return false
	}
	return strings.HasPrefix(m.dir, "/")
}

// isRemote tells whether a file system is one of a server, for df: "host:/dir"
// shows it, and a few types.
func (m *mountedFS) isRemote() bool {
	switch m.kind {
	case "acfs", "afs", "coda", "auristorfs", "fhgfs", "gpfs", "ibrix", "ocfs2", "vxfs":
		return true
	case "smbfs", "smb3", "cifs":
		if strings.HasPrefix(m.source, "//") {
			return true
		}
	}
	return strings.Contains(m.source, ":") || m.source == "-hosts"
}

// askMount asks what stands at a mount point, and what room it has. It may
// never return.
func (h *host) askMount(m *mountedFS) mountAnswer {
	dir := h.path(m.dir)
	a := mountAnswer{source: h.diskName(m.source)}
	var st unix.Stat_t
	if a.statErr = unix.Stat(dir, &st); a.statErr == nil {
		a.device = [2]uint32{unix.Major(st.Dev), unix.Minor(st.Dev)}
	}
	a.fsErr = unix.Statfs(dir, &a.fs)
	return a
}

// chooseMounts returns of the mounts that show one device the one that df
// prefers. Those that it does not want may be among them.
func chooseMounts(mounts []mountedFS) []*mountedFS {
	var chosen []*mountedFS
	last := make(map[[2]uint32]int) // index in chosen of the latest of a device
	for i := range mounts {
		m := &mounts[i]
		device, there := m.device, m.isWanted()
		if a := m.answer; a != nil {
			if there = a.statErr == nil; there {
				device = a.device // it may not be what was mounted there first
			}
		}
		at, seen := last[device]
		switch {
		case !there || !seen || twoServers(chosen[at], m):
			last[device] = len(chosen)
			chosen = append(chosen, m)
		case isBetter(m, chosen[at]):
			chosen[at] = m
		}
	}
	return chosen
}

// twoServers tells whether two mounts of a device were mounted from different
// places of a server.
func twoServers(x, y *mountedFS) bool {
	return x.isRemote() && y.isRemote() && x.source != y.source
}

// isBetter tells whether df prefers m to a mount of the same device that stands
// before it: for a name that is a path; for a shorter mount point, unless that
// shows only a deeper folder of the file system; and for having been mounted
// upon it.
func isBetter(m, than *mountedFS) bool {
	switch {
	case strings.Contains(m.source, "/") && !strings.Contains(than.source, "/"):
		return true
	case len(m.dir) < len(than.dir) && len(m.root) <= len(than.root):
		return true
	default:
		return m.source != than.source && m.dir == than.dir
	}
}

// diskName is what df calls a device. One with a name that ends in a UUID is a
// link to a shorter name. It may never return: who may mount a file system of
// FUSE gives it the name, which may lead anywhere.
func (h *host) diskName(source string) string {
	const uuid = 36
	if len(source) <= uuid || !strings.HasPrefix(source, "/dev/") ||
		strings.Trim(source[len(source)-uuid:], "-0123456789abcdefABCDEF") != "" {
		return source
	}
	if name, err := filepath.EvalSymlinks(h.path(source)); err == nil {
		return "/" + strings.TrimPrefix(strings.TrimPrefix(name, h.root), "/")
	}
	return source
}

// diskOf fills the figures of a row.
func diskOf(d dtc.Disk, fs *unix.Statfs_t) dtc.Disk {
	size := fs.Frsize
	if size <= 0 {
		size = fs.Bsize
	}
	b := blocks{size: uint64(size), total: fs.Blocks, free: fs.Bfree, available: fs.Bavail}
	b.fill(&d)
	inodes{total: fs.Files, free: fs.Ffree}.fill(&d)
	return d
}
