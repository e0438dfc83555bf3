package status

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"

	"dtc/internal/proc"
)

// mounts are the mounts that lsof treats in a way of their own.
type mounts struct {
	servers []serverMount
	queues  [][2]uint32 // devices of POSIX message queues
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
		before, after, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		fields, more := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(more) < 2 {
			continue
		}
		major, minor, _ := strings.Cut(fields[2], ":")
		var device [2]uint32
		var errs [2]error
		device[0], errs[0] = parseUint32(major)
		device[1], errs[1] = parseUint32(minor)
		if errs != [2]error{} {
			continue
		}
		switch more[0] {
		case "nfs", "nfs3", "nfs4":
			m.servers = append(m.servers, serverMount{device, unescapeMount(fields[4]), unescapeMount(more[1])})
		case "mqueue":
			m.queues = append(m.queues, device)
		}
	}
	return m
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

func (m *mounts) isQueue(major, minor uint32) bool {
	return slices.Contains(m.queues, [2]uint32{major, minor})
}

// appendServer returns path with the name of the file server behind it, if it
// is on one.
func (m *mounts) appendServer(path []byte, id proc.FileID) []byte {
	for _, s := range m.servers {
		if s.device == [2]uint32{id.Major, id.Minor} && bytes.HasPrefix(path, []byte(s.dir)) {
			return append(append(append(bytes.Clone(path), " ("...), s.source...), ')')
		}
	}
	return path
}
