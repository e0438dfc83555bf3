//go:build !linux

package wire

import "path/filepath"

// socketDir is the folder of a socket. Its path counts.
type socketDir struct {
	dir string
}

func openSocketDir(dir string) (socketDir, error) { return socketDir{dir}, nil }

func (d socketDir) path(name string) (string, error) {
	path := filepath.Join(d.dir, name)
	return path, socketFits(path)
}

func (d socketDir) Close() error { return nil }
