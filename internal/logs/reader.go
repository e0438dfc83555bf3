package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"
)

// reader reads one copy from its files alone, whether or not its writer runs.
// First it gives a part of the data file as it is, then what the stream gets
// behind that: each byte once, wherever the writer puts it.
type reader struct {
	root   *os.Root
	target Target

	data   *os.File
	file   int   // which of the stream's data files data is, see model.files
	at     int64 // next byte of the first part
	stop   int64 // end of the first part
	next   int64 // logical position of the next byte behind it
	plain  bool  // there is no side record: the data file's length is all there is to go by
	side   *os.File
	record *side // what was parsed last
	slots  []byte
}

// notThe is the number of a data file that the side record does not know (yet).
const notThe = -1

// openReader opens a copy. It answers fs.ErrNotExist if there is none.
func openReader(root *os.Root, t Target) (*reader, error) {
	r := &reader{root: root, target: t, slots: make([]byte, journalStart)}
	if err := r.openSide(withArrivals); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err := r.openData(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if r.data == nil && r.plain {
		return nil, errors.Join(fs.ErrNotExist, r.close())
	}
	end, physical, err := r.end()
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.at, r.stop, r.next = physical, physical, end
	return r, nil
}

func (r *reader) close() error {
	var err error
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

// openSide opens and parses the side record. Without one that can be used the
// reader goes by the data file alone.
func (r *reader) openSide(arrivals arrivalMode) error {
	f, err := openPlain(r.root, r.sidePath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		r.plain = true
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
	r.plain = err != nil
	if err == nil {
		r.record = s
		copy(r.slots, b)
	}
	return nil
}

// openData opens the data file, if there is one.
func (r *reader) openData() error {
	f, err := openPlain(r.root, r.dataPath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.data != nil {
		err = r.data.Close()
	}
	r.data, r.file = f, notThe
	key, _, keyErr := keyOf(f)
	if r.plain || key.inode == r.record.boot.file.inode {
		r.file = 0
		if !r.plain {
			r.file = r.record.files
		}
	}
	return errors.Join(err, keyErr)
}

// end returns the logical end of the stream and where it lies in the data
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

// refresh reads the slots, and the journal if it has a new extent or was
// written anew.
func (r *reader) refresh() error {
	if r.plain {
		if _, err := r.root.Lstat(r.sidePath()); err != nil {
			return nil // still none
		}
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
	if r.plain {
		return nil // it was read while it was being written: the next look helps
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

// Read gives the next bytes, or io.EOF when there are none at this moment.
func (r *reader) Read(b []byte) (int, error) {
	if r.at < r.stop {
		n, err := r.data.ReadAt(b[:min(int64(len(b)), r.stop-r.at)], r.at)
		r.at += int64(n)
		if n > 0 {
			return n, nil
		}
		r.at = r.stop // somebody cut it meanwhile
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return r.readNew(b)
}

// readNew gives bytes behind the first part.
func (r *reader) readNew(b []byte) (int, error) {
	if err := r.refresh(); err != nil {
		return 0, err
	}
	if r.plain {
		return r.readPlain(b)
	}
	for {
		x, end, err := r.extent()
		if err != nil {
			return 0, err
		}
		stop := x.base + min(end-x.base, x.have)
		if r.next < stop {
			n, err := r.data.ReadAt(b[:min(stop-r.next, int64(len(b)))], x.physical+r.next-x.base)
			r.next += int64(n)
			if n > 0 || !errors.Is(err, io.EOF) {
				return n, err
			}
		}
		if x == &r.record.extents[len(r.record.extents)-1] {
			return 0, io.EOF
		}
		r.next = end // somebody cut what was left of it
	}
}

// extent returns the extent that holds the next byte, and the logical end of
// what it has at this moment; io.EOF when there is no such byte yet. It opens
// the data file that the extent is in.
func (r *reader) extent() (*extent, int64, error) {
	all := r.record.extents
	if len(all) == 0 {
		return nil, 0, io.EOF
	}
	i := max(sort.Search(len(all), func(i int) bool { return all[i].base > r.next })-1, 0)
	r.next = max(r.next, all[0].base) // what is before is not remembered
	for ; i < len(all); i++ {
		x := &all[i]
		r.next = max(r.next, x.base)
		if err := r.openFor(x); err != nil {
			return nil, 0, err
		}
		last := i+1 == len(all)
		if r.data != nil && r.file == x.file {
			if !last {
				return x, all[i+1].base, nil
			}
			end, _, err := r.end()
			if err == nil && end <= r.next {
				err = io.EOF
			}
			return x, end, err
		}
	}
	return nil, 0, io.EOF // what there was went with its file, and nothing came since
}

// openFor opens the data file of an extent if it is the present one.
func (r *reader) openFor(x *extent) error {
	if r.data != nil && r.file == x.file || x.file != r.record.files {
		return nil
	}
	return r.openData()
}

// readPlain gives bytes of a data file that has no side record.
func (r *reader) readPlain(b []byte) (int, error) {
	if r.data == nil {
		if err := r.openData(); err != nil || r.data == nil {
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

// backBlock is how much is read at a time on the way back.
const backBlock = 64 << 10

// last sets the first part to the last n lines for which match is true, and
// all that stands between and after them. A last line without its end counts.
func (r *reader) last(ctx context.Context, n int, match func(line []byte) bool) error {
	if r.data == nil || n <= 0 {
		return nil
	}
	end := r.stop // of the line that is looked at, without its newline
	if end > 0 {
		var b [1]byte
		if _, err := r.data.ReadAt(b[:], end-1); err != nil {
			return err
		}
		if b[0] == '\n' {
			end--
		}
	}
	buf := make([]byte, backBlock)
	low := end // what lies before is not looked at yet
	for low > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		block := buf[:min(backBlock, low)]
		low -= int64(len(block))
		if _, err := r.data.ReadAt(block, low); err != nil {
			return err
		}
		for i := bytes.LastIndexByte(block, '\n'); i >= 0; i = bytes.LastIndexByte(block[:i], '\n') {
			start := low + int64(i) + 1
			ok, err := r.matches(match, start, end)
			if err != nil {
				return err
			}
			if ok {
				r.at = start
				if n--; n == 0 {
					return nil
				}
			}
			end = start - 1
		}
	}
	ok, err := r.matches(match, 0, end)
	if ok {
		r.at = 0
	}
	return err
}

// matches tells whether the line [start, end) is wanted. Of an endless line the
// first [MaxLine] bytes are looked at.
func (r *reader) matches(match func([]byte) bool, start, end int64) (bool, error) {
	if match == nil {
		return true, nil
	}
	line := make([]byte, min(end-start, MaxLine))
	if _, err := r.data.ReadAt(line, start); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return match(line), nil
}

// since sets the first part to what came at t or later; a line that was not
// whole then is given whole.
func (r *reader) since(t time.Time) error {
	r.seekTime(t)
	return r.lineStart()
}

// lineStart goes back to the start of the line that the first part begins in,
// no further than [MaxLine].
func (r *reader) lineStart() error {
	buf := make([]byte, backBlock)
	for low := r.at; low > 0 && r.at-low < MaxLine; {
		block := buf[:min(backBlock, low)]
		if _, err := r.data.ReadAt(block, low-int64(len(block))); err != nil {
			return err
		}
		low -= int64(len(block))
		if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
			r.at = low + int64(i) + 1
			return nil
		}
		if low == 0 {
			r.at = 0
		}
	}
	return nil
}

func (r *reader) seekTime(t time.Time) {
	if r.plain || r.data == nil {
		r.at = 0 // nobody knows when it came
		return
	}
	base, ok := since(r.record.arrivals, t)
	if !ok {
		if len(r.record.arrivals) == 0 {
			r.at = 0
		}
		return
	}
	for i := range r.record.extents {
		x := &r.record.extents[i]
		if x.file != r.record.files {
			continue
		}
		length := unlimited - x.base
		if i+1 < len(r.record.extents) {
			length = r.record.extents[i+1].base - x.base
		}
		if length = min(length, x.have); base < x.base+length {
			r.at = min(r.stop, x.physical+max(base-x.base, 0))
			return
		}
	}
}

// all sets the first part to the whole data file.
func (r *reader) all() { r.at = 0 }
