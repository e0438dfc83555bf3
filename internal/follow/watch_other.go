//go:build !linux

package follow

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Watcher tells of changes in folders.
type Watcher struct {
	w *fsnotify.Watcher
}

// NewWatcher returns a Watcher that watches nothing.
func NewWatcher() (*Watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(256)
	if err != nil {
		return nil, fmt.Errorf("watch for changes of files: %w", err)
	}
	return &Watcher{w}, nil
}

// Close ends Next.
func (w *Watcher) Close() error { return w.w.Close() }

// Watch watches the folder at path.
func (w *Watcher) Watch(path string) error {
	if err := w.w.Add(path); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	return nil
}

// Forget ends the watch of the folder at path.
func (w *Watcher) Forget(path string) { _ = w.w.Remove(path) }

// WatchFile does nothing: only folders are watched here, and whoever holds a
// file looks at it from time to time.
func (w *Watcher) WatchFile(*File, uint64) error { return nil }

// ForgetFile does nothing.
func (w *Watcher) ForgetFile(uint64) {}

// Next waits for events and returns them. It returns [os.ErrClosed] after Close.
func (w *Watcher) Next(events []Event) ([]Event, error) {
	select {
	case e, ok := <-w.w.Events:
		if !ok {
			return events, os.ErrClosed
		}
		events = w.translate(events, e)
	case _, ok := <-w.w.Errors:
		if !ok {
			return events, os.ErrClosed
		}
		events = append(events, Event{Kind: Lost})
	}
	for len(w.w.Events) > 0 {
		if e, ok := <-w.w.Events; ok {
			events = w.translate(events, e)
		}
	}
	return events, nil
}

func (w *Watcher) translate(events []Event, e fsnotify.Event) []Event {
	kind := Moved
	if e.Op == fsnotify.Write {
		kind = Wrote
	}
	return append(events, Event{Kind: kind, Folder: filepath.Dir(e.Name), Name: filepath.Base(e.Name)})
}
