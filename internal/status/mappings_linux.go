package status

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dtc/internal/proc"
)

// maxMapped bounds how many files are remembered that processes have mapped.
const maxMapped = 10000

// statResult is what stat(2) said.
type statResult struct {
	st  unix.Statx_t
	err error
}

// maps are the files that a process has in its memory, each once and without
// its program.
func (r *fileReader) maps(program proc.FileID) {
	data, err := r.in.ReadAll("maps")
	if err != nil || len(data) == 0 {
		return
	}
	// What the scanner returned is overwritten by the calls below only in its
	// other buffers.
	clear(r.seen)
	for len(data) > 0 {
		m, rest, ok := proc.ParseMapping(data)
		data = rest
		if !ok || m.File == program && program != (proc.FileID{}) {
			continue
		}
		if _, again := r.seen[m.File]; again {
			continue
		}
		r.seen[m.File] = struct{}{}
		r.mapping(&m)
	}
}

// mapping puts one file. Its path is taken for ours, as lsof does: of a process
// in a container it may lead nowhere or to another file, which is said then.
func (r *fileReader) mapping(m *proc.Mapping) {
	f := r.base
	f.FD = "mem"
	found := r.statMapping(m)
	id := fileID(&found.st)
	if found.err == nil && id == m.File {
		r.file(&f, m.Path, &found.st)
		r.put(f)
		return
	}
	name := m.Path
	switch {
	case m.Deleted:
		f.FD = "DEL"
	case found.err != nil:
		r.line = appendReason(append(r.line[:0], name...), "stat", found.err)
		name = r.line
	default:
		r.line = appendOtherFile(append(r.line[:0], name...), m.File, id)
		name = r.line
	}
	f.Type = "REG"
	f.Name = r.text.string(name)
	f.Device = r.device([2]uint32{m.File.Major, m.File.Minor})
	f.Node = r.number(m.File.Inode)
	f.Lock = r.lock(m.File)
	r.put(f)
}

// statMapping looks at the file behind a mapping by its path. Many processes
// share a library: it is looked at once.
func (r *fileReader) statMapping(m *proc.Mapping) statResult {
	if known, ok := r.mapped[string(m.Path)]; ok {
		return known
	}
	if len(r.mapped) >= maxMapped {
		clear(r.mapped)
	}
	var found statResult
	path := string(m.Path)
	found.err = unix.Statx(unix.AT_FDCWD, r.host.path(path), unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &found.st)
	r.mapped[path] = found
	return found
}

// appendOtherFile says that the path leads to another file than is mapped.
func appendOtherFile(b []byte, mapped, found proc.FileID) []byte {
	sameDevice := mapped.Major == found.Major && mapped.Minor == found.Minor
	b = append(b, ' ')
	if !sameDevice {
		b = fmt.Appendf(b, "(path dev=%d,%d", found.Major, found.Minor)
		if mapped.Inode == found.Inode {
			return append(b, ')')
		}
		b = append(b, ", "...)
	} else {
		b = append(b, "(path "...)
	}
	return fmt.Appendf(b, "inode=%d)", found.Inode)
}
