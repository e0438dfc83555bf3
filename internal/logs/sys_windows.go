package logs

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/windows"
)

func information(f *os.File) (windows.ByHandleFileInformation, error) {
	var info windows.ByHandleFileInformation
	err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info)
	runtime.KeepAlive(f)
	if err != nil {
		return info, &os.PathError{Op: "GetFileInformationByHandle", Path: f.Name(), Err: err}
	}
	return info, nil
}

// statOf returns what the system says of an open file.
func statOf(f *os.File) (fileStat, error) {
	info, err := information(f)
	if err != nil {
		return fileStat{}, err
	}
	return fileStat{
		size:    int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
		links:   uint64(info.NumberOfLinks),
		device:  uint64(info.VolumeSerialNumber),
		inode:   uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
		regular: info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY == 0,
	}, nil
}

// bornAt is not used on Windows: the file index has a sequence number that
// changes when it is given away again, and the time of creation is one that a
// new file of the same name inherits.
func bornAt(*os.File) int64 { return 0 }

// letReplace closes a file that is about to be replaced: Windows does not
// always put a new file in the place of an open one.
func letReplace(f *os.File) error { return f.Close() }

// lockFile takes an exclusive lock of f, or fails at once. The locked byte
// lies far behind the content: a lock of Windows' keeps readers out of what it
// covers.
func lockFile(f *os.File) error {
	far := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &far)
	runtime.KeepAlive(f)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return fmt.Errorf("lock %s: another program holds it", f.Name())
	}
	if err != nil {
		return &os.PathError{Op: "LockFileEx", Path: f.Name(), Err: err}
	}
	return nil
}

// noRoom tells whether err says that the place where copies are kept cannot
// take bytes now, but may later.
func noRoom(err error) bool {
	for _, e := range []error{
		windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
		windows.ERROR_WRITE_PROTECT, windows.ERROR_IO_DEVICE, windows.ERROR_TOO_MANY_OPEN_FILES,
		windows.ERROR_SHARING_VIOLATION,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// syncData makes the bytes of f safe from a power loss.
func syncData(f *os.File) error { return f.Sync() }

// syncDir has nothing to do: NTFS journals its names, and a folder cannot be
// flushed.
func syncDir(*os.Root, string) error { return nil }

// syncFS is for Linux alone.
func syncFS(*os.File) error { return errors.ErrUnsupported }

// letGo is for Linux alone.
func letGo(*os.File, int64, int64) {}

// bootID is not told by Windows in a form that survives a change of the clock:
// every start verifies what lies behind the last durable mark.
func bootID() string { return "" }

// diskRoom returns the bytes that may still be written where path is, and the
// size of the volume.
func diskRoom(path string) (free, total uint64, err error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, nil); err != nil {
		return 0, 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: path, Err: err}
	}
	return free, total, nil
}

// isTooLong: Windows says that the disk is full.
func isTooLong(error) bool { return false }

// fsctlSetSparse is FSCTL_SET_SPARSE of winioctl.h.
const fsctlSetSparse = 0x000900c4

// makeSparse lets what is not written to f take no room, where the file system
// can do that.
func makeSparse(f *os.File) {
	var n uint32
	_ = windows.DeviceIoControl(windows.Handle(f.Fd()), fsctlSetSparse, nil, 0, nil, 0, &n, nil)
	runtime.KeepAlive(f)
}

// leadsPlainly is for other systems.
func (*place) leadsPlainly(*os.File, string) bool { return false }
