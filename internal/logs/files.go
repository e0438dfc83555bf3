package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// The modes of everything under logs/.
const (
	fileMode   = 0o640
	folderMode = 0o750
)

// fileStat is what the system says of an open file.
type fileStat struct {
	size    int64 // bytes
	links   uint64
	device  uint64
	inode   uint64
	regular bool
}

// fileKey identifies a file instance. The device is compared only within one
// boot: its number may change with the next.
type fileKey struct {
	device uint64
	inode  uint64
	born   int64 // nanoseconds; 0: not known
}

// keyOf returns the identity of an open file.
func keyOf(f *os.File) (fileKey, fileStat, error) {
	st, err := statOf(f)
	if err != nil {
		return fileKey{}, st, err
	}
	return fileKey{device: st.device, inode: st.inode, born: bornAt(f)}, st, nil
}

// errNotPlain refuses what stands where a copy or a side record belongs.
var errNotPlain = errors.New("not a regular file: something else was put in its place")

// openTries is how often a file is looked for again that was replaced while it
// was looked at, as a copy is when a part of it is closed.
const openTries = 5

// openPlain opens a file under root for reading and writing without following
// a symbolic link at its end.
func openPlain(root *os.Root, name string, flag int) (f *os.File, err error) {
	for range openTries {
		if f, err = tryPlain(root, name, flag); !errors.Is(err, errReplaced) {
			break
		}
	}
	return f, err
}

// errReplaced says that another file took a name at this moment.
var errReplaced = errors.New("another file was put in its place at this moment")

func tryPlain(root *os.Root, name string, flag int) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotPlain}
	}
	f, err := root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = &fs.PathError{Op: "open", Path: name, Err: errReplaced}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// createPlain creates a file that is not there yet.
func createPlain(root *os.Root, name string, flag int) (*os.File, error) {
	f, err := root.OpenFile(name, flag|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(fileMode); err != nil { // whatever the umask says
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeFolder makes sure that root has the folder name, and that it is one.
func makeFolder(root *os.Root, name string) error {
	err := root.Mkdir(name, folderMode)
	switch {
	case err == nil:
		if err := root.Chmod(name, folderMode); err != nil {
			return err
		}
		return syncDir(root, ".")
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	st, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("open folder %s: not a folder: something else was put in its place", name)
	}
	return nil
}

// sideName returns the name of the side record of an alias.
func sideName(alias string) string { return "." + alias + ".dtc" }

// pathCheck is how often the writer looks whether the path of a copy still
// leads to the file that it has open.
const pathCheck = 50 * time.Millisecond
