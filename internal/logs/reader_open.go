package logs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// openSide opens and parses the side record. Without one that can be used the
// reader goes by the data files alone, or by what it knows already.
func (r *reader) openSide(arrivals arrivalMode) error {
	f, err := openPlain(r.root, r.sidePath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		r.plain = r.record == nil
		return nil
	}
	if err != nil {
		return err
	}
	if r.side != nil {
		err = r.side.Close()
	}
	r.side = f
	if err != nil {
		return err
	}
	b, err := readSide(f)
	if err != nil {
		return err
	}
	s, err := parseSide(b, arrivals)
	r.plain = err != nil && r.record == nil
	if err == nil { // else it was read while it was being written: the next look helps
		r.record, r.parsed = s, int64(len(b))
		copy(r.slots, b)
	}
	return nil
}

// openLive opens the data file that the bytes go to now, if there is one. For
// the moment in which that is being closed it has the name of a segment.
func (r *reader) openLive() error {
	if r.data != nil {
		err := r.data.Close()
		r.data = nil
		if err != nil {
			return err
		}
	}
	if !r.plain && r.record.boot.file != (fileKey{}) {
		f, err := r.openKnown()
		if err == nil {
			r.data, r.file = f, r.record.files
		}
		if !errors.Is(err, errMissing) {
			return err
		}
	}
	f, err := openPlain(r.root, r.dataPath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.data, r.file = f, notThe
	if r.plain {
		r.file = 0
	}
	return nil
}

// openKnown opens the live data file that the side record knows.
func (r *reader) openKnown() (*os.File, error) {
	key, w := r.record.boot.file, r.where()
	f, err := r.openKey(r.dataPath(), key)
	base := r.record.begun.base
	for name := base; errors.Is(err, errMissing) && name < base+nameTries; name++ {
		aside, asideErr := w.fileAt(w.segmentPath(name))
		switch {
		case asideErr != nil:
			return nil, asideErr
		case !aside.found:
			return nil, errMissing
		case key.is(aside.key):
			f, err = r.openKey(w.segmentPath(name), key)
		}
	}
	return f, err
}

// openKey opens a file if it is the one that is meant; else it answers
// errMissing.
func (r *reader) openKey(name string, key fileKey) (*os.File, error) {
	f, err := openPlain(r.root, name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	now, _, err := keyOf(f)
	if err == nil && !key.is(now) {
		err = errMissing
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// refresh reads the slots, and the journal if it has a new extent or was
// written anew.
func (r *reader) refresh() error {
	if r.plain {
		if _, err := r.root.Lstat(r.sidePath()); err != nil {
			return nil // still none
		}
		return r.openSide(withoutArrivals)
	}
	if r.side == nil {
		return r.openSide(withoutArrivals)
	}
	if err := r.readSlots(); err != nil {
		return err
	}
	if r.record.last.seq >= max(newest(r.slots, durableAt).extent, newest(r.slots, liveAt).extent) && r.sideIsCurrent() {
		return nil
	}
	if err := r.openSide(withoutArrivals); err != nil {
		return err
	}
	return r.readSlots()
}

func (r *reader) readSlots() error {
	_, err := r.side.ReadAt(r.slots, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// sideIsCurrent tells whether the side record was not replaced since it was
// opened.
func (r *reader) sideIsCurrent() bool {
	there, err := r.root.Lstat(r.sidePath())
	if err != nil {
		return true // it is gone: what was read is all there is
	}
	open, err := r.side.Stat()
	return err == nil && os.SameFile(there, open)
}

// reparse reads the side record again if it has grown or was written anew, and
// tells whether it did.
func (r *reader) reparse() (bool, error) {
	if r.side == nil {
		return false, nil
	}
	now, err := r.side.Stat()
	if err != nil || now.Size() == r.parsed && r.sideIsCurrent() {
		return false, err
	}
	return true, r.openSide(withoutArrivals)
}
