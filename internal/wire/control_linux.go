package wire

import (
	"fmt"
	"os"
)

// socketDir is the folder of a socket, open: a socket's path holds 107 bytes at
// most (unix(7)), but one that begins at an open folder is always short enough.
type socketDir struct {
	*os.File
}

func openSocketDir(dir string) (socketDir, error) {
	f, err := os.Open(dir)
	return socketDir{f}, err
}

func (d socketDir) path(name string) (string, error) {
	short := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)
	return short, socketFits(short)
}
