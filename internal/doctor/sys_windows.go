package doctor

import (
	"errors"

	"golang.org/x/sys/windows"
)

// space returns how much room a folder's disk has for this user, and its size,
// in bytes.
func space(dir string) (free, total uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, &total, nil)
	return free, total, err
}

// descriptors has nothing to say: Windows has no such limit.
func descriptors(int) Finding { return Finding{} }

// taken tells whether somebody else listens there.
func taken(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }
