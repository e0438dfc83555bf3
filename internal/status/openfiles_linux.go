package status

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// fileBlock is how many processes a sweeper takes at a time.
const fileBlock = 8

// openFiles answers what lsof -n -P -K i prints, field by field. See lsof(8).
func (c *Collector) openFiles(ctx context.Context, sel *selector, r *dtc.Report, emit func(*dtc.Report) error) error {
	pids, err := c.host.running()
	if err != nil {
		return err
	}
	defer c.host.putPIDs(pids)
	var tables *fileTables
	if err := c.readings.within(ctx, dtc.StatusOpenFiles, func() { tables = newFileTables(c.host) }); err != nil {
		return fmt.Errorf("list what is open: %w", err)
	}
	if hidden := c.host.hiddenNote(); hidden != "" {
		tables.said = append(tables.said, hidden)
	}
	s := sweep[dtc.OpenFile]{
		fs: c.host.proc, sel: sel, stuck: &c.host.stuck, stall: stallTime, parts: &c.host.fileParts, side: sideBySide(),
		open:  func() reader[dtc.OpenFile] { return newFileReader(tables, c.host.users.Load()) },
		block: fileBlock,
	}
	return s.run(ctx, sel.pids(pids), func(part []dtc.OpenFile, last bool, notes []string) error {
		if last {
			notes = append(notes, tables.said...)
		}
		r.OpenFiles, r.Partial, r.Notes = part, !last, notes
		return emit(r)
	})
}

// fileTables are what the readers of one answer share. They change no more.
type fileTables struct {
	host    *host
	mounts  mounts
	sockets *proc.SocketIndex
	locks   *proc.Locks
	pipes   kernelDevice
	sockfs  kernelDevice
	said    []string // what the operator should know
}

// rooted is a full path as it is in the system's files.
func (h *host) rooted(path string) string {
	if h.root == "/" && strings.HasPrefix(path, "/") {
		return path
	}
	return h.path(path)
}

func newFileTables(h *host) *fileTables {
	t := &fileTables{host: h, sockets: h.proc.IndexSockets(), mounts: h.readMounts(), pipes: pipeDevice(), sockfs: socketDevice()}
	var err error
	t.locks, err = h.proc.Locks()
	if err == nil && t.locks.Many {
		err = errors.New("there are more than can be kept: some are not shown")
	}
	if err != nil {
		t.said = append(t.said, "locks: "+err.Error())
	}
	if err := t.sockets.Err(); err != nil {
		t.said = append(t.said, "sockets: "+strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	return t
}

// kernelDevice is the number of a device that the kernel has for files of one
// kind without a path.
type kernelDevice struct {
	number [2]uint32
	known  bool
}

func pipeDevice() kernelDevice {
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC) != nil {
		return kernelDevice{}
	}
	_ = unix.Close(ends[1])
	return deviceOf(ends[0])
}

func socketDevice() kernelDevice {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return kernelDevice{}
	}
	return deviceOf(fd)
}

// deviceOf closes fd.
func deviceOf(fd int) kernelDevice {
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return kernelDevice{}
	}
	return kernelDevice{[2]uint32{unix.Major(st.Dev), unix.Minor(st.Dev)}, true}
}

// unknownType is what lsof shows of a file that cannot be looked at.
const unknownType = "unknown"

// Limits of what a reader remembers.
const (
	maxDevices = 4096
	maxNumbers = 4096
)

// fileReader reads what lsof prints of a process.
type fileReader struct {
	*fileTables

	users   *proc.UserNames
	devices map[[2]uint32]string // as lsof prints them
	numbers []string             // of descriptors
	mapped  mappedFiles
	lines   proc.Maps
	fds     proc.Descriptors
	stat    unix.Statx_t
	full    []byte // path of a file in the process' directory
	line    []byte
	info    proc.FDInfo
	shared  int // bytes of text that items have in common with others

	// Of the process being read.
	in      *proc.Scanner
	careful bool // nothing may be read of it that can block
	base    dtc.OpenFile
	held    proc.ProcessLocks
	put     func(dtc.OpenFile)
	text    func([]byte) string // makes a string that lives as long as the item that is put next
}

