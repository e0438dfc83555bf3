package logs

import (
	"errors"
	"io"
	"sort"
)

// rereads is how often one look reads the side record again where that and the
// files do not fit together.
const rereads = 3

// extent returns the extent that holds the next byte, and how many bytes it has
// from there on at this moment; io.EOF when there is no such byte yet. The data
// file that it is in is open then. nil without an error: there is no side
// record.
func (r *reader) extent() (*extent, int64, error) {
	if err := r.refresh(); err != nil {
		return nil, 0, err
	}
	for try := 0; !r.plain; try++ {
		x, left, err := r.find()
		if !errors.Is(err, errStale) {
			return x, left, err
		}
		again, err := r.reparse()
		if err != nil {
			return nil, 0, err
		}
		if again && try < rereads {
			if err := r.readSlots(); err != nil {
				return nil, 0, err
			}
			continue
		}
		if x == nil {
			return nil, 0, io.EOF // a moment later it will be there, or be known to be gone
		}
		// Somebody removed the segment, and it was not told yet.
		end, last := r.endOf(x)
		if last {
			return nil, 0, io.EOF
		}
		r.next, try = end, 0
	}
	return nil, 0, nil
}

// errStale says that a data file is not where the side record says that it is:
// so there is a newer one perhaps.
var errStale = errors.New("the side record was changed meanwhile")

// find is extent for one state of the side record. With errStale it answers
// the extent whose closed segment is not there, or nil where the live data file
// is not.
func (r *reader) find() (*extent, int64, error) {
	all := r.record.extents
	if len(all) == 0 {
		return nil, 0, io.EOF
	}
	r.next = max(r.next, all[0].base) // what is before is not kept, or not remembered
	i := sort.Search(len(all), func(i int) bool { return all[i].base > r.next }) - 1
	for ; i < len(all); i++ {
		x := &all[i]
		last := i+1 == len(all)
		if !last && all[i+1].base <= r.next {
			continue
		}
		ok, err := r.openFor(x.file)
		switch {
		case errors.Is(err, errStale) && x.file == r.record.files:
			return nil, 0, err
		case err != nil:
			return x, 0, err
		case !ok && !last:
			r.next = all[i+1].base // it went with its file
			continue
		case !ok:
			return nil, 0, io.EOF
		}
		var end int64
		if !last {
			end = all[i+1].base
		} else if end, _, err = r.end(); err != nil {
			return nil, 0, err
		}
		if left := min(end-x.base, x.have) - (r.next - x.base); left > 0 {
			return x, left, nil
		}
		if last {
			return nil, 0, io.EOF
		}
		r.next = all[i+1].base // somebody cut what was left of it
	}
	return nil, 0, io.EOF
}

// openFor opens the data file with a number, and tells whether there is one.
// errStale: there should be.
func (r *reader) openFor(file int) (bool, error) {
	if r.data != nil && r.file == file {
		return true, nil
	}
	if file == r.record.files {
		if err := r.openLive(); err != nil {
			return false, err
		}
		if r.data == nil || r.file != file {
			return false, errStale
		}
		return true, nil
	}
	s := r.record.segment(file)
	if s == nil {
		return false, nil
	}
	f, err := r.openKey(r.where().segmentPath(s.name), s.key)
	if errors.Is(err, errMissing) {
		return false, errStale
	}
	if err != nil {
		return false, err
	}
	if r.data != nil {
		err = r.data.Close()
	}
	r.data, r.file = f, file
	return true, err
}
