package render

import "os"

// deleteOnClose is FILE_FLAG_DELETE_ON_CLOSE of CreateFileW: the system removes
// the file with its last handle, also when the program is killed.
const deleteOnClose = 0x04000000

// openTemp opens a new file that is gone once it is closed.
func openTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "dtc-*")
	if err != nil {
		return nil, err
	}
	name := f.Name()
	if err := f.Close(); err != nil {
		return nil, err
	}
	f, err = os.OpenFile(name, os.O_RDWR|deleteOnClose, 0o600)
	if err != nil {
		os.Remove(name)
	}
	return f, err
}
