//go:build !windows

package wire

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// listenUnix makes the socket in a folder that only its owner can enter, sets
// its mode, and moves it into its place: at no time can another user reach it,
// and no time is without a socket.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	private, err := os.MkdirTemp(filepath.Dir(path), ".c")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	ln, err := listenAt(ctx, made)
	if err != nil {
		return nil, err
	}
	err = os.Rename(made, path)
	if err == nil {
		return ln, nil
	}
	ln.Close()
	if errors.Is(err, syscall.EXDEV) { // a confined process on Linux before 5.19
		return listenInPlace(ctx, path)
	}
	return nil, err
}

// listenInPlace is for who may not move a file from one folder to another: its
// umask has to keep others away.
func listenInPlace(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return listenAt(ctx, path)
}

// listenAt makes a socket that only its owner may connect to.
func listenAt(ctx context.Context, path string) (net.Listener, error) {
	dir, err := openSocketDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	short, err := dir.path(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it does not stay where it was made
	}
	if err := closeToOthers(path); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// closeToOthers lets only the owner of a socket connect to it. A process that may
// not change modes, because it confines itself, has a umask that does it.
func closeToOthers(path string) error {
	err := os.Chmod(path, 0o600)
	if err == nil {
		return nil
	}
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return err
}
