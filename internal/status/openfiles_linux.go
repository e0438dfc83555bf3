package status

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// openFiles answers what lsof -n -P -K i prints, field by field. See lsof(8).
func (c *Collector) openFiles(ctx context.Context, sel *selector, r *dtc.Report, emit func(*dtc.Report) error) error {
	pids, err := c.host.pids()
	if err != nil {
		return err
	}
	s := sweep[dtc.OpenFile]{
		fs: c.host.proc, sel: sel, stuck: &c.host.stuck, stall: stallTime, parts: &c.host.fileParts,
		open: func() reader[dtc.OpenFile] { return newFileReader(c.host) },
	}
	return s.run(ctx, sel.pids(pids), func(part []dtc.OpenFile, last bool, notes []string) error {
		r.OpenFiles, r.Partial, r.Notes = part, !last, notes
		return emit(r)
	})
}

// unknownType is what lsof shows of a file that cannot be looked at.
const unknownType = "unknown"

// fileReader reads what lsof prints of a process.
type fileReader struct {
	host    *host
	users   *userNames
	text    text
	mounts  mounts
	sockets *proc.SocketTable
	locks   map[proc.Lock]byte

	devices map[[2]uint32]string     // as lsof prints them
	mapped  map[string]statResult    // by path: what other processes have mapped too
	seen    map[proc.FileID]struct{} // mapped by this process
	stat    unix.Statx_t
	fds     []int
	name    []byte // of a file in the process' directory
	full    []byte // the same from the root
	line    []byte
	info    proc.FDInfo

	// Of the process being read.
	in      *proc.Scanner
	base    dtc.OpenFile // what all its files have
	careful bool         // nothing may be read of it that can block
	put     func(dtc.OpenFile)
}

func newFileReader(h *host) *fileReader {
	r := &fileReader{
		host:    h,
		users:   h.users.load(),
		mounts:  h.readMounts(),
		sockets: h.proc.Sockets(),
		locks:   make(map[proc.Lock]byte),
		devices: make(map[[2]uint32]string),
		mapped:  make(map[string]statResult),
		seen:    make(map[proc.FileID]struct{}),
	}
	if data, err := os.ReadFile(h.path("proc/locks")); err == nil {
		proc.ParseLocks(data, r.locks)
	}
	return r
}

func (r *fileReader) made() int { return r.text.made() }

func (r *fileReader) notes() []string {
	if err := r.sockets.Err(); err != nil {
		return []string{"sockets: " + strings.ReplaceAll(err.Error(), "\n", ", ")}
	}
	return nil
}

func (r *fileReader) read(p *target, put func(dtc.OpenFile)) {
	if p.stat.State == 'Z' {
		return // it has no files any more
	}
	uid, err := p.in.Owner()
	if err != nil {
		return
	}
	r.in, r.put, r.careful = p.in, put, p.careful
	r.base = dtc.OpenFile{
		PID: p.stat.PID, User: r.users.name(uid), Command: r.text.string(p.stat.Comm),
		SizeBytes: dtc.Absent, Offset: dtc.Absent,
	}
	r.special("cwd", "cwd", uid)
	r.special("root", "rtd", uid)
	program := r.special("exe", "txt", uid)
	if !p.careful {
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
		r.unreadable(&f, r.inProcess(link), "readlink", err)
		if fd == "txt" && errors.Is(err, unix.ENOENT) && uid == 0 {
			f.Name = r.text.string(r.inProcess(link)) // a thread of the kernel has no program
		}
		r.put(f)
		return proc.FileID{}
	}
	source, _ := splitLink(path)
	if err := r.in.Stat(link, &r.stat); err != nil {
		r.unreadable(&f, source, "stat", err)
		r.put(f)
		return proc.FileID{}
	}
	r.file(&f, source, &r.stat)
	r.put(f)
	return fileID(&r.stat)
}

// unreadable fills in a file of which only the name is known, with the reason.
func (r *fileReader) unreadable(f *dtc.OpenFile, name []byte, call string, err error) {
	f.Type = unknownType
	r.line = appendReason(append(r.line[:0], name...), call, err)
	f.Name = r.text.string(r.line)
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
