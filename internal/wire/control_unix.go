//go:build !windows

package wire

import (
	"context"
	"net"
	"os"
	"path/filepath"
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
	dir, err := openSocketDir(private)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	short, err := dir.path("s")
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
	made := filepath.Join(private, "s")
	if err := os.Chmod(made, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
