package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"dtc"
)

const (
	// rescanInterval is how often new files and folders are looked for, and how
	// long a line is hidden at most where the system does not tell of it.
	rescanInterval = time.Second

	// growingDays is for how long a file may still grow after its day: the
	// monitor's zone may have been another when it was written.
	growingDays = 2
)

// Follow is [Read], and then goes on with the events that come, over midnights
// and in the folders of new hosts, until ctx is done or each fails.
func Follow(ctx context.Context, dir string, filter Filter, each func(dtc.Event) error) error {
	w := newFollower(dir, filter, each, time.Now)
	defer w.close()
	return w.run(ctx, rescanInterval)
}

// follower is one Follow. It is used by one goroutine.
type follower struct {
	dir    string
	filter Filter
	each   func(dtc.Event) error
	now    func() time.Time

	notify  *fsnotify.Watcher // nil: the safety scan does it all
	growing map[string]*cursor
	folders map[string]time.Time // when a folder's listing was last seen to change
}

func newFollower(dir string, filter Filter, each func(dtc.Event) error, now func() time.Time) *follower {
	w := &follower{
		dir: dir, filter: filter, each: each, now: now,
		growing: map[string]*cursor{}, folders: map[string]time.Time{},
	}
	w.notify, _ = fsnotify.NewWatcher() // without it a line shows within rescanInterval
	return w
}

func (w *follower) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
}

func (w *follower) run(ctx context.Context, interval time.Duration) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var told <-chan fsnotify.Event
	var failed <-chan error
	if w.notify != nil {
		told, failed = w.notify.Events, w.notify.Errors
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-told:
			err = w.readOn(ctx, w.changed(e, told))
		case lost := <-failed: // the scan finds what the lost notices were of
			_ = lost
		case <-tick.C:
			err = w.scan(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// begin reads what is on record.
func (w *follower) begin(ctx context.Context) error {
	var past []*cursor
	if err := w.discover(w.filter.from(), func(c *cursor) { past = append(past, c) }); err != nil {
		return err
	}
	slices.SortFunc(past, func(a, b *cursor) int {
		return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.path, b.path))
	})
	if w.filter.Last == 0 {
		return read(ctx, past, w.filter, w.each)
	}
	// Days that the last few do not need are left unread. What comes into their
	// files from now on is new.
	ends := make(map[*cursor]int64, len(w.growing))
	for _, c := range w.growing {
		if info, err := os.Stat(c.path); err == nil {
			ends[c] = info.Size()
		}
	}
	err := read(ctx, past, w.filter, w.each)
	w.filter.Last = 0
	for c, end := range ends {
		if c.off == 0 && err == nil {
			err = c.skipTo(end)
		}
	}
	return err
}

// changed returns the files that this notice and those already waiting name.
func (w *follower) changed(e fsnotify.Event, more <-chan fsnotify.Event) []*cursor {
	files := map[string]*cursor{}
	for {
		if c := w.growing[e.Name]; c != nil {
			files[e.Name] = c
		}
		select {
		case e = <-more:
			continue
		default:
		}
		break
	}
	some := make([]*cursor, 0, len(files))
	for _, c := range files {
		some = append(some, c)
	}
	return some
}

// scan looks for new files, and reads on in all that may have grown.
func (w *follower) scan(ctx context.Context) error {
	if err := w.discover("", func(*cursor) {}); err != nil {
		return err
	}
	var grown []*cursor
	for path, c := range w.growing {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.forget(path) // should it come again, it is another
		case err == nil && info.Size() != c.off:
			c.off = min(c.off, info.Size()) // cut by somebody: what comes is new
			grown = append(grown, c)
		}
	}
	return w.readOn(ctx, grown)
}

// readOn gives the new events of some files in the order of their times.
func (w *follower) readOn(ctx context.Context, cursors []*cursor) error {
	if len(cursors) == 0 {
		return nil
	}
	err := merge(ctx, cursors, &w.filter, w.each)
	for _, c := range cursors {
		c.report(w.filter.Bad)
	}
	return err
}

// discover finds files that are not known yet, from a day on or of the days
// that may still grow, and gives a cursor of each to found. Those that may grow
// it keeps, and drops those of too long ago.
func (w *follower) discover(from string, found func(*cursor)) error {
	horizon := w.now().AddDate(0, 0, -growingDays).Format(dateLayout)
	first := len(w.folders) == 0
	for path, c := range w.growing {
		if c.date < horizon {
			w.forget(path)
		}
	}
	folders, err := listFolders(w.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if !w.hasChanged(folder) {
			continue
		}
		files, err := listFolder(w.dir, folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list the events of a host: %w", err)
		}
		for _, f := range files {
			grows := f.date >= horizon
			if path := f.path(w.dir); w.growing[path] == nil && (grows || first && f.date >= from) {
				c := &cursor{path: path, date: f.date}
				if grows {
					w.keep(c)
				}
				found(c)
			}
		}
	}
	return nil
}

// hasChanged says whether a folder's listing may have changed since it was last
// asked for: a time of change that is fresh may be that of two changes.
func (w *follower) hasChanged(folder string) bool {
	info, err := os.Stat(filepath.Join(w.dir, folder))
	if err != nil {
		return true
	}
	last, known := w.folders[folder]
	w.folders[folder] = info.ModTime()
	return !known || !info.ModTime().Equal(last) || time.Since(last) < 2*rescanInterval
}

func (w *follower) keep(c *cursor) {
	w.growing[c.path] = c
	if w.notify != nil {
		_ = w.notify.Add(c.path) // at the limit of watches the scan does it
	}
}

func (w *follower) forget(path string) {
	delete(w.growing, path)
	if w.notify != nil {
		_ = w.notify.Remove(path)
	}
}
