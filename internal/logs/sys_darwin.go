package logs

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// bornAt returns the time of birth of an open file in nanoseconds. With it an
// inode that was given away again is not taken for the old one.
func bornAt(f *os.File) int64 {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	runtime.KeepAlive(f)
	if err != nil {
		return 0
	}
	return st.Btim.Nano()
}

// syncData makes the bytes of f safe from a power loss: F_FULLFSYNC.
func syncData(f *os.File) error { return f.Sync() }

// syncFS is for Linux alone.
func syncFS(*os.File) error { return errors.ErrUnsupported }

// letGo is for Linux alone.
func letGo(*os.File, int64, int64) {}

// bootID names this boot of the machine; "" when the system does not tell.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
