package status

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// Limits of what is remembered of mapped files, in bytes: above the first all
// is forgotten at the next process, above the second at once.
const (
	maxMapped     = 1 << 20
	maxMappedEver = 8 << 20
)

// mappedFiles are the files that processes have mapped. Many share a library: it
// is looked at once.
type mappedFiles struct {
	rows  map[string]*mappedRow         // by what stands in maps
	files map[proc.FileID]*mappedMarker // of the rows
	bytes int                           // about how many they take
	round uint64                        // counts the processes
	last  []byte                        // what stood in the last line
}

// mappedRow is what is shown of a mapped file in each process that has it.
type mappedRow struct {
	row    dtc.OpenFile // but for the process and its lock
	marker *mappedMarker
}

// mappedMarker remembers the last process that had a file, under any name.
type mappedMarker struct {
	id    proc.FileID
	round uint64
}

// begin begins with another process.
func (m *mappedFiles) begin() {
	if m.rows == nil || m.bytes > maxMapped {
		m.forget()
	}
	m.round++
	m.last = m.last[:0]
}

func (m *mappedFiles) forget() {
	m.rows, m.files, m.bytes = make(map[string]*mappedRow), make(map[proc.FileID]*mappedMarker), 0
}

// marker returns the marker of a file.
func (m *mappedFiles) marker(id proc.FileID) *mappedMarker {
	k, ok := m.files[id]
	if !ok {
		k = &mappedMarker{id: id}
		m.files[id] = k
		m.bytes += 64
	}
	return k
}

// keep remembers a row.
func (m *mappedFiles) keep(line string, row *mappedRow) {
	const overhead = 320
	if m.bytes > maxMappedEver {
		m.forget()
	}
	m.rows[line] = row
	m.bytes += len(line) + len(row.row.Name) + overhead
}

// maps are the files that a process has in its memory, each once and without
// its program.
func (r *fileReader) maps(program proc.FileID) {
	if r.lines.Open(r.in) != nil {
		return
	}
	defer r.lines.Close()
	m := &r.mapped
	m.begin()
	if program != (proc.FileID{}) {
		m.marker(program).round = m.round
	}
	for {
		line, ok := r.lines.Next()
		if !ok {
			return
		}
		if bytes.Equal(line.File, m.last) {
			continue // most files are mapped in several pieces
		}
		m.last = append(m.last[:0], line.File...)
		row, known := m.rows[string(line.File)]
		if !known {
			row = r.learn(line)
		}
		if row.marker == nil || row.marker.round == m.round {
			continue
		}
		row.marker.round = m.round
		f := row.row
		f.PID, f.User, f.Command = r.base.PID, r.base.User, r.base.Command
		f.Lock = r.lock(row.marker.id)
		r.shared += len(f.Name)
		r.put(f)
	}
}

// learn looks at a file that no process had before. Its path is taken for ours,
// as lsof does: of a process in a container it may lead nowhere or to another
// file, which is said then. The texts are of its own, as they are kept.
func (r *fileReader) learn(line proc.MapsLine) *mappedRow {
	row := new(mappedRow)
	file, ok := line.Mapped()
	if ok {
		row.marker = r.mapped.marker(file.ID)
		f := dtc.OpenFile{FD: "mem", SizeBytes: dtc.Absent, Offset: dtc.Absent}
		st, err := r.statMapped(line.Addresses, &file)
		if id := fileID(&st); err == nil && id == file.ID {
			r.file(&f, file.Path, &st)
			f.Node, f.Name = strings.Clone(f.Node), strings.Clone(f.Name)
		} else {
			r.notFound(&f, &file, id, err)
		}
		row.row = f
	}
	r.mapped.keep(string(line.File), row)
	return row
}

// notFound fills in what maps says of a file that its path does not lead to: it
// leads to found or, with an error, nowhere.
func (r *fileReader) notFound(f *dtc.OpenFile, file *proc.MappedFile, found proc.FileID, err error) {
	device := [2]uint32{file.ID.Major, file.ID.Minor}
	name := r.mounts.appendServer(nil, file.Path, file.ID)
	switch {
	case file.Deleted:
		f.FD = "DEL"
	case err != nil:
		name = appendReason(name, "stat", err)
	default:
		name = appendOtherFile(name, file.ID, found)
	}
	f.Type = r.sizedType(unix.S_IFREG, device, file.Path)
	f.Device = r.device(device)
	f.Node = strconv.FormatUint(file.ID.Inode, 10)
	f.Name = string(name)
}

// statMapped looks at the file behind a mapping by its path, as far as that can
// be done without asking a file server on the way. Of a file that is on one
// itself the kernel is asked by the mapping, which not everybody may.
func (r *fileReader) statMapped(addresses []byte, file *proc.MappedFile) (st unix.Statx_t, err error) {
	const resolveCached = 0x20 // RESOLVE_CACHED in linux/openat2.h, from 5.12 on
	path := r.host.rooted(string(file.Path))
	fd, cached := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolveCached})
	if cached == nil {
		defer func() { _ = unix.Close(fd) }()
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
		return st, err
	}
	remote := r.mounts.isRemote([2]uint32{file.ID.Major, file.ID.Minor})
	if remote {
		path = r.host.path(string(r.inProcess("map_files/" + mapFile(addresses))))
	} else if r.mounts.leadsToRemote(file.Path) {
		return st, cached
	}
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &st)
	if remote && err != nil {
		err = cached
	}
	return st, err
}

// mapFile is the name that a mapping has in the directory map_files: its
// addresses without leading zeros.
func mapFile(addresses []byte) string {
	from, to, _ := strings.Cut(string(addresses), "-")
	return strings.TrimLeft(from, "0") + "-" + strings.TrimLeft(to, "0")
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
