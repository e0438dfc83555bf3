package follow

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// handle is an open file.
type handle = windows.Handle

// owner is a security identifier as text.
type owner string

func (o owner) trusted() bool {
	switch o {
	case "S-1-5-18", "S-1-5-32-544", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464":
		return true // SYSTEM, Administrators, TrustedInstaller
	}
	return false
}

var errLink = errors.New("a link is in the path")

// Everything is shared, so that whoever writes the file can also rename and
// remove it.
const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

func create(path string, access, flags uint32) (handle, error) {
	p, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(p, access, share, nil, windows.OPEN_EXISTING, flags, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return h, nil
}

// longPath lifts the limit of 260 characters.
func longPath(path string) string {
	if len(path) < 248 || len(path) > 1 && path[0] == '\\' && path[1] == '\\' {
		return path
	}
	return `\\?\` + path
}

// openPlain opens the regular file at path, which no link may be a part of.
func openPlain(path string) (handle, error) {
	h, err := create(path, windows.GENERIC_READ, windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		if info, serr := os.Lstat(path); serr == nil && info.IsDir() {
			return 0, notRegular(path)
		}
		return 0, err
	}
	var info windows.ByHandleFileInformation
	if kind, err := windows.GetFileType(h); err != nil || kind != windows.FILE_TYPE_DISK {
		_ = windows.CloseHandle(h)
		return 0, notRegular(path)
	}
	err = windows.GetFileInformationByHandle(h, &info)
	switch {
	case err != nil:
		_ = windows.CloseHandle(h)
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	case info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0, diverted(h, path):
		_ = windows.CloseHandle(h)
		return 0, &fs.PathError{Op: "open", Path: path, Err: errLink}
	case info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0:
		_ = windows.CloseHandle(h)
		return 0, notRegular(path)
	}
	return h, nil
}

func notRegular(path string) error { return &Refusal{path, "it is not a regular file"} }

func isLink(err error) bool { return errors.Is(err, errLink) }

func readLink(path string) (string, owner, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", "", err
	}
	if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) == 0 {
		return "", "", nil
	}
	target, err := os.Readlink(path)
	if err != nil {
		return "", "", err
	}
	h, err := create(path, windows.READ_CONTROL, windows.FILE_FLAG_OPEN_REPARSE_POINT|windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	who, err := ownerOf(h)
	return target, who, err
}

func ownerOf(h handle) (owner, error) {
	sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return "", err
	}
	sid, _, err := sd.Owner()
	if err != nil || sid == nil {
		return "", err
	}
	return owner(sid.String()), nil
}

func readAt(h handle, b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var done uint32
	at := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.ReadFile(h, b, &done, &at)
	if err != nil && !errors.Is(err, windows.ERROR_HANDLE_EOF) {
		return int(done), os.NewSyscallError("ReadFile", err)
	}
	return int(done), nil
}

// basicInfo is FILE_BASIC_INFO.
type basicInfo struct {
	Creation, Access, Write, Change int64 // 100 ns since 1601
	Attributes                      uint32
	_                               uint32
}

// standardInfo is FILE_STANDARD_INFO.
type standardInfo struct {
	Allocation, End int64
	Links           uint32
	DeletePending   byte
	Directory       byte
	_               uint16
}

// idInfo is FILE_ID_INFO.
type idInfo struct {
	Volume uint64
	ID     [16]byte
}

func query[T any](h handle, class uint32, into *T) error {
	return windows.GetFileInformationByHandleEx(h, class, (*byte)(unsafe.Pointer(into)), uint32(unsafe.Sizeof(*into)))
}

func statHandle(h handle) (Stat, error) {
	var basic basicInfo
	var standard standardInfo
	if err := query(h, windows.FileBasicInfo, &basic); err != nil {
		return Stat{}, os.NewSyscallError("GetFileInformationByHandleEx", err)
	}
	if err := query(h, windows.FileStandardInfo, &standard); err != nil {
		return Stat{}, os.NewSyscallError("GetFileInformationByHandleEx", err)
	}
	st := Stat{Size: standard.End, Modified: unixNano(basic.Write), Changed: unixNano(basic.Change), Links: uint64(standard.Links)}
	if standard.DeletePending != 0 {
		st.Links = 0
	}
	return st, nil
}

// unixNano converts 100 ns since 1601; 0 stays 0.
func unixNano(t int64) int64 {
	if t == 0 {
		return 0
	}
	return (t - 116444736000000000) * 100
}

// identify returns the identity of an open file. Where there is no 128-bit id
// the 64-bit index stands for it. The creation time is left out: the id of NTFS
// counts the reuses of its record itself, while a new file gets the time of the
// one that had its name within the last 15 s (tunneling), and other systems
// behind this interface move it with each write.
func identify(h handle) (Identity, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return Identity{}, os.NewSyscallError("GetFileInformationByHandle", err)
	}
	id := Identity{
		Device: uint64(info.VolumeSerialNumber),
		Node:   [2]uint64{uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)},
	}
	var full idInfo
	if err := query(h, windows.FileIdInfo, &full); err == nil && full != (idInfo{}) {
		id.Device = full.Volume
		id.Node = [2]uint64{binary.LittleEndian.Uint64(full.ID[:8]), binary.LittleEndian.Uint64(full.ID[8:])}
	}
	return id, nil
}

func glance(path string) (Identity, Stat, error) {
	h, err := openPlain(path)
	if err != nil {
		return Identity{}, Stat{}, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	id, err := identify(h)
	if err != nil {
		return Identity{}, Stat{}, err
	}
	st, err := statHandle(h)
	return id.Light(), st, err
}

// At reports whether path leads to this very file.
func (f *File) At(path string) (bool, error) {
	h, err := create(path, 0, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	id, err := identify(h)
	return id == f.id, err
}

// unwritten: Windows has no way to ask that does not disturb.
func unwritten(handle) bool { return false }

func closeHandle(h handle) error { return windows.CloseHandle(h) }

// HoldsNames says that no other file can be given the name of one that is open,
// whatever whoever opened it shares: true but for POSIX semantics, which a
// writer must ask for, and which not every file system has.
const HoldsNames = true

// descriptorLimit: handles are only bounded by memory.
func descriptorLimit() int { return 1 << 16 }

// StampOf returns a stamp that is never settled: not every file system of
// Windows keeps the times of folders.
func StampOf(dir string) (Stamp, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return Stamp{}, err
	}
	return Stamp{modified: info.ModTime().UnixNano(), changed: time.Now().UnixNano()}, nil
}

// volumeOf returns what is known of the file system of an open file: whether it
// is another machine's.
func volumeOf(h handle) volume {
	path := make([]uint16, 4)
	for {
		n, err := windows.GetFinalPathNameByHandle(h, &path[0], uint32(len(path)), 0)
		if err != nil {
			return volume{counts: true}
		}
		if int(n) <= len(path) {
			path = path[:n]
			break
		}
		path = make([]uint16, n)
	}
	if strings.HasPrefix(windows.UTF16ToString(path), `\\?\UNC\`) {
		return volume{remote: "network"}
	}
	return volume{counts: true}
}

// isStale: Windows has no such error.
func isStale(error) bool { return false }

// isNotDir: a folder of the path is missing, or the file is about to go.
func isNotDir(err error) bool {
	return errors.Is(err, windows.ERROR_PATH_NOT_FOUND) || errors.Is(err, windows.ERROR_DELETE_PENDING)
}
