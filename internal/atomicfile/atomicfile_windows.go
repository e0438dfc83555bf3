package atomicfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// privateSDDL lets the owner, SYSTEM and the Administrators do anything and
// nobody else, and takes nothing over from the folder (P).
const privateSDDL = "D:P(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)"

// createPrivate makes a new file beside path that has its access list from the
// first moment.
func createPrivate(path string) (*os.File, error) {
	sd, err := windows.SecurityDescriptorFromString(privateSDDL)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp-"+rand.Text())
	name16, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	handle, err := windows.CreateFile(name16, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, &sa,
		windows.CREATE_NEW, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

// keepOwner does nothing: a new file has the owner and the access list that its
// folder gives to all.
func keepOwner(*os.File, fs.FileInfo) {}

// rename replaces to. A virus scanner or an indexer that has just opened one of
// the two lets go of it within moments, so that failure is tried again for a
// second.
func rename(from, to string) error {
	const step = 20 * time.Millisecond
	for tries := time.Second / step; ; tries-- {
		err := os.Rename(from, to)
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || tries == 0 {
			return err
		}
		<-time.After(step)
	}
}

// syncDir does nothing: Windows has no way to sync a folder, NTFS journals its
// names.
func syncDir(string) error { return nil }
