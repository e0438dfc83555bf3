package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Stat is what changes of a file.
type Stat struct {
	Size     int64
	Modified int64  // ns since 1970
	Changed  int64  // ns since 1970, of the inode; 0 where there is none
	Links    uint64 // names that it has
}

// File is an open regular file: as long as it is open its bytes stay, also when
// it has no name any more, and no other file gets its identity.
type File struct {
	host   *Host
	id     Identity
	real   string   // path at the time of opening, without symbolic links; of a rotated file that which it was rotated from
	via    []string // folders of the symbolic links that led to it
	volume volume   // where it lies

	displaced bool // another file has its identity by now; guarded by who holds its chain

	mu     sync.RWMutex // held for reading while handle is in use
	handle handle
	closed bool
	packed *packed // what the file is an archive of, if that stands for its bytes; see Unpacker.Unpack
}

// Identity returns which file it is.
func (f *File) Identity() Identity { return f.id }

// Real returns the path that the file had when it was opened, without symbolic
// links; of a rotated file the path that it was rotated from.
func (f *File) Real() string { return f.real }

// Via returns the folders of the symbolic links that led to the file, nil if
// there were none.
func (f *File) Via() []string { return f.via }

// Remote reports whether the file lies on a file system whose changes the
// system does not tell of, or is not known to.
func (f *File) Remote() bool { return f.volume.remote != "" }

// System names the file system of a remote file in a word or two, "" of
// another.
func (f *File) System() string { return f.volume.remote }

// volume is what is known of a file system.
type volume struct {
	remote string // its name, if the system does not tell of all changes in it
	sparse bool   // what it says of holes can be relied on
	counts bool   // the numbers of its files count how often they were given away
	prompt bool   // the size of its files is told without waiting for anything
}

// Weak reports whether another file may have f's identity once f is gone from
// its file system.
func (f *File) Weak() bool { return !f.id.Strong() && !f.volume.counts }

// ReadAt reads as io.ReaderAt does. The error is [ErrPending] if the bytes are
// in an archive and not decompressed yet.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch {
	case f.closed:
		return 0, os.ErrClosed
	case f.packed != nil:
		return f.packed.readAt(b, off)
	default:
		n, err := readAt(f.handle, b, off)
		return n, stale(err)
	}
}

// Stat returns the file's present state. The size is that of what is read from
// it: of an archive that of its content.
func (f *File) Stat() (Stat, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return Stat{}, os.ErrClosed
	}
	st, err := f.stat()
	if f.packed != nil {
		st.Size = f.packed.found.Length
	}
	return st, stale(err)
}

func (f *File) stat() (Stat, error) {
	if f.volume.prompt {
		if st, ok := statPromptly(f.handle); ok {
			return st, nil
		}
	}
	return statHandle(f.handle)
}

// readCached is ReadAt for who needs no more than least bytes, and is glad of
// more: what is in the cache is not waited for.
func (f *File) readCached(b []byte, off int64, least int) (int, error) {
	f.mu.RLock()
	if f.volume.prompt && !f.closed && f.packed == nil {
		if n := readPromptly(f.handle, b, off); n > 0 && n >= least {
			f.mu.RUnlock()
			return n, nil
		}
	}
	f.mu.RUnlock()
	return f.ReadAt(b, off)
}

// Close releases the descriptor. A second call does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.packed != nil {
		f.packed.stop()
	}
	f.host.open.Add(-1)
	return closeHandle(f.handle)
}

// Unwritten reports whether it is certain that no process has the file open for
// writing. It asks only of a file without a name: asking of another could make
// its next writer wait.
func (f *File) Unwritten() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return false
	}
	st, err := statHandle(f.handle)
	return err == nil && st.Links == 0 && unwritten(f.handle)
}

// Writers says whether some process has the file open for writing, and whether
// that is known. Where the file has a name, who opens it for writing at this
// very moment may have to wait for as long as the question takes: it is for
// files that nobody writes to once they are made.
func (f *File) Writers() (some, known bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return false, false
	}
	return writers(f.handle)
}

// Open opens the regular file at path for reading, wherever symbolic links
// lead. The error is a *Refusal if what is there may not be followed.
func (h *Host) Open(path string) (*File, error) {
	if h.open.Add(1) > h.limit {
		h.open.Add(-1)
		return nil, fmt.Errorf("open %s: %w", path, ErrBudget)
	}
	f, err := h.openFile(path)
	if err != nil {
		h.open.Add(-1)
		return nil, err
	}
	return f, nil
}

func (h *Host) openFile(path string) (*File, error) {
	hd, err := openPlain(path)
	if err == nil {
		return h.newFile(hd, path)
	}
	if !isLink(err) {
		return nil, err
	}
	var last error
	for range 4 { // a link may change under our feet
		route, err := resolve(path)
		if err != nil {
			return nil, err
		}
		if hd, last = openPlain(route.path); last != nil {
			continue
		}
		f, err := h.newFile(hd, route.path)
		if err != nil {
			return nil, err
		}
		if err := route.allowed(path, f); err != nil {
			_ = closeHandle(hd)
			return nil, err
		}
		f.via = route.folders
		return f, nil
	}
	if isLink(last) {
		return nil, &Refusal{path, "a link in its path changes all the time, or does not say where it leads"}
	}
	return nil, last
}

func (h *Host) newFile(hd handle, path string) (*File, error) {
	id, err := identify(hd)
	if err != nil {
		_ = closeHandle(hd)
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	return &File{host: h, id: id, real: path, volume: volumeOf(hd), handle: hd}, nil
}

// route is where the symbolic links of a path lead.
type route struct {
	path    string
	folders []string // where the links are
	owners  []owner  // of the links
}

const maxLinks = 40

// resolve follows the symbolic links of path, one component after the other, up
// to where nothing is.
func resolve(path string) (route, error) {
	r := route{path: filepath.VolumeName(path) + string(filepath.Separator)}
	rest := splitPath(path)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		at := filepath.Join(r.path, name)
		target, who, err := readLink(at)
		if err != nil {
			r.path = filepath.Join(at, filepath.Join(rest...))
			return r, err
		}
		if target == "" {
			r.path = at
			continue
		}
		if len(r.owners) == maxLinks {
			return route{}, &Refusal{path, "too many symbolic links"}
		}
		r.folders = append(r.folders, r.path)
		r.owners = append(r.owners, who)
		if filepath.IsAbs(target) {
			r.path = filepath.VolumeName(target) + string(filepath.Separator)
		}
		rest = append(splitPath(target), rest...)
	}
	return r, nil
}

// dangling returns where the links of path lead where nothing is, if all of them
// are root's; else path.
func dangling(path string) string {
	r, err := resolve(path)
	if !gone(err) || slices.ContainsFunc(r.owners, func(o owner) bool { return !o.trusted() }) {
		return path
	}
	return r.path
}

// allowed reports whether every link on the way to f is root's or belongs to
// who owns f. Else anybody could have the secrets of others sent.
func (r *route) allowed(path string, f *File) error {
	target, err := ownerOf(f.handle)
	if err != nil {
		return fmt.Errorf("read the owner of %s: %w", r.path, err)
	}
	for _, o := range r.owners {
		if !o.trusted() && o != target {
			return &Refusal{path, "a symbolic link to it belongs neither to root nor to the owner of the file"}
		}
	}
	return nil
}

func splitPath(path string) []string {
	path = strings.TrimPrefix(filepath.Clean(path), filepath.VolumeName(path))
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}
