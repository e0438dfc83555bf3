package status

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"

	"dtc/internal/proc"
)

// mounts are the mounts that lsof treats in a way of their own, and those that
// may not answer.
type mounts struct {
	servers []serverMount // the last mounted first
	queues  [][2]uint32   // devices of POSIX message queues
	remote  []remoteMount
}

// remoteMount is a mount that depends on someone else: it may never answer.
type remoteMount struct {
	device [2]uint32
	dir    string
}

// serverMount is a mount of a file server.
type serverMount struct {
	device [2]uint32
	dir    string
	source string // "server:/export"
}

// readMounts reads proc_pid_mountinfo(5).
func (h *host) readMounts() mounts {
	data, err := os.ReadFile(h.path("proc/self/mountinfo"))
	if err != nil {
		return mounts{}
	}
	return parseMounts(data)
}

func parseMounts(data []byte) mounts {
	var m mounts
	for line := range bytes.Lines(data) {
		// Most mounts are of no interest, and a host can have many thousands.
		before, after, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" - "))
		kind, after, _ := bytes.Cut(after, []byte(" "))
		if string(kind) != "mqueue" && !isRemote(string(kind)) {
			continue
		}
		source, _, _ := bytes.Cut(after, []byte(" "))
		m.add(string(kind), strings.Fields(string(before)), string(source))
	}
	slices.Reverse(m.servers)
	return m
}

// isRemote tells whether a file system is of a kind that can block for ever: it
// asks another machine, or a program.
func isRemote(kind string) bool {
	switch kind {
	case "fuse", "fuseblk", "nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "coda", "orangefs",
		"gfs2", "ocfs2", "gpfs", "beegfs", "ncpfs", "autofs", "vboxsf":
		return true
	case "lustre": //nolint:misspell // its name
		return true
	default:
		return strings.HasPrefix(kind, "fuse.")
	}
}

// add adds a mount of the given kind. Its fields are those of mountinfo up to
// the kind.
func (m *mounts) add(kind string, fields []string, source string) {
	if len(fields) < 5 {
		return
	}
	major, minor, _ := strings.Cut(fields[2], ":")
	var device [2]uint32
	var errs [2]error
	device[0], errs[0] = parseUint32(major)
	device[1], errs[1] = parseUint32(minor)
	if errs != [2]error{} {
		return
	}
	dir := unescapeMount(fields[4])
	switch kind {
	case "mqueue":
		m.queues = append(m.queues, device)
		return
	case "nfs", "nfs3", "nfs4":
		m.servers = append(m.servers, serverMount{device, dir, unescapeMount(source)})
	}
	m.remote = append(m.remote, remoteMount{device, dir})
}

// unescapeMount undoes the kernel's octal escapes of white space.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (m *mounts) isQueue(device [2]uint32) bool { return slices.Contains(m.queues, device) }

// isRemote tells whether a device is a remote one.
func (m *mounts) isRemote(device [2]uint32) bool {
	return slices.ContainsFunc(m.remote, func(r remoteMount) bool { return r.device == device })
}

// leadsToRemote tells whether a path leads to a remote mount.
func (m *mounts) leadsToRemote(path []byte) bool {
	return slices.ContainsFunc(m.remote, func(r remoteMount) bool {
		rest, ok := bytes.CutPrefix(path, []byte(r.dir))
		return ok && (len(rest) == 0 || rest[0] == '/')
	})
}

// appendServer appends the name of the file server behind a path to it, if it
// is on one.
func (m *mounts) appendServer(b, path []byte, id proc.FileID) []byte {
	b = append(b, path...)
	for _, s := range m.servers {
		if s.device == [2]uint32{id.Major, id.Minor} && bytes.HasPrefix(path, []byte(s.dir)) {
			return append(append(append(b, " ("...), s.source...), ')')
		}
	}
	return b
}
