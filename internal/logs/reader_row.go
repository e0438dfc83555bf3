package logs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"
)

// row is the data files of a copy as they were when a reader opened it, one
// after the other: the closed segments, the oldest first, and the live one.
type row struct {
	where     *place
	parts     []part
	stretches []stretch // what they hold, without a hole
	size      int64
	pinned    bool
	gone      int // so many of the first parts were removed since
}

// part is one file of a row.
type part struct {
	start, size int64 // in the row
	segment     segment
	f           *os.File // nil: not open, or passed
	lent        bool     // f is the reader's
}

// stretch is a part of a row that one extent accounts for, or none.
type stretch struct {
	at, n int64 // in the row
	base  int64 // logical position of its first byte, or of the next that is the stream's
	own   bool  // it is the stream's, not somebody else's
}

// makeRow notes what there is to be read at this moment; physical is the
// length of the live file that counts.
func (r *reader) makeRow(physical int64) error {
	r.row = row{where: r.where()}
	closed, err := r.closed()
	if err != nil {
		return err
	}
	for _, s := range closed {
		r.row.add(part{size: s.size, segment: s})
	}
	if r.data != nil {
		live := segment{file: r.file, base: r.row.size}
		if !r.plain {
			live.base = r.record.begun.base
		} else if n := len(closed); n > 0 {
			live.base = closed[n-1].end
		}
		r.row.add(part{size: physical, segment: live, f: r.data, lent: true})
	}
	r.survey()
	return nil
}

func (w *row) add(p part) {
	p.start = w.size
	w.size += p.size
	w.parts = append(w.parts, p)
}

// closed returns the closed segments: as the side record says, or as their
// names do.
func (r *reader) closed() ([]segment, error) {
	if !r.plain {
		return r.record.segments, nil
	}
	names, err := r.names.of(r.root, r.target)
	if err != nil {
		return nil, err
	}
	all := make([]segment, 0, len(names))
	for _, name := range names {
		now, err := r.where().fileAt(r.where().segmentPath(name))
		if err != nil {
			return nil, err
		}
		if now.found {
			all = append(all, segment{file: notThe, name: name, base: name, end: name + now.size, size: now.size, key: now.key})
		}
	}
	return all, nil
}

// segmentNames are the numbers of the segments in folders that were looked at,
// by folder and alias, for copies without side records. Nil: they are not kept.
type segmentNames map[string]map[string][]int64

