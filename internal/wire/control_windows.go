package wire

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// ownerOnly lets the owner, SYSTEM and the Administrators do anything and nobody
// else, and takes nothing over from the folder above (P): whoever reaches the
// socket can have the service make invitations.
const ownerOnly = "D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

// protect gives a folder an access list that what is made in it inherits.
func protect(dir, list string) error {
	text, err := syscall.UTF16PtrFromString(list)
	if err != nil {
		return err
	}
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	const revision, dacl = 1, 4 // SDDL_REVISION_1, DACL_SECURITY_INFORMATION
	lib := syscall.NewLazyDLL("advapi32.dll")
	var descriptor syscall.Handle
	ok, _, err := lib.NewProc("ConvertStringSecurityDescriptorToSecurityDescriptorW").Call(
		uintptr(unsafe.Pointer(text)), revision, uintptr(unsafe.Pointer(&descriptor)), 0)
	if ok == 0 {
		return err
	}
	defer syscall.LocalFree(descriptor)
	if ok, _, err = lib.NewProc("SetFileSecurityW").Call(uintptr(unsafe.Pointer(name)), dacl, uintptr(descriptor)); ok == 0 {
		return &fs.PathError{Op: "protect", Path: dir, Err: err}
	}
	return nil
}

// listenUnix replaces a socket that nobody listens on. Who may use it is what
// the folder's access list says, which the socket inherits.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := socketFits(path); err != nil {
		return nil, err
	}
	if err := protect(filepath.Dir(path), ownerOnly); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	return ln, nil
}
