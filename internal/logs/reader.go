package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// reader reads one copy from its files alone, whether or not its writer runs.
// First it gives a part of what the data files hold as they are, then what the
// stream gets behind that: each byte once, wherever the writer puts it.
type reader struct {
	root   *os.Root
	target Target
	names  segmentNames // shared with other readers, or nil

	row  row   // the data files as they were at the start, one after the other
	at   int64 // next byte of the first part, in the row
	stop int64 // end of the first part
	next int64 // logical position of the next byte behind it

	ownOnly bool // what somebody else put into the first part is passed over

	data   *os.File
	file   int  // which of the stream's data files data is, see model.files
	plain  bool // there is no side record: the data files' length is all there is to go by
	side   *os.File
	record *side // what was parsed last
	parsed int64 // bytes of the side record then
	slots  []byte
}

// notThe is the number of a data file that the side record does not know (yet).
const notThe = -1

// openReader opens a copy. It answers fs.ErrNotExist if there is none.
func openReader(root *os.Root, t Target, names segmentNames) (*reader, error) {
	r := &reader{root: root, target: t, names: names, slots: make([]byte, journalStart)}
	if err := r.openAll(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *reader) openAll() error {
	for range openTries {
		if err := r.openSide(withArrivals); err != nil {
			return err
		}
		if err := r.openLive(); err != nil {
			return err
		}
		if r.plain || r.file == r.record.files || r.record.boot.file == (fileKey{}) {
			break
		}
	}
	end, physical, err := r.end()
	if err != nil {
		return err
	}
	r.next = end
	if err := r.makeRow(physical); err != nil {
		return err
	}
	if r.plain && len(r.row.parts) == 0 {
		return fs.ErrNotExist
	}
	r.at, r.stop = r.row.size, r.row.size
	if r.plain {
		r.next = physical
	}
	return nil
}

func (r *reader) close() error {
	err := r.row.close()
	for _, f := range []*os.File{r.data, r.side} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	r.data, r.side = nil, nil
	return err
}

func (r *reader) dataPath() string { return r.target.Folder + "/" + r.target.Alias }
func (r *reader) sidePath() string { return r.target.Folder + "/" + sideName(r.target.Alias) }

// where is the copy's place, as a writer has it.
func (r *reader) where() *place {
	return &place{root: r.root, folder: r.target.Folder, alias: r.target.Alias}
}

// end returns the logical end of the stream and where it lies in the live data
// file, as the slots say at this moment.
func (r *reader) end() (logical, physical int64, err error) {
	var size int64
	if r.data != nil {
		st, err := r.data.Stat()
		if err != nil {
			return 0, 0, err
		}
		size = st.Size()
	}
	if r.plain {
		return size, size, nil
	}
	m := &r.record.model
	at := slot{base: m.last.base, physical: m.last.physical}
	for _, s := range []slot{newest(r.slots, durableAt), newest(r.slots, liveAt)} {
		if s.seq > 0 && s.extent == m.last.seq && s.base+s.writing > at.base+at.writing {
			at = s
		}
	}
	if r.data == nil || r.file != m.files {
		return at.base + at.writing, size, nil
	}
	// Of the last write only what has arrived.
	missing := min(max(at.physical+at.writing-size, 0), at.writing)
	return at.base + at.writing - missing, min(at.physical+at.writing-missing, size), nil
}

// Read gives the next bytes, or io.EOF when there are none at this moment.
func (r *reader) Read(b []byte) (int, error) {
	n, _, _, err := r.step(b)
	return n, err
}

// step gives the next bytes, of one extent at most: base is the logical
// position of the first. own is false for bytes that somebody else put into
// the copy; base is then that of the next one that is the stream's.
func (r *reader) step(b []byte) (n int, base int64, own bool, err error) {
	for r.at < r.stop {
		s := r.row.locate(r.at)
		if r.ownOnly && !s.own {
			r.skip(min(s.n, r.stop-r.at))
			continue
		}
		if err := r.pin(); err != nil {
			return 0, 0, false, err
		}
		n, err := r.row.readPart(b[:min(int64(len(b)), s.n, r.stop-r.at)], r.at)
		r.at += int64(n)
		if n > 0 {
			r.row.pass(r.at)
			return n, s.base, s.own, nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errMissing) {
			return 0, 0, false, err
		}
		r.at = min(r.row.endOfPart(r.at), r.stop) // somebody cut it meanwhile
	}
	n, err = r.readNew(b)
	return n, r.next - int64(n), true, err
}

// readNew gives bytes behind the first part.
func (r *reader) readNew(b []byte) (int, error) {
	for {
		x, left, err := r.extent()
		if err != nil {
			return 0, err
		}
		if x == nil {
			return r.readPlain(b)
		}
		n, err := r.data.ReadAt(b[:min(left, int64(len(b)))], x.physical+r.next-x.base)
		r.next += int64(n)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		end, last := r.endOf(x)
		if last {
			return 0, io.EOF
		}
		r.next = end // somebody cut what was left of it
	}
}

// endOf returns the logical end of an extent, and whether that is where the
// next bytes come.
func (r *reader) endOf(x *extent) (int64, bool) {
	all := r.record.extents
	for i := range all {
		if &all[i] == x && i+1 < len(all) {
			return all[i+1].base, false
		}
	}
	return unlimited, true
}

// readPlain gives bytes of a data file that has no side record.
func (r *reader) readPlain(b []byte) (int, error) {
	if r.data == nil {
		if err := r.openLive(); err != nil || r.data == nil {
			return 0, errors.Join(err, io.EOF)
		}
	}
	n, err := r.data.ReadAt(b, r.next)
	r.next += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// position returns the logical position of the next byte.
func (r *reader) position() int64 {
	if r.at < r.stop {
		return r.row.locate(r.at).base
	}
	return r.next
}

// first returns the logical position before which retention has dropped
// everything.
func (r *reader) first() int64 {
	if r.plain {
		return 0
	}
	return r.record.dropped
}

// droppedError says that a position is one of bytes that are not kept any more.
type droppedError struct{ first int64 }

func (e *droppedError) Error() string {
	return fmt.Sprintf("the bytes there were dropped by retention; what is kept begins at %d", e.first)
}

// beyondError says that a position lies behind the end.
type beyondError struct{ end int64 }

func (e *beyondError) Error() string { return fmt.Sprintf("it has only %d bytes", e.end) }

// seek begins at a logical position: from there on the stream's own bytes are
// given. With a *droppedError it begins at the first byte that is kept, with a
// *beyondError it waits for that position.
func (r *reader) seek(position int64) error {
	if end := r.next; position > end {
		r.at, r.next = r.stop, position
		return &beyondError{end}
	}
	r.ownOnly = true
	first := r.first()
	r.at = min(r.row.find(max(position, first)), r.stop)
	if position < first {
		return &droppedError{first}
	}
	return nil
}

// place returns where the next bytes lie: n of them in one file, of one
// extent. n is 0 when there are none at this moment, or it is not known.
func (r *reader) place() (f *os.File, physical, n int64) {
	if r.at < r.stop {
		f, physical, n = r.row.place(r.at)
		return f, physical, min(n, r.stop-r.at)
	}
	x, left, err := r.extent()
	if err != nil || x == nil {
		return nil, 0, 0
	}
	return r.data, x.physical + r.next - x.base, left
}

// skip passes over some of the bytes that place told of.
func (r *reader) skip(n int64) {
	if r.at < r.stop {
		r.at += n
		r.row.pass(r.at)
		return
	}
	r.next += n
}

// park closes the files of a reader that has nothing to give at this moment.
// They are opened again when it is read.
func (r *reader) park() error {
	if r.at < r.stop {
		return errors.New("park: there is something to be read")
	}
	return r.close()
}

// id returns the id of the stream, "" if there is no side record.
func (r *reader) id() string {
	if r.plain {
		return ""
	}
	return r.record.header.id
}