// of returns those of a copy, ascending.
func (n segmentNames) of(root *os.Root, t Target) ([]int64, error) {
	if n == nil {
		n = segmentNames{}
	}
	if n[t.Folder] == nil {
		files, err := fs.ReadDir(root.FS(), t.Folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		n[t.Folder] = map[string][]int64{}
		for _, f := range files {
			if alias, number, ok := segmentOf(f.Name()); ok && f.Type().IsRegular() {
				n[t.Folder][alias] = append(n[t.Folder][alias], number)
			}
		}
	}
	names := n[t.Folder][t.Alias]
	slices.Sort(names)
	return names, nil
}

// survey finds out what the row holds.
func (r *reader) survey() {
	w := &r.row
	for i := range w.parts {
		p := &w.parts[i]
		if r.plain {
			w.stretches = append(w.stretches, stretch{p.start, p.size, p.segment.base, true})
			continue
		}
		r.surveyPart(p)
	}
	// Of what is somebody else's the next byte of the stream's own counts.
	next := r.next
	for i := len(w.stretches) - 1; i >= 0; i-- {
		if s := &w.stretches[i]; s.own {
			next = s.base
		} else {
			s.base = next
		}
	}
}

// surveyPart does it for one file.
func (r *reader) surveyPart(p *part) {
	all := r.record.extents
	var own []stretch // at is the position in the file
	for i := range all {
		x := &all[i]
		if x.file != p.segment.file || p.lent && r.file != r.record.files {
			continue
		}
		end := r.next
		if i+1 < len(all) {
			end = all[i+1].base
		}
		own = append(own, stretch{x.physical, min(end-x.base, x.have, p.size-x.physical), x.base, true})
	}
	slices.SortStableFunc(own, func(a, b stretch) int { return cmp.Compare(a.at, b.at) })
	if len(own) == 0 && r.record.forgotten >= p.segment.end && p.segment.end-p.segment.base == p.size {
		own = append(own, stretch{0, p.size, p.segment.base, true}) // whose bytes they are is not remembered
	}
	at := int64(0)
	for i, s := range own {
		if skip := at - s.at; skip > 0 { // the one before it counts
			s.at, s.n, s.base = at, s.n-skip, s.base+skip
		}
		if s.n <= 0 {
			continue
		}
		if s.at > at {
			before := stretch{at: p.start + at, n: s.at - at}
			if i == 0 && r.record.forgotten > 0 && s.base == all[0].base && s.base >= s.at {
				before.base, before.own = s.base-s.at, true // it is not remembered
			}
			r.row.stretches = append(r.row.stretches, before)
		}
		at = s.at + s.n
		s.at += p.start
		r.row.stretches = append(r.row.stretches, s)
	}
	if at < p.size {
		r.row.stretches = append(r.row.stretches, stretch{at: p.start + at, n: p.size - at})
	}
}

// locate returns the rest of the stretch that a place of the row is in.
func (w *row) locate(at int64) stretch {
	i := sort.Search(len(w.stretches), func(i int) bool { return w.stretches[i].at > at }) - 1
	if i < 0 {
		return stretch{at: at, n: w.size - at, own: true}
	}
	s := w.stretches[i]
	skip := at - s.at
	s.at, s.n = at, s.n-skip
	if s.own {
		s.base += skip
	}
	return s
}

// find returns where in the row a logical position is, or the next one that is
// there; the end of the row if there is none.
func (w *row) find(base int64) int64 {
	for _, s := range w.stretches {
		if s.own && base < s.base+s.n {
			return s.at + max(base-s.base, 0)
		}
	}
	return w.size
}

// part returns the number of the part that a place of the row is in.
func (w *row) part(at int64) int {
	return max(sort.Search(len(w.parts), func(i int) bool { return w.parts[i].start > at })-1, 0)
}

func (w *row) endOfPart(at int64) int64 {
	p := &w.parts[w.part(at)]
	return p.start + p.size
}

func (w *row) startOfPart(at int64) int64 { return w.parts[w.part(at)].start }

// open opens a part. It answers errMissing if it is not there any more.
func (w *row) open(i int) error {
	p := &w.parts[i]
	if p.f != nil {
		return nil
	}
	if i < w.gone {
		return errMissing
	}
	f, err := w.where.openSegment(&p.segment)
	if err == nil {
		p.f = f
	}
	return err
}

// pin opens everything from the next byte on, as far as it can be: so it stays,
// whatever becomes of the names. The oldest come last, because these are dropped
// first: so nothing is missing between what is given.
func (r *reader) pin() error {
	w := &r.row
	if w.pinned {
		return nil
	}
	w.pinned = true
	for i := len(w.parts) - 1; i >= w.part(r.at); i-- {
		err := w.open(i)
		if !errors.Is(err, errMissing) {
			if err != nil {
				return nil // out of descriptors: one after the other then
			}
			continue
		}
		if _, err := r.reparse(); err != nil {
			return err
		}
		if w.parts[i].segment.end <= r.first() {
			w.gone = i + 1
			return nil
		}
	}
	return nil
}

// pass closes what lies before a place of the row.
func (w *row) pass(at int64) {
	for i := range w.parts {
		p := &w.parts[i]
		if p.start+p.size > at {
			return
		}
		if p.f != nil && !p.lent {
			_ = p.f.Close() // nothing was written
			p.f = nil
		}
	}
}

// readPart reads bytes of one part.
func (w *row) readPart(b []byte, at int64) (int, error) {
	i := w.part(at)
	if err := w.open(i); err != nil {
		return 0, err
	}
	p := &w.parts[i]
	return p.f.ReadAt(b[:min(int64(len(b)), p.start+p.size-at)], at-p.start)
}

// ReadAt reads bytes that may lie in several parts.
func (w *row) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		if at+int64(n) >= w.size {
			return n, io.EOF
		}
		k, err := w.readPart(b[n:], at+int64(n))
		n += k
		if k == 0 {
			return n, err
		}
	}
	return n, nil
}

// place returns where the bytes of a place of the row are.
func (w *row) place(at int64) (f *os.File, physical, n int64) {
	s, i := w.locate(at), w.part(at)
	p := &w.parts[i]
	if w.open(i) != nil {
		return nil, 0, 0
	}
	return p.f, at - p.start, min(s.n, p.start+p.size-at)
}

func (w *row) close() error {
	var err error
	for i := range w.parts {
		if p := &w.parts[i]; p.f != nil && !p.lent {
			err = errors.Join(err, p.f.Close())
			p.f = nil
		}
	}
	return err
}
