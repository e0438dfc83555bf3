// Package atomicfile replaces files in one step and locks them against other
// processes. Whoever reads a file that it writes sees the old content or the
// new one, whole, also after a crash or a power loss.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// privateMode is the mode of a file that holds a secret.
const privateMode = 0o600

// Write makes data the content of the file at path, with exactly the given
// mode (whatever the umask; less where the process may not change modes): it writes a temporary file in the same folder,
// syncs it, renames it over path and syncs the folder. If it fails, path is as
// it was, but for a failure of that last step: then it is new and may become old
// again with a power loss. A symbolic link at path is replaced, not followed.
func Write(path string, data []byte, mode os.FileMode) error {
	return replace(path, data, func(tmp *os.File) error { return setMode(tmp, mode) }, createTemp)
}

// Private is [Write] for a file that holds a secret: nobody but its owner may
// read it at any moment (mode 0600; on Windows an access list of its owner,
// SYSTEM and the Administrators, which inherits nothing).
func Private(path string, data []byte) error {
	return replace(path, data, func(tmp *os.File) error { return setMode(tmp, privateMode) }, createPrivate)
}

// Replace gives new content to a file that is there already and keeps its mode
// and, as far as the caller may, its owner and group. A symbolic link at path
// stays one: the file that it leads to is replaced.
func Replace(path string, data []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "replace", Path: target, Err: errors.New("not a regular file")}
	}
	return replace(target, data, func(tmp *os.File) error {
		keepOwner(tmp, info)
		return setMode(tmp, info.Mode().Perm())
	}, createTemp)
}

// replace does the work of the three: create makes the temporary file beside
// path, prepare gives it its rights before it gets its name.
func replace(path string, data []byte, prepare func(*os.File) error, create func(path string) (*os.File, error)) error {
	tmp, err := create(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = fill(tmp, data, prepare)
	if err == nil {
		err = rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is the one to tell
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// fill writes and syncs the temporary file and closes it in any case.
func fill(tmp *os.File, data []byte, prepare func(*os.File) error) error {
	_, err := tmp.Write(data)
	if err == nil {
		err = prepare(tmp)
	}
	if err == nil {
		err = tmp.Sync()
	}
	return errors.Join(err, tmp.Close())
}

// setMode gives a file a mode. A process that may not change modes, because it
// confines itself, is left with one that allows less.
func setMode(f *os.File, mode os.FileMode) error {
	err := f.Chmod(mode)
	if errors.Is(err, fs.ErrPermission) {
		if info, statErr := f.Stat(); statErr == nil && info.Mode().Perm()&^mode == 0 {
			return nil
		}
	}
	return err
}

// createTemp makes a new file beside path that only its owner may open. The
// name begins with a dot so that nothing that lists the folder takes it up.
func createTemp(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
}
