//go:build !windows

package render

import "os"

// openTemp opens a new file that only this program can read, and that is gone
// once it is closed: it has no name any more.
func openTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "dtc-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
