package events

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dtc"
)

const (
	fileMode   = 0o640
	folderMode = 0o750

	// The ids of the last lines are looked for in so many files, and so much of
	// each: more lines than an agent keeps unacknowledged, over some days on
	// which nobody could acknowledge.
	tailFiles = 7
	tailBytes = 32 << 20

	// maxUnsynced is how much may be written before Append itself syncs.
	maxUnsynced = 1 << 20
)

// record is one series of files, and what its writer knows.
type record struct {
	dir    string // logs/
	series series
	log    *slog.Logger

	syncing sync.Mutex // one sync at a time; comes before mu

	mu   sync.Mutex
	seen *seen            // nil before the first append; guarded by mu
	open map[string]*file // by date, while anything in them is not synced; guarded by mu
}

// file is one open file. It is guarded by its record's mu, but for the sync of
// f itself.
type file struct {
	path     string
	f        *os.File
	size     int64  // where the last whole line ends
	unsynced []byte // the lines at the end of it that are not known to be durable
	suspect  bool   // a sync failed: what the kernel has cached may never be written
	torn     bool   // half a line stands after size
}

// append writes an event's line, unless it stands there, and says whether it
// has. It may have and fail all the same: to sync what has come together.
func (r *record) append(e *dtc.Event, zone *time.Location) (written bool, err error) {
	r.mu.Lock()
	written, over, err := r.write(e, zone)
	r.mu.Unlock()
	if err == nil && over {
		err = r.sync()
	}
	return written, err
}

// write is append, and says whether a sync is due. r.mu is held.
func (r *record) write(e *dtc.Event, zone *time.Location) (written, over bool, err error) {
	if r.seen == nil {
		if r.seen, err = r.load(); err != nil {
			return false, false, err
		}
	}
	if r.seen.has(e) {
		return false, false, nil
	}
	f, err := r.fileOf(e.Time.In(zone).Format(dateLayout))
	if err != nil {
		return false, false, err
	}
	if err := f.write(formatLine(e, zone)); err != nil {
		return false, false, err
	}
	r.seen.add(e)
	return true, len(f.unsynced) > maxUnsynced, nil
}

// load collects the ids at the end of the last files, oldest first.
func (r *record) load() (*seen, error) {
	ids := newSeen()
	files, err := listFolder(r.dir, r.series.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for recorded events: %w", err)
	}
	files = slices.DeleteFunc(files, func(f logFile) bool { return f.name != r.series.file(f.date) })
	slices.SortFunc(files, compareFiles)
	for _, f := range files[max(0, len(files)-tailFiles):] {
		if err := loadTail(f.path(r.dir), ids); err != nil {
			return nil, fmt.Errorf("look for recorded events: %w", err)
		}
	}
	return ids, nil
}

func loadTail(path string, ids *seen) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	c := cursor{path: path, off: max(0, info.Size()-tailBytes)}
	for {
		e, err := c.next()
		if e == nil || err != nil {
			return err
		}
		ids.add(e)
	}
}

// fileOf opens the file of a day, or makes it.
func (r *record) fileOf(date string) (*file, error) {
	if f := r.open[date]; f != nil {
		return f, nil
	}
	folder := filepath.Join(r.dir, r.series.folder)
	if err := makeFolder(folder); err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	path := filepath.Join(folder, r.series.file(date))
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	if err := f.repair(r.log); err != nil {
		_ = f.f.Close()
		return nil, fmt.Errorf("record events: %w", err)
	}
	r.open[date] = f
	return f, nil
}

// makeFolder makes a host's folder, and logs/ above it, with the modes that
// they are to have whatever the umask is.
func makeFolder(path string) error {
	for _, dir := range []string{filepath.Dir(path), path} {
		err := os.Mkdir(dir, folderMode)
		switch {
		case err == nil:
			if err := errors.Join(os.Chmod(dir, folderMode), syncFolder(filepath.Dir(dir))); err != nil {
				return err
			}
		case errors.Is(err, fs.ErrExist):
		default:
			return err
		}
	}
	return nil
}

func openFile(path string) (*file, error) {
	const flags = os.O_RDWR | os.O_APPEND
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.OpenFile(path, flags|os.O_CREATE, fileMode); err != nil {
			return nil, err
		}
		if err = errors.Join(f.Chmod(fileMode), syncFolder(filepath.Dir(path))); err != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	return &file{path: path, f: f}, nil
}

// repair cuts off a last line that a crash has torn, so that the next one does
// not stick to it. Nobody was told that it stands there; who told the event
// tells it again.
func (f *file) repair(log *slog.Logger) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	tail := make([]byte, min(f.size, maxLine))
	if _, err := f.f.ReadAt(tail, f.size-int64(len(tail))); err != nil {
		return err
	}
	torn := len(tail) - lastLineEnd(tail)
	switch {
	case torn == 0:
		return nil
	case int64(torn) == maxLine:
		return f.write([]byte("\n")) // no line of ours is that long: it stays, and ends here
	}
	log.Warn("cut off a torn last line", "file", f.path, "bytes", torn)
	f.size -= int64(torn)
	f.torn = true
	return f.cut()
}

// write writes one line with one call, wholly or not at all.
func (f *file) write(line []byte) error {
	if err := f.cut(); err != nil {
		return fmt.Errorf("record an event: %w", err)
	}
	n, err := f.f.Write(line)
	if err != nil {
		f.torn = n > 0
		return fmt.Errorf("record an event: %w", errors.Join(err, f.cut()))
	}
	f.size += int64(n)
	f.unsynced = append(f.unsynced, line...)
	return nil
}

// cut takes away half a line, if one stands at the end.
func (f *file) cut() error {
	if !f.torn {
		return nil
	}
	err := f.f.Truncate(f.size)
	f.torn = err != nil
	return err
}

// sync makes durable what was appended before the call.
func (r *record) sync() error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	r.mu.Lock()
	dates := make([]string, 0, len(r.open))
	for date := range r.open {
		dates = append(dates, date)
	}
	r.mu.Unlock()
	var errs []error
	for _, date := range dates {
		errs = append(errs, r.syncFile(date))
	}
	return errors.Join(errs...)
}

// syncFile syncs one file while lines may go on being appended, and closes it
// when there is nothing left to sync. r.syncing is held.
func (r *record) syncFile(date string) error {
	r.mu.Lock()
	f := r.open[date]
	from, lines, suspect := f.size-int64(len(f.unsynced)), bytes.Clone(f.unsynced), f.suspect
	r.mu.Unlock()

	var err error
	if suspect {
		err = rewrite(f.path, lines, from)
	} else {
		err = f.f.Sync()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		f.suspect = true
		return fmt.Errorf("record events: %w", err)
	}
	f.unsynced = f.unsynced[len(lines):]
	if len(f.unsynced) > 0 {
		return nil
	}
	delete(r.open, date)
	return f.f.Close()
}

// rewrite writes lines again where they stand and syncs them: after a failed
// sync the kernel takes pages for written that are not.
func rewrite(path string, lines []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(lines, at)
	return errors.Join(err, f.Sync(), f.Close())
}

func (r *record) close() error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, f := range r.open {
		errs = append(errs, f.f.Close())
	}
	clear(r.open)
	return errors.Join(errs...)
}