func newFileReader(t *fileTables, users *proc.UserNames) *fileReader {
	return &fileReader{fileTables: t, users: users, devices: make(map[[2]uint32]string)}
}

func (r *fileReader) made() int { return r.shared }

func (*fileReader) notes() []string { return nil }

func (r *fileReader) read(t *target, put func(dtc.OpenFile)) {
	if t.stat.State == 'Z' {
		return // it has no files any more
	}
	uid, err := t.in.Owner()
	if err != nil {
		return
	}
	r.in, r.careful, r.text, r.put = t.in, t.careful, t.text, put
	r.held = r.locks.Process(t.stat.PID)
	// The command is a string of its own: its items may be of several parts.
	command := r.base.Command
	if command != string(t.stat.Comm) {
		command = string(t.stat.Comm)
	}
	r.base = dtc.OpenFile{
		PID: t.stat.PID, User: r.users.Name(uid), Command: command, SizeBytes: dtc.Absent, Offset: dtc.Absent,
	}
	r.special("cwd", "cwd", uid)
	r.special("root", "rtd", uid)
	program := r.special("exe", "txt", uid)
	if !r.careful && !t.stat.KernelThread() {
		r.maps(program)
	}
	r.descriptors()
}

// special is one of the files that a process has without a descriptor.
func (r *fileReader) special(link, fd string, uid uint32) proc.FileID {
	f := r.base
	f.FD = fd
	path, err := r.in.Readlink(link)
	if err != nil {
		f.Type = unknownType
		r.line = append(r.line[:0], r.inProcess(link)...)
		if fd != "txt" || !errors.Is(err, unix.ENOENT) || uid != 0 { // a thread of the kernel has no program
			r.line = appendReason(r.line, "readlink", err)
		}
		f.Name = r.text(r.line)
		r.put(f)
		return proc.FileID{}
	}
	source, _ := splitLink(path)
	if err := r.in.Stat(link, &r.stat); err != nil {
		r.unreadable(&f, source, "stat", err)
		return proc.FileID{}
	}
	r.file(&f, source, &r.stat)
	r.put(f)
	return fileID(&r.stat)
}

// unreadable puts a file of which only the name is known, with the reason.
func (r *fileReader) unreadable(f *dtc.OpenFile, name []byte, call string, err error) {
	f.Type = unknownType
	r.line = appendReason(append(r.line[:0], name...), call, err)
	f.Name = r.text(r.line)
	r.put(*f)
}

// appendReason appends why a call failed, in the words of strerror(3): those of
// the system with a capital.
func appendReason(b []byte, call string, err error) []byte {
	b = append(append(append(b, " ("...), call...), ": "...)
	start := len(b)
	errno, ok := errors.AsType[unix.Errno](err)
	if errno == unix.ESTALE {
		return append(b, "Stale file handle)"...)
	}
	b = append(b, err.Error()...)
	if ok && 'a' <= b[start] && b[start] <= 'z' {
		b[start] -= 'a' - 'A'
	}
	return append(b, ')')
}

// inProcess is the full name of a file in the directory of the process. It is
// valid until the next call.
func (r *fileReader) inProcess(name string) []byte {
	r.full = strconv.AppendInt(append(r.full[:0], "/proc/"...), int64(r.base.PID), 10)
	r.full = append(append(r.full, '/'), name...)
	return r.full
}

// splitLink cuts a link that is no path behind its kind: pipe:[33065]. The rest
// is what stands behind the colon.
func splitLink(link []byte) (source, rest []byte) {
	if len(link) > 0 && link[0] == '/' {
		return link, nil
	}
	for i, c := range link {
		if c == ':' {
			return link[:i], link[i+1:]
		}
	}
	return link, nil
}

func fileID(st *unix.Statx_t) proc.FileID {
	return proc.FileID{Major: st.Dev_major, Minor: st.Dev_minor, Inode: st.Ino}
}
