package logs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watch tells of changes in the folders of a root. Where the system has no
// notifications for them it is silent, and its user looks by itself.
type watch struct {
	root    *os.Root
	notify  *fsnotify.Watcher // nil: none
	folders map[string]bool
	failed  bool
}

// watchBuffer is how many changes wait for the follower.
const watchBuffer = 1024

func newWatch(root *os.Root) *watch {
	w := &watch{root: root, folders: map[string]bool{}}
	n, err := fsnotify.NewBufferedWatcher(watchBuffer)
	if err != nil {
		w.failed = true
		return w // out of instances: slower, but it works
	}
	w.notify = n
	w.failed = n.Add(root.Name()) != nil
	return w
}

// add watches a folder of the root, if it is there.
func (w *watch) add(folder string) {
	if w.notify == nil || w.folders[folder] {
		return
	}
	err := w.notify.Add(filepath.Join(w.root.Name(), folder))
	if errors.Is(err, fs.ErrNotExist) {
		return // the root's watch tells when it comes to be
	}
	w.folders[folder] = true
	if err != nil {
		w.failed = true
	}
}

// forget takes note that a folder may have gone, and its watch with it.
func (w *watch) forget(folder string) { delete(w.folders, folder) }

// works tells whether every change is told.
func (w *watch) works() bool { return !w.failed }

func (w *watch) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

func (w *watch) errors() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// split returns the folder and the name of a path that an event has.
func (*watch) split(path string) (folder, name string) {
	return filepath.Base(filepath.Dir(path)), filepath.Base(path)
}

// isFolder tells whether an event's path is one of a folder of the root.
func (w *watch) isFolder(path string) bool {
	return filepath.Clean(filepath.Dir(path)) == filepath.Clean(w.root.Name())
}

func (w *watch) close() {
	if w.notify != nil {
		_ = w.notify.Close() // nothing can be lost
	}
}
