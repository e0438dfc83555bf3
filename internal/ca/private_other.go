//go:build !windows

package ca

import (
	"errors"
	"fmt"
	"io/fs"

	"dtc/internal/atomicfile"
)

// checkMode refuses a key that others than its owner may use.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("read %s: it is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("read %s: its mode %04o lets others use the key: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// replacePrivate replaces a private file, which may not be there yet. One that
// is there keeps its owner: root's commands must not take it from the service.
func replacePrivate(path string, data []byte) error {
	err := atomicfile.Replace(path, data)
	if errors.Is(err, fs.ErrNotExist) {
		return atomicfile.Private(path, data)
	}
	return err
}
