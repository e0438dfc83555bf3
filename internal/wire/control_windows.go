package wire

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
)

// listenUnix replaces a socket that nobody listens on. Who may use it is what
// the folder's access list says, which the socket inherits.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := socketFits(path); err != nil {
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
